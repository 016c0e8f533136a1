// SPDX-License-Identifier: MIT
#include "gradamp/bench/optimizer_problem.h"

#include <algorithm>
#include <cmath>

namespace gradamp::bench {
namespace {

constexpr std::int64_t kDrawn = std::int64_t{1} << 20;  // random values; a longer tensor repeats them
constexpr float kRate = 0.01f, kFactor = 2.0f;
constexpr AdamWParams kAdamW{.weight_decay = 0.01f};
/// Number of elements compared at each end of the arena.
constexpr std::int64_t kCompared = 100'000;
/// Half a unit in the last place of an f32 number of magnitude 1: the rounding error of one f32 operation.
constexpr double kRounding = 0x1p-24;

SgdParams params_of(Variant variant) {
  SgdParams params;
  const bool by_neuron = variant == Variant::kByNeuron || variant == Variant::kByNeuronAtomic;
  params.accumulate = variant == Variant::kByWeight || by_neuron;
  params.granularity = by_neuron ? Granularity::kNeuron : Granularity::kWeight;
  return params;
}

bool is_adamw(Variant variant) { return variant == Variant::kAdamW || variant == Variant::kAdamWByWeight; }

bool has_step(Variant variant) {
  switch (variant) {
    case Variant::kAdamW:
    case Variant::kAdamWByWeight:
    case Variant::kSgd:
    case Variant::kByWeight:
    case Variant::kByNeuron:
    case Variant::kByNeuronAtomic:
    case Variant::kSeparate: return true;
    default: return false;
  }
}

/// The engine's operations need an arena with weights and momentum.
bool has_weights(Variant variant) { return has_step(variant) || !reduction_of(variant); }

bool has_sums_by_weight(Variant variant) {
  switch (variant) {
    case Variant::kAdamWByWeight:
    case Variant::kByWeight:
    case Variant::kStatisticsAlone:
    case Variant::kSeparate:
    case Variant::kMeasures:
    case Variant::kMeasuresAtomic:
    case Variant::kCubMeasures: return true;
    default: return false;
  }
}

bool has_positive_part(Variant variant) {
  return variant == Variant::kStatisticsAlone || variant == Variant::kSeparate;
}

bool has_sums_by_neuron(Variant variant) { return params_of(variant).granularity == Granularity::kNeuron; }

/// Random values on the device: uploads kDrawn of them and doubles them there until there are enough, since a host
/// would take long for 1e9. Element i is value i % kDrawn.
Tensor device_random(Backend& backend, std::int64_t count, std::uint32_t substream) {
  const std::int64_t drawn = std::min(count, kDrawn);
  const Tensor tensor = Tensor::empty(backend, {count});
  const Tensor one = Tensor::from_host(backend, {1}, std::vector<float>{1.0f});
  const std::vector<float> values = random_values(drawn, substream);
  tensor.view({drawn}).copy_from_host(std::span<const float>(values));
  for (std::int64_t filled = drawn; filled < count; filled *= 2) {
    const std::int64_t more = std::min(filled, count - filled);
    backend.scale(tensor.view({more}), one, 0, tensor.view({more}, filled));
  }
  backend.synchronize();
  return tensor;
}

/// A range of elements of the arena.
struct Range {
  std::int64_t begin, end;
};

/// A layer's weights and, if there is one, its bias.
std::vector<Range> elements_of(const LayerRange& layer) {
  std::vector<Range> ranges = {{layer.weight_offset, layer.weight_offset + layer.neurons * layer.row_length}};
  if (layer.bias_offset >= 0) ranges.push_back({layer.bias_offset, layer.bias_offset + layer.neurons});
  return ranges;
}

/// Zeros the padding between a layer's tensors and up to the next chunk, as in a network's arena.
void zero_padding(const Tensor& tensor, const std::vector<LayerRange>& layers) {
  for (const LayerRange& layer : layers) {
    std::int64_t from = layer.begin;
    for (const Range& range : elements_of(layer)) {
      if (range.begin > from) tensor.view({range.begin - from}, from).fill_zero();
      from = range.end;
    }
    if (layer.end > from) tensor.view({layer.end - from}, from).fill_zero();
  }
}

/// The compared elements: kCompared at each end.
std::vector<float> ends_of(const Tensor& tensor) {
  const std::int64_t part = std::min(kCompared, tensor.count());
  std::vector<float> values = host_values(tensor.view({part}));
  const std::vector<float> end = host_values(tensor.view({part}, tensor.count() - part));
  values.insert(values.end(), end.begin(), end.end());
  return values;
}

Tensor make_result(Backend& backend, std::optional<ArenaReduction> reduction, std::int64_t layers) {
  if (!reduction) return Tensor::zeros(backend, {kMeasureCount, layers}, DType::kF64);
  switch (*reduction) {
    case ArenaReduction::kLayerAbsolute: return Tensor::zeros(backend, {layers});
    case ArenaReduction::kWholeAbsolute: return Tensor::zeros(backend, {1});
    case ArenaReduction::kLayerSums: return Tensor::zeros(backend, {layers, 3}, DType::kF64);
    case ArenaReduction::kNeuronStep: break;
  }
  return {};
}

}  // namespace

std::optional<ArenaReduction> reduction_of(Variant variant) {
  switch (variant) {
    case Variant::kByNeuronAtomic: return ArenaReduction::kNeuronStep;
    case Variant::kMeasuresAtomic:
    case Variant::kCubMeasures: return ArenaReduction::kLayerSums;
    case Variant::kCubAbsolute: return ArenaReduction::kLayerAbsolute;
    case Variant::kCubWhole: return ArenaReduction::kWholeAbsolute;
    default: return std::nullopt;
  }
}

std::int64_t bytes_held(const Kind& kind) {
  return 4 + (has_weights(kind.variant) ? 8 : 0) + (is_adamw(kind.variant) ? 4 : 0) +
         (has_sums_by_weight(kind.variant) ? 8 : 0) + (kind.bf16_copy ? 2 : 0) +
         (has_positive_part(kind.variant) ? 4 : 0);
}

std::int64_t bytes_moved(const Kind& kind) {
  const std::int64_t sgd = 20 + (kind.bf16_copy ? 2 : 0), adamw = sgd + 8;
  switch (kind.variant) {
    case Variant::kAdamW: return adamw;
    case Variant::kAdamWByWeight: return adamw + 16;
    case Variant::kSgd: return sgd;
    case Variant::kByWeight: return sgd + 16;
    case Variant::kByNeuron:
    case Variant::kByNeuronAtomic: return sgd;  // plus 16 per neuron, about a thousandth of it
    case Variant::kStatisticsAlone: return 4 + 16;
    case Variant::kSeparate: return sgd + 16;  // it moves 52 bytes, but 36 are enough
    case Variant::kMeasures:
    case Variant::kMeasuresAtomic:
    case Variant::kCubMeasures: return 8;
    case Variant::kCubAbsolute:
    case Variant::kCubWhole: return 4;
  }
  return 0;
}

bool looks_first(Variant variant) { return has_step(variant); }

OptimizerProblem::OptimizerProblem(Backend& backend, const std::vector<LayerRange>& layers, const Kind& kind,
                                   ArenaReference* reference)
    : backend_(backend), kind_(kind), reference_(reference) {
  const std::int64_t count = layers.back().end, layer_count = static_cast<std::int64_t>(layers.size());
  const std::optional<ArenaReduction> reduction = reduction_of(kind.variant);
  arena_.gradients = device_random(backend, count, 1);
  zero_padding(arena_.gradients, layers);
  if (has_weights(kind.variant)) {
    arena_.weights = device_random(backend, count, 0);
    arena_.momentum = device_random(backend, count, 2);
  }
  if (is_adamw(kind.variant)) {
    arena_.second_moments = device_random(backend, count, 3);
    backend.relu_forward(arena_.second_moments, arena_.second_moments);
  }
  if (kind.bf16_copy) arena_.weights_bf16 = Tensor::empty(backend, {count}, DType::kBF16);
  arena_.layers = LayerTable(backend, layers);
  if (has_sums_by_weight(kind.variant) || has_sums_by_neuron(kind.variant)) {
    const std::int64_t sums = has_sums_by_neuron(kind.variant) ? arena_.layers.neurons() : count;
    arena_.signed_sums = Tensor::zeros(backend, {sums});
    arena_.absolute_sums = Tensor::zeros(backend, {sums});
  }
  if (has_positive_part(kind.variant)) positive_part_ = Tensor::empty(backend, {count});
  factors_ =
      Tensor::from_host(backend, {layer_count}, std::vector<float>(static_cast<std::size_t>(layer_count), kFactor));
  result_ = make_result(backend, reduction, layer_count);
  state_ = {Tensor::zeros(backend, {kStepCounterCount}, DType::kI64),
            Tensor::zeros(backend, {kStepMetricCount}, DType::kF64),
            Tensor::from_host(backend, {1}, std::vector<float>{kRate})};
  call_ = reduction ? reference->prepare(*reduction, {arena_, result_, factors_, state_, params_of(kind.variant)})
                    : [this] { call_engine(); };
}

/// Waits, since the tensors return to the backend, whose next work must not overtake the reference's.
OptimizerProblem::~OptimizerProblem() {
  try {
    queue().wait();
  } catch (const Error&) {  // the failed call has reported it
  }
}

WorkQueue OptimizerProblem::queue() const {
  return reduction_of(kind_.variant) ? reference_->queue() : queue_of(backend_);
}

std::function<void()> OptimizerProblem::prepare_flush(const Tensor& memory) const {
  if (reduction_of(kind_.variant)) return reference_->prepare_flush(memory);
  return [this, memory] { backend_.fill(memory, 0.0f); };
}

void OptimizerProblem::call_engine() const {
  const Variant variant = kind_.variant;
  if (variant == Variant::kMeasures) return backend_.measure_layers(arena_, Granularity::kWeight, result_);
  if (has_positive_part(variant)) {  // the statistics as tensor operations, in three passes
    backend_.add(arena_.signed_sums, arena_.gradients, arena_.signed_sums);
    backend_.relu_forward(arena_.gradients, positive_part_);
    backend_.add(arena_.absolute_sums, positive_part_, arena_.absolute_sums);
  }
  if (is_adamw(variant)) {
    AdamWParams params = kAdamW;
    params.accumulate = has_sums_by_weight(variant);
    return backend_.adamw_step(arena_, factors_, {}, state_, params);
  }
  if (has_step(variant)) backend_.sgd_step(arena_, factors_, state_, params_of(variant));
}

/// Runs one call after all earlier work of the backend, and waits for it.
void OptimizerProblem::run() const {
  backend_.synchronize();
  call();
  queue().wait();
}

void OptimizerProblem::verify_step(const StepInputs& before) const {
  const auto& [w, g, m, v] = before;
  const SgdParams sgd = params_of(kind_.variant);
  std::vector<double> weights, momentum, second;
  for (std::size_t i = 0; i < w.size(); ++i) {
    const double gradient = double{g[i]};
    if (is_adamw(kind_.variant)) {  // the first step: t = 1
      momentum.push_back(kAdamW.beta1 * m[i] + (1 - kAdamW.beta1) * gradient);
      second.push_back(kAdamW.beta2 * v[i] + (1 - kAdamW.beta2) * gradient * gradient);
      const double root = std::sqrt(second.back() / (1 - kAdamW.beta2));
      const double update = momentum.back() / (1 - kAdamW.beta1) / (root + double{kAdamW.epsilon});
      weights.push_back(w[i] - double{kRate} * (kFactor * update + double{kAdamW.weight_decay} * w[i]));
    } else {
      momentum.push_back(double{sgd.momentum} * m[i] + kFactor * gradient + double{sgd.weight_decay} * w[i]);
      weights.push_back(w[i] - double{kRate} * momentum.back());
    }
  }
  const auto actual = [](const Tensor& tensor) {
    const std::vector<float> values = ends_of(tensor);
    return std::vector<double>(values.begin(), values.end());
  };
  check_agrees("weights", actual(arena_.weights), weights, 1e-6);
  check_agrees("momentum", actual(arena_.momentum), momentum, 1e-6);
  if (is_adamw(kind_.variant)) check_agrees("second moments", actual(arena_.second_moments), second, 1e-6);
  if (kind_.bf16_copy) check_agrees("bf16 copy", actual(arena_.weights_bf16), weights, rounding_of(DType::kBF16));
}

/// Verifies the sums by weight.
void OptimizerProblem::verify_sums(const std::vector<float>& g) const {
  const std::vector<float> sums = ends_of(arena_.signed_sums), absolute = ends_of(arena_.absolute_sums);
  const bool positive_parts = positive_part_.defined();
  std::vector<double> actual, expected;
  for (std::size_t i = 0; i < g.size(); ++i) {
    actual.push_back(double{sums[i]});
    actual.push_back(positive_parts ? 2.0 * absolute[i] - sums[i] : double{absolute[i]});
    expected.push_back(double{g[i]});
    expected.push_back(std::abs(double{g[i]}));
  }
  check_agrees("sums", actual, expected, 1e-5);
}

/// Verifies the sums of the first and the last neuron of every layer.
void OptimizerProblem::verify_neurons() const {
  const std::vector<float> signed_sums = host_values(arena_.signed_sums);
  const std::vector<float> absolute_sums = host_values(arena_.absolute_sums);
  for (const LayerRange& layer : arena_.layers.ranges()) {
    for (const std::int64_t row : {std::int64_t{0}, layer.neurons - 1}) {
      std::vector<float> terms =
          host_values(arena_.gradients.view({layer.row_length}, layer.weight_offset + row * layer.row_length));
      if (layer.bias_offset >= 0) {
        const std::vector<float> bias = host_values(arena_.gradients.view({1}, layer.bias_offset + row));
        terms.push_back(bias[0]);
      }
      double sum = 0, magnitude = 0;
      for (const float term : terms) sum += double{term};
      for (const float term : terms) magnitude += std::abs(double{term});
      // A sum of n terms in f32, in any order, differs from the exact sum by (n - 1) roundings of at most the terms'
      // magnitude; a sum in f64 by one. The addition to the sums is another one.
      const double roundings = kind_.variant == Variant::kByNeuronAtomic ? static_cast<double>(terms.size()) : 2.0;
      const auto at = static_cast<std::size_t>(layer.neuron_begin + row);
      const double error =
          std::max(std::abs(double{signed_sums[at]} - sum), std::abs(double{absolute_sums[at]} - std::abs(sum)));
      check(error <= roundings * kRounding * magnitude, "neuron {}: sums {} and {}, expected {} and its magnitude", at,
            signed_sums[at], absolute_sums[at], sum);
    }
  }
}

/// Sets S to the gradient, and A to 2 for every weight.
void OptimizerProblem::set_sums() const {
  const Tensor one = Tensor::from_host(backend_, {1}, std::vector<float>{1.0f});
  backend_.scale(arena_.gradients, one, 0, arena_.signed_sums);
  backend_.fill(arena_.absolute_sums, 2.0f);
  zero_padding(arena_.absolute_sums, arena_.layers.ranges());
}

/// The expected sum of |g| of every layer.
std::vector<double> OptimizerProblem::layer_absolute() const {
  const std::int64_t drawn = std::min(count(), kDrawn);
  std::vector<double> before = {0};  // prefix sums of |value|
  for (const float value : random_values(drawn, 1)) before.push_back(before.back() + std::abs(double{value}));
  const auto sum_to = [&](std::int64_t end) {
    return static_cast<double>(end / drawn) * before.back() + before[static_cast<std::size_t>(end % drawn)];
  };
  std::vector<double> sums;
  for (const LayerRange& layer : arena_.layers.ranges()) {
    sums.push_back(0);
    for (const Range& range : elements_of(layer)) sums.back() += sum_to(range.end) - sum_to(range.begin);
  }
  return sums;
}

/// Verifies the measures or the references' sums. A sum in f64 has a rounding error of 1e-16 for each of at most 1e6
/// sequential additions.
void OptimizerProblem::verify_reduction() const {
  constexpr double kTolerance = 1e-9;
  if (arena_.signed_sums.defined()) set_sums();
  run();
  const std::vector<LayerRange>& layers = arena_.layers.ranges();
  const std::vector<double> absolute = layer_absolute();
  std::vector<double> expected;
  if (kind_.variant == Variant::kMeasures) {
    static_assert(kG == 0 && kGPrime == 1);
    for (int measure = 0; measure < 2; ++measure) {  // both are half the mean of |g|
      for (std::size_t l = 0; l < layers.size(); ++l)
        expected.push_back(absolute[l] / 2 / static_cast<double>(layers[l].count));
    }
    std::vector<double> measures = result_.to_host<double>();
    measures.resize(expected.size());
    return check_agrees("measures", measures, expected, kTolerance);
  }
  if (result_.dtype() == DType::kF64) {
    for (std::size_t l = 0; l < layers.size(); ++l) {
      const double sums[] = {absolute[l], 2.0 * static_cast<double>(layers[l].count), absolute[l] / 2};
      expected.insert(expected.end(), std::begin(sums), std::end(sums));
    }
    return check_agrees("sums of layers", result_.to_host<double>(), expected, kTolerance);
  }
  double whole = 0;
  std::int64_t longest = 0;
  for (const double sum : absolute) whole += sum;
  for (const LayerRange& layer : layers) longest = std::max(longest, layer.end - layer.begin);
  const bool is_whole = kind_.variant == Variant::kCubWhole;
  // CUB assigns one block of at least 128 threads to a segment. Each thread adds its share sequentially in f32; then
  // follows a tree of at most 64 levels.
  const std::int64_t share = (is_whole ? count() : longest) / 128 + 64;
  const std::vector<float> sums = host_values(result_);
  check_agrees("sums of |g|", std::vector<double>(sums.begin(), sums.end()),
               is_whole ? std::vector<double>{whole} : absolute, static_cast<double>(share) * kRounding);
}

void OptimizerProblem::verify() const {
  const Variant variant = kind_.variant;
  if (!has_step(variant) && variant != Variant::kStatisticsAlone) return verify_reduction();
  const StepInputs before{ends_of(arena_.weights), ends_of(arena_.gradients), ends_of(arena_.momentum),
                          is_adamw(variant) ? ends_of(arena_.second_moments) : std::vector<float>()};
  run();
  if (has_step(variant)) verify_step(before);
  if (has_sums_by_weight(variant)) verify_sums(before.gradients);
  if (has_sums_by_neuron(variant)) verify_neurons();
}

}  // namespace gradamp::bench

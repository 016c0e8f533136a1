// SPDX-License-Identifier: MIT
// Gradient statistics and SGD over a flat arena of 1e5 to 1e9 weights, in GB/s of the memory that has to be moved,
// beside the measured ceiling of a copy. Each is verified against float64 before it is timed.
//
// What has to be moved, in bytes a weight: SGD reads w, g and v and writes w and v (20), and where there is one a copy
// of w in bf16 (2); sums by weight are read and written (16). The step first looks at every gradient, since nothing may
// change where one is not finite, and reads it again to use it. The second reading is not counted in GB/s and of_copy;
// of_copy_with_look counts it (4), as for an arena that no cache holds.
//
// "Separate" is what a framework of tensor operations does: S += g; p = relu(g); P += p; then SGD. With P the sum of
// the positive parts, A = 2 P - S is the sum of |g|: the Backend has no operation |g|, and relu moves the same bytes.
#include <unistd.h>

#include <cmath>
#include <fstream>
#include <sstream>

#include "bench/bench_support.h"

namespace gradamp::bench {
namespace {

enum class Variant { kSgd, kByWeight, kByNeuron, kStatisticsAlone, kSeparate, kMeasures };

constexpr std::int64_t kRow = 576;  // weights that lead into a neuron: a 3x3 convolution of 64 channels
constexpr std::int64_t kLayers = 64;
constexpr std::int64_t kDrawn = std::int64_t{1} << 20;  // random values; what is longer repeats them
constexpr float kRate = 0.01f, kFactor = 2.0f;
/// So many elements at either end are compared.
constexpr std::int64_t kCompared = 100'000;

struct Kind {
  Variant variant;
  bool bf16_copy = false;
};

SgdParams params_of(Variant variant) {
  SgdParams params;
  params.accumulate = variant == Variant::kByWeight || variant == Variant::kByNeuron;
  params.granularity = variant == Variant::kByNeuron ? Granularity::kNeuron : Granularity::kWeight;
  return params;
}

bool has_sums_by_weight(Variant variant) { return variant != Variant::kSgd && variant != Variant::kByNeuron; }

/// What the arena and all that a variant works on come to, in bytes a weight.
std::int64_t bytes_held(const Kind& kind) {
  return 12 + (has_sums_by_weight(kind.variant) ? 8 : 0) + (kind.bf16_copy ? 2 : 0) +
         (kind.variant == Variant::kStatisticsAlone || kind.variant == Variant::kSeparate ? 4 : 0);
}

/// What a call has to move, in bytes a weight.
std::int64_t bytes_moved(const Kind& kind) {
  const std::int64_t sgd = 20 + (kind.bf16_copy ? 2 : 0);
  switch (kind.variant) {
    case Variant::kSgd: return sgd;
    case Variant::kByWeight: return sgd + 16;
    case Variant::kByNeuron: return sgd;  // and 16 a neuron, a thousandth of it
    case Variant::kStatisticsAlone: return 4 + 16;
    case Variant::kSeparate: return sgd + 16;  // it moves 52, for what can be done with 36
    case Variant::kMeasures: return 8;
  }
  return 0;
}

/// Whether a call looks at all gradients before it uses them.
bool looks_first(Variant variant) { return variant != Variant::kStatisticsAlone && variant != Variant::kMeasures; }

/// Error by LeftOut where `bytes` are not to be had. A host gives memory that it does not have, so it is asked before.
void check_memory(const Bench& bench, double bytes) {
  double free = static_cast<double>(bench.backend().memory_use().free);
  if (bench.device().kind != DeviceKind::kCuda) {
    std::ifstream file("/proc/meminfo");
    for (std::string line; std::getline(file, line);) {
      std::istringstream words(line);
      std::string name;
      double kibibytes = 0;
      if (words >> name >> kibibytes && name == "MemAvailable:") free = kibibytes * 1024;
    }
  }
  // The cache may hold what earlier benchmarks let go, and gives it back where it is short.
  free += static_cast<double>(bench.backend().memory_use().held - bench.backend().memory_use().in_use);
  if (free > 0 && bytes * 1.1 > free) {
    throw LeftOut(fmt::format("it needs {:.1f} GB of memory, and {:.1f} GB are free", bytes / 1e9, free / 1e9));
  }
}

/// Random values on the device: kDrawn of them, doubled there until there are enough; a host would take long over 1e9.
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

/// Equal layers without padding: whole chunks and whole neurons.
std::vector<LayerRange> make_layers(std::int64_t weights) {
  constexpr std::int64_t kUnit = 4;  // neurons of kRow weights are whole chunks
  static_assert(kUnit * kRow % kArenaChunk == 0);
  const std::int64_t neurons = std::max<std::int64_t>(1, weights / (kLayers * kRow * kUnit)) * kUnit;
  std::vector<LayerRange> layers;
  for (std::int64_t l = 0; l < kLayers; ++l) {
    const std::int64_t begin = l * neurons * kRow;
    layers.push_back({begin, begin + neurons * kRow, neurons * kRow, begin, kRow, -1, neurons, l * neurons});
  }
  return layers;
}

struct Problem {
  Backend& backend;
  Kind kind;
  Arena arena;
  Tensor factors, positive_part, measures;
  StepState state;

  std::int64_t count() const { return arena.weights.count(); }
};

Problem make_problem(const Bench& bench, std::int64_t weights, const Kind& kind) {
  Backend& backend = bench.backend();
  const std::vector<LayerRange> layers = make_layers(weights);
  const std::int64_t count = layers.back().end;
  check_memory(bench, static_cast<double>(count * bytes_held(kind)));
  Problem problem{backend, kind, {}, {}, {}, {}, {}};
  problem.arena.weights = device_random(backend, count, 0);
  problem.arena.gradients = device_random(backend, count, 1);
  problem.arena.momentum = device_random(backend, count, 2);
  if (kind.bf16_copy) problem.arena.weights_bf16 = Tensor::empty(backend, {count}, DType::kBF16);
  if (kind.variant != Variant::kSgd) {
    const std::int64_t sums = kind.variant == Variant::kByNeuron ? count / kRow : count;
    problem.arena.signed_sums = Tensor::zeros(backend, {sums});
    problem.arena.absolute_sums = Tensor::zeros(backend, {sums});
  }
  if (kind.variant == Variant::kStatisticsAlone || kind.variant == Variant::kSeparate)
    problem.positive_part = Tensor::empty(backend, {count});
  problem.arena.layers = LayerTable(backend, layers);
  problem.factors = Tensor::from_host(backend, {kLayers}, std::vector<float>(kLayers, kFactor));
  problem.measures = Tensor::zeros(backend, {kMeasureCount, kLayers}, DType::kF64);
  problem.state = {Tensor::zeros(backend, {kStepCounterCount}, DType::kI64),
                   Tensor::zeros(backend, {kStepMetricCount}, DType::kF64),
                   Tensor::from_host(backend, {1}, std::vector<float>{kRate})};
  return problem;
}

/// The statistics by operations on tensors, in three passes.
void gather_statistics(const Problem& problem) {
  const Arena& arena = problem.arena;
  problem.backend.add(arena.signed_sums, arena.gradients, arena.signed_sums);
  problem.backend.relu_forward(arena.gradients, problem.positive_part);
  problem.backend.add(arena.absolute_sums, problem.positive_part, arena.absolute_sums);
}

void call(const Problem& problem) {
  const Variant variant = problem.kind.variant;
  if (variant == Variant::kMeasures)
    return problem.backend.measure_layers(problem.arena, Granularity::kWeight, problem.measures);
  if (variant == Variant::kStatisticsAlone || variant == Variant::kSeparate) gather_statistics(problem);
  if (variant == Variant::kStatisticsAlone) return;
  problem.backend.sgd_step(problem.arena, problem.factors, problem.state, params_of(variant));
}

/// The elements that are compared: a part at either end.
std::vector<float> ends_of(const Tensor& tensor) {
  const std::int64_t part = std::min(kCompared, tensor.count());
  std::vector<float> values = host_values(tensor.view({part}));
  const std::vector<float> end = host_values(tensor.view({part}, tensor.count() - part));
  values.insert(values.end(), end.begin(), end.end());
  return values;
}

void verify_sgd(const Problem& problem, const std::vector<float>& w, const std::vector<float>& g,
                const std::vector<float>& v) {
  const SgdParams params = params_of(problem.kind.variant);
  std::vector<double> weights, momentum;
  for (std::size_t i = 0; i < w.size(); ++i) {
    momentum.push_back(double{params.momentum} * v[i] + kFactor * double{g[i]} + double{params.weight_decay} * w[i]);
    weights.push_back(w[i] - double{kRate} * momentum.back());
  }
  const auto actual = [](const Tensor& tensor) {
    const std::vector<float> values = ends_of(tensor);
    return std::vector<double>(values.begin(), values.end());
  };
  check_agrees("weights", actual(problem.arena.weights), weights, 1e-6);
  check_agrees("momentum", actual(problem.arena.momentum), momentum, 1e-6);
  if (problem.kind.bf16_copy)
    check_agrees("bf16 copy", actual(problem.arena.weights_bf16), weights, rounding_of(DType::kBF16));
}

void verify_sums(const Problem& problem, const std::vector<float>& g) {
  const std::vector<float> sums = ends_of(problem.arena.signed_sums);
  const std::vector<float> absolute = ends_of(problem.arena.absolute_sums);
  std::vector<double> actual, expected;
  if (problem.kind.variant == Variant::kByNeuron) {  // the first neuron's
    double sum = 0;
    for (std::int64_t i = 0; i < kRow; ++i) sum += double{g[static_cast<std::size_t>(i)]};
    actual = {double{sums[0]}, double{absolute[0]}};
    expected = {sum, std::abs(sum)};
  } else {
    const bool positive_parts = problem.positive_part.defined();
    for (std::size_t i = 0; i < g.size(); ++i) {
      actual.push_back(double{sums[i]});
      actual.push_back(positive_parts ? 2.0 * absolute[i] - sums[i] : double{absolute[i]});
      expected.push_back(double{g[i]});
      expected.push_back(std::abs(double{g[i]}));
    }
  }
  check_agrees("sums", actual, expected, 1e-5);
}

/// With S the gradient and A = 2 everywhere, both measures are half of the mean of |g|.
void verify_measures(const Problem& problem) {
  const Tensor one = Tensor::from_host(problem.backend, {1}, std::vector<float>{1.0f});
  problem.backend.scale(problem.arena.gradients, one, 0, problem.arena.signed_sums);
  problem.backend.fill(problem.arena.absolute_sums, 2.0f);
  call(problem);
  const std::int64_t drawn = std::min(problem.count(), kDrawn);
  std::vector<double> before = {0};  // of the sum of |g|, over the values drawn
  for (const float value : problem.arena.gradients.view({drawn}).to_host<float>())
    before.push_back(before.back() + std::abs(double{value}));
  const auto sum_to = [&](std::int64_t end) {
    return static_cast<double>(end / drawn) * before.back() + before[static_cast<std::size_t>(end % drawn)];
  };
  std::vector<double> expected;
  for (int measure = 0; measure < 2; ++measure) {
    for (const LayerRange& layer : problem.arena.layers.ranges())
      expected.push_back((sum_to(layer.end) - sum_to(layer.begin)) / 2 / static_cast<double>(layer.count));
  }
  std::vector<double> measures = problem.measures.to_host<double>();
  static_assert(kG == 0 && kGPrime == 1);
  measures.resize(expected.size());
  check_agrees("measures", measures, expected, 1e-9);
}

void verify(const Problem& problem) {
  if (problem.kind.variant == Variant::kMeasures) return verify_measures(problem);
  const std::vector<float> w = ends_of(problem.arena.weights), g = ends_of(problem.arena.gradients);
  const std::vector<float> v = ends_of(problem.arena.momentum);
  call(problem);
  if (problem.kind.variant != Variant::kStatisticsAlone) verify_sgd(problem, w, g, v);
  if (problem.kind.variant != Variant::kSgd) verify_sums(problem, g);
}

Measured measure(const Bench& bench, std::int64_t weights, const Kind& kind) {
  const Problem problem = make_problem(bench, weights, kind);
  verify(problem);
  const double count = static_cast<double>(problem.count());
  const double bytes = count * static_cast<double>(bytes_moved(kind));
  Measured measured{time_recorded(
                        bench.backend(), 1, [&](int) { call(problem); }, bench.timing()),
                    {bytes, 0},
                    {},
                    {}};
  const double look = looks_first(kind.variant) ? 4 * count : 0;
  measured.counters["of_copy_with_look"] = (bytes + look) / measured.timing.seconds / bench.ceilings().copy();
  measured.counters["weights"] = count;
  if (bytes < kLargestCache) measured.label = "fits in a cache";
  return measured;
}

void add(const Bench& bench, const std::vector<double>& sizes) {
  const std::pair<const char*, Kind> kinds[] = {
      {"sgd", {Variant::kSgd}},
      {"sgd_bf16_copy", {Variant::kSgd, true}},
      {"statistics_alone", {Variant::kStatisticsAlone}},
      {"statistics_separate_then_sgd", {Variant::kSeparate}},
      {"statistics_fused_with_sgd", {Variant::kByWeight}},
      {"statistics_fused_with_sgd_bf16_copy", {Variant::kByWeight, true}},
      {"statistics_by_neuron_with_sgd", {Variant::kByNeuron}},
      {"measure_layers", {Variant::kMeasures}},
  };
  for (const auto& [name, kind] : kinds) {
    if (kind.bf16_copy && bench.device().kind == DeviceKind::kCpu) continue;  // f32 only
    for (const double size : sizes) {
      add_benchmark(fmt::format("{}/{:.0e}", name, size), bench,
                    [&bench, size, kind = kind] { return measure(bench, static_cast<std::int64_t>(size), kind); });
    }
  }
}

}  // namespace
}  // namespace gradamp::bench

int main(int argc, char** argv) {
  using namespace gradamp::bench;
  BenchOptions options;
  std::vector<double> sizes = {1e5, 1e6, 1e7, 1e8, 1e9};
  CLI::App app("Gradient statistics and SGD over a flat arena, in GB/s beside a copy");
  add_options(app, options);
  app.add_option("--sizes", sizes, "weights, separated by commas")->delimiter(',')->capture_default_str();
  return run_benchmarks(app, options, argc, argv, [&](const Bench& bench) { add(bench, sizes); });
}

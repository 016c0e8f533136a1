// SPDX-License-Identifier: MIT
// Checks sums over the grid, the optimizer's step and a graph, on numbers for which all arithmetic is exact in f32:
// whole numbers, and fractions with few binary digits. The results must be equal, with or without fused multiply-adds.
#include <cstddef>
#include <utility>

#include "gradamp/core/bf16.h"
#include "gradamp/kernels/cuda/self_check_support.h"

namespace gradamp::GRADAMP_GPU {
namespace {

std::vector<float> rounded(std::vector<float> values, DType type) {
  if (type == DType::kBF16) {
    for (float& value : values) value = gradamp::from_bf16(gradamp::to_bf16(value));
  }
  return values;
}

// ---- Batch norm ----

/// 512 rows: four groups of moments. The values of each channel are its mean plus 253 pairs of +2 and -2, one pair of
/// +3 and -3, one pair of +1 and -1, and two zeros; the rows of a pair are neighbors. Their squares sum to 2 (253 4 + 9
/// + 1) = 2044 = 4 (512 - 1), so that the unbiased variance is 4 and the biased one 4 - 1/128.
constexpr std::int64_t kRows = 512;
constexpr float kBiasedVariance = 4.0f - 1.0f / 128, kUnbiasedVariance = 4.0f;
constexpr std::int64_t kChannels = 40;

float channel_mean(std::int64_t channel) { return static_cast<float>(channel % 7 - 3); }

/// Row `row` of the channel minus its mean. Each channel has the irregular pairs in other rows.
float centered(std::int64_t row, std::int64_t channel) {
  const std::int64_t pair = (row / 2 + 37 * channel) % (kRows / 2);
  const float size = pair == 0 ? 0.0f : pair == 1 ? 1.0f : pair == 2 ? 3.0f : 2.0f;
  return (row + channel) % 2 == 0 ? size : -size;
}

/// The expected results of batch norm, computed from the definition.
struct BatchNormExpected {
  std::vector<float> x, grad_y, y, grad_x;                             // (kRows, kChannels)
  std::vector<float> mean, inverse_std, running_mean, running_var;     // (kChannels)
  std::vector<float> gamma, beta, grad_gamma, grad_beta, column_sums;  // likewise
};

/// With epsilon = 1/128 the std is 2; with momentum = 1/4 the running statistics have two fractional binary digits.
constexpr BatchNormParams kBatchNorm{.epsilon = 4.0f - kBiasedVariance, .momentum = 0.25f, .relu = false};
constexpr float kRunningMean = 8.0f, kRunningVar = 16.0f;  // before the step

BatchNormExpected batch_norm_expected() {
  constexpr float kInverseStd = 0.5f, kShare = 1.0f / kRows;
  BatchNormExpected all;
  all.grad_y = whole_numbers(kRows * kChannels, 4, 5);
  all.x.resize(all.grad_y.size());
  all.y = all.grad_x = all.x;
  for (std::int64_t c = 0; c < kChannels; ++c) {
    const auto at = [&](std::int64_t row) { return static_cast<std::size_t>(row * kChannels + c); };
    const float mean = channel_mean(c), gamma = c % 2 == 0 ? 1.0f : -2.0f, beta = static_cast<float>(c % 5 - 2);
    float gradient_sum = 0, product_sum = 0;
    for (std::int64_t row = 0; row < kRows; ++row) {
      const float normalized = centered(row, c) * kInverseStd;
      all.x[at(row)] = mean + centered(row, c);
      all.y[at(row)] = gamma * normalized + beta;
      gradient_sum += all.grad_y[at(row)];
      product_sum += all.grad_y[at(row)] * normalized;
    }
    for (std::int64_t row = 0; row < kRows; ++row) {
      all.grad_x[at(row)] =
          gamma * kInverseStd *
          (all.grad_y[at(row)] - gradient_sum * kShare - centered(row, c) * kInverseStd * product_sum * kShare);
    }
    all.gamma.push_back(gamma);
    all.beta.push_back(beta);
    all.mean.push_back(mean);
    all.inverse_std.push_back(kInverseStd);
    all.running_mean.push_back(kRunningMean + kBatchNorm.momentum * (mean - kRunningMean));
    all.running_var.push_back(kRunningVar + kBatchNorm.momentum * (kUnbiasedVariance - kRunningVar));
    all.grad_gamma.push_back(product_sum);
    all.grad_beta.push_back(gradient_sum);
    all.column_sums.push_back(mean * static_cast<float>(kRows));
  }
  return all;
}

/// Runs the batch norm twice: on x as the output of an identity convolution, which computes its moments, and on x
/// itself.
std::string check_batch_norm(CudaBackend& backend, DType type) {
  const BatchNormExpected expected = batch_norm_expected();
  const Shape rows{2, 16, 16, kChannels}, channels{kChannels};
  const Tensor x = to_device(backend, rows, expected.x, type), grad_y = to_device(backend, rows, expected.grad_y, type);
  const Tensor gamma = to_device(backend, channels, expected.gamma), beta = to_device(backend, channels, expected.beta);
  std::vector<float> identity(static_cast<std::size_t>(kChannels * kChannels), 0.0f);
  for (std::int64_t c = 0; c < kChannels; ++c) identity[static_cast<std::size_t>(c * kChannels + c)] = 1.0f;

  std::string found;
  const auto compare = [&](const ResultName& name, const Tensor& got, const std::vector<float>& values) {
    if (found.empty()) found = disagreement(name, got.shape(), to_host(got), rounded(values, got.dtype()));
  };
  for (const bool by_convolution : {true, false}) {
    Tensor input = x;
    ChannelMoments moments;
    if (by_convolution) {
      const Tensor filter = to_device(backend, {kChannels, 1, 1, kChannels}, identity, type);
      input = Tensor::empty(backend, rows, type);
      Conv2dForward convolution{.x = x, .weight = filter, .bias = {}, .y = input, .moments = {}};
      convolution.moments = moments = backend.make_moments(convolution, {});
      backend.conv2d_forward(convolution, {});
      compare({"output of a convolution by the identity", {"n", "h", "w", "c"}}, input, expected.x);
    }
    const auto empty = [&] { return Tensor::empty(backend, channels); };
    const Tensor mean = empty(), inverse_std = empty(), grad_gamma = empty(), grad_beta = empty(), sums = empty();
    const Tensor running_mean = empty(), running_var = empty();
    backend.fill(running_mean, kRunningMean);
    backend.fill(running_var, kRunningVar);
    const Tensor y = Tensor::empty(backend, rows, type), grad_x = Tensor::empty(backend, rows, type);
    backend.batch_norm_forward_training({.x = input,
                                         .moments = moments,
                                         .residual = {},
                                         .gamma = gamma,
                                         .beta = beta,
                                         .running_mean = running_mean,
                                         .running_var = running_var,
                                         .y = y,
                                         .mean = mean,
                                         .inverse_std = inverse_std,
                                         .affine = {}},
                                        kBatchNorm);
    backend.batch_norm_backward({.grad_y = grad_y,
                                 .x = input,
                                 .gamma = gamma,
                                 .beta = beta,
                                 .mean = mean,
                                 .inverse_std = inverse_std,
                                 .y = {},
                                 .grad_x = grad_x,
                                 .grad_gamma = grad_gamma,
                                 .grad_beta = grad_beta,
                                 .grad_residual = {},
                                 .sums = {}},
                                kBatchNorm);
    backend.bias_backward(input, sums);
    compare({"mean", {"c"}}, mean, expected.mean);
    compare({"inverse_std", {"c"}}, inverse_std, expected.inverse_std);
    compare({"running_mean", {"c"}}, running_mean, expected.running_mean);
    compare({"running_var", {"c"}}, running_var, expected.running_var);
    compare({"y", {"n", "h", "w", "c"}}, y, expected.y);
    compare({"grad_gamma", {"c"}}, grad_gamma, expected.grad_gamma);
    compare({"grad_beta", {"c"}}, grad_beta, expected.grad_beta);
    compare({"grad_x", {"n", "h", "w", "c"}}, grad_x, expected.grad_x);
    compare({"sum over the pixels", {"c"}}, sums, expected.column_sums);
  }
  return found;
}

// ---- The optimizer ----

/// One layer of six neurons with 70 weights and a bias each, and one of ten neurons with 72 weights and no bias.
std::vector<LayerRange> layer_ranges() {
  return {{.begin = 0,
           .end = 512,
           .count = 426,
           .weight_offset = 0,
           .row_length = 70,
           .bias_offset = 420,
           .neurons = 6,
           .neuron_begin = 0},
          {.begin = 512,
           .end = 1280,
           .count = 720,
           .weight_offset = 512,
           .row_length = 72,
           .bias_offset = -1,
           .neurons = 10,
           .neuron_begin = 6}};
}

constexpr std::int64_t kArenaSize = 1280, kNeurons = 16;

/// Whole numbers; zero in the padding.
std::vector<float> arena_values(int limit, std::uint32_t seed) {
  std::vector<float> values = whole_numbers(kArenaSize, limit, seed);
  for (const LayerRange& layer : layer_ranges()) {
    for (std::int64_t i = layer.begin + layer.count; i < layer.end; ++i) values[static_cast<std::size_t>(i)] = 0.0f;
  }
  return values;
}

/// The sum of `gradients` over the weights and the bias of each neuron.
std::vector<float> neuron_sums(const std::vector<float>& gradients) {
  std::vector<float> sums;
  for (const LayerRange& layer : layer_ranges()) {
    for (std::int64_t neuron = 0; neuron < layer.neurons; ++neuron) {
      float sum = layer.bias_offset < 0 ? 0.0f : gradients[static_cast<std::size_t>(layer.bias_offset + neuron)];
      for (std::int64_t i = 0; i < layer.row_length; ++i)
        sum += gradients[static_cast<std::size_t>(layer.weight_offset + neuron * layer.row_length + i)];
      sums.push_back(sum);
    }
  }
  return sums;
}

/// An arena without gradients whose sums and momentum are zero.
Arena arena_of(Backend& backend, const std::vector<float>& weights, std::int64_t sums) {
  Arena arena;
  arena.weights = to_device(backend, {kArenaSize}, weights);
  arena.momentum = Tensor::zeros(backend, {kArenaSize});
  arena.weights_bf16 = Tensor::zeros(backend, {kArenaSize}, DType::kBF16);
  arena.signed_sums = Tensor::zeros(backend, {sums});
  arena.absolute_sums = Tensor::zeros(backend, {sums});
  arena.layers = LayerTable(backend, layer_ranges());
  return arena;
}

/// The state of a run that has done `steps` steps.
StepState step_state(Backend& backend, std::int64_t steps, float learning_rate) {
  std::vector<std::int64_t> counters(kStepCounterCount, 0);
  counters[kStep] = steps;
  StepState state;
  state.counters = Tensor::from_host(backend, {kStepCounterCount}, counters);
  state.metrics = Tensor::zeros(backend, {kStepMetricCount}, DType::kF64);
  state.learning_rate = to_device(backend, {1}, {learning_rate});
  return state;
}

/// Two steps with factors 1 and 2. A weight then has at most ten fractional binary digits.
std::string check_optimizer(CudaBackend& backend, Granularity granularity) {
  constexpr float kLearningRate = 0.25f;
  constexpr float kFactors[] = {1.0f, 2.0f};
  const SgdParams params{
      .momentum = 0.5f, .weight_decay = 0.125f, .nesterov = false, .accumulate = true, .granularity = granularity};
  std::vector<float> weights = arena_values(8, 6);
  std::vector<float> momentum(weights.size(), 0.0f);
  const std::int64_t sum_count = granularity == Granularity::kWeight ? kArenaSize : kNeurons;
  std::vector<float> signed_sums(static_cast<std::size_t>(sum_count), 0.0f), absolute_sums = signed_sums;

  const Shape size{kArenaSize};
  Arena arena = arena_of(backend, weights, sum_count);
  Arena window = arena;  // with sums of its own
  window.signed_sums = Tensor::zeros(backend, {sum_count});
  window.absolute_sums = Tensor::zeros(backend, {sum_count});
  const StepState state = step_state(backend, 0, kLearningRate);
  const Tensor factors = to_device(backend, {2}, {kFactors[0], kFactors[1]});
  for (const std::uint32_t seed : {7u, 8u}) {
    const std::vector<float> gradients = arena_values(8, seed);
    arena.gradients = to_device(backend, size, gradients);
    backend.sgd_step(arena, factors, state, params);
    window.gradients = arena.gradients;
    backend.accumulate_sums(window, granularity, state);
    backend.synchronize();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const float factor = kFactors[i < static_cast<std::size_t>(layer_ranges()[1].begin) ? 0 : 1];
      momentum[i] = params.momentum * momentum[i] + factor * gradients[i] + params.weight_decay * weights[i];
      weights[i] -= kLearningRate * momentum[i];
    }
    const std::vector<float> terms = granularity == Granularity::kWeight ? gradients : neuron_sums(gradients);
    for (std::size_t i = 0; i < terms.size(); ++i) {
      signed_sums[i] += terms[i];
      absolute_sums[i] += std::abs(terms[i]);
    }
  }
  const std::vector<std::int64_t> counters = state.counters.to_host<std::int64_t>();
  if (counters[kFirstBadStep] != 0) return "finite gradients were taken for ones that are not finite";
  std::string found;
  const auto compare = [&](const char* name, const Tensor& got, const std::vector<float>& values) {
    if (found.empty())
      found = disagreement({name, {"element"}}, got.shape(), to_host(got), rounded(values, got.dtype()));
  };
  compare("signed_sums", arena.signed_sums, signed_sums);
  compare("absolute_sums", arena.absolute_sums, absolute_sums);
  compare("signed_sums of a window", window.signed_sums, signed_sums);
  compare("absolute_sums of a window", window.absolute_sums, absolute_sums);
  compare("momentum", arena.momentum, momentum);
  compare("weights", arena.weights, weights);
  compare("weights_bf16", arena.weights_bf16, weights);
  return found;
}

/// The first step of AdamW with factors 1 and 2, and a gradient scale of 1/2. The scaled gradients are 0, 1, 3 or 7 in
/// magnitude. With epsilon 1 their updates are 0, 1/2, 3/4 or 7/8; the bias corrections are powers of two.
std::string check_adamw(CudaBackend& backend) {
  constexpr float kLearningRate = 0.25f, kScale = 0.5f;
  constexpr float kFactors[] = {1.0f, 2.0f};
  constexpr AdamWParams kParams{
      .beta1 = 0.5, .beta2 = 0.75, .epsilon = 1.0f, .weight_decay = 0.125f, .accumulate = true};
  constexpr float kMagnitudes[] = {0, 1, 3, 7};
  std::vector<float> weights = arena_values(8, 9), gradients = arena_values(3, 10);
  std::vector<float> first, second, absolute_sums;
  for (std::size_t i = 0; i < weights.size(); ++i) {
    const float magnitude = kMagnitudes[static_cast<int>(std::abs(gradients[i]))];
    const float g = gradients[i] < 0 ? -magnitude : magnitude;
    const float factor = kFactors[i < static_cast<std::size_t>(layer_ranges()[1].begin) ? 0 : 1];
    gradients[i] = g / kScale;
    absolute_sums.push_back(std::abs(gradients[i]));
    first.push_back(0.5f * g);
    second.push_back(0.25f * g * g);
    weights[i] -= kLearningRate * (factor * g / (magnitude + 1) + 0.125f * weights[i]);
  }
  Arena arena = arena_of(backend, arena_values(8, 9), kArenaSize);
  arena.gradients = to_device(backend, {kArenaSize}, gradients);
  arena.second_moments = Tensor::zeros(backend, {kArenaSize});
  backend.adamw_step(arena, to_device(backend, {2}, {kFactors[0], kFactors[1]}), to_device(backend, {1}, {kScale}),
                     step_state(backend, 0, kLearningRate), kParams);
  std::string found;
  const auto compare = [&](const char* name, const Tensor& got, const std::vector<float>& values) {
    if (found.empty())
      found = disagreement({name, {"element"}}, got.shape(), to_host(got), rounded(values, got.dtype()));
  };
  compare("first moments", arena.momentum, first);
  compare("second moments", arena.second_moments, second);
  compare("signed_sums", arena.signed_sums, gradients);
  compare("absolute_sums", arena.absolute_sums, absolute_sums);
  compare("weights", arena.weights, weights);
  compare("weights_bf16", arena.weights_bf16, weights);
  return found;
}

/// The scale for a gradient whose squares sum to kArenaSize, and the learning rate of a step of a table.
std::string check_step_inputs(CudaBackend& backend) {
  std::vector<float> gradients(kArenaSize);
  for (std::size_t i = 0; i < gradients.size(); ++i) gradients[i] = i % 3 == 0 ? -1.0f : 1.0f;
  const Tensor on_device = to_device(backend, {kArenaSize}, gradients), scale = Tensor::empty(backend, {1});
  const double norm = std::sqrt(static_cast<double>(kArenaSize));
  for (const double max_norm : {norm / 4, 2 * norm}) {
    backend.clip_scale(on_device, max_norm, scale);
    const double ratio = max_norm / (norm + kClipEpsilon);
    const std::string found = disagreement({"scale of a clipped gradient", {"element"}}, {1}, to_host(scale),
                                           std::vector<float>{ratio < 1 ? static_cast<float>(ratio) : 1.0f});
    if (!found.empty()) return found;
  }
  const StepState state = step_state(backend, 7, 1.0f);
  backend.set_learning_rate(to_device(backend, {3}, {0.5f, 0.25f, 0.125f}), state);
  return disagreement({"learning rate", {"element"}}, {1}, to_host(state.learning_rate), std::vector<float>{0.25f});
}

// ---- Recordings ----

/// Four replays, each on a new input: the first runs the operations directly, the second captures a graph of them, the
/// others launch it.
std::string check_recording(CudaBackend& backend) {
  constexpr std::int64_t kReplayRows = 300, kReplayChannels = 24;
  const Shape shape{kReplayRows, kReplayChannels}, channels{kReplayChannels};
  const Tensor x = Tensor::empty(backend, shape), total = Tensor::zeros(backend, shape);
  const Tensor sums = Tensor::zeros(backend, channels);
  const std::unique_ptr<Recording> recording = backend.record([&] {
    const Tensor twice = Tensor::empty(backend, shape);
    backend.add(x, x, twice);
    backend.add(total, twice, total);
    backend.bias_backward(total, sums);
  });
  std::vector<float> expected(static_cast<std::size_t>(shape.count()), 0.0f);
  for (std::uint32_t replay = 1; replay <= 4; ++replay) {
    const std::vector<float> values = whole_numbers(shape.count(), 100, 10 + replay);
    x.copy_from_host(std::span<const float>(values));
    recording->replay();
    std::vector<float> expected_sums(kReplayChannels, 0.0f);
    for (std::size_t i = 0; i < values.size(); ++i) {
      expected[i] += 2 * values[i];
      expected_sums[i % kReplayChannels] += expected[i];
    }
    std::string found = disagreement({"total", {"row", "channel"}}, shape, to_host(total), expected);
    if (found.empty()) found = disagreement({"sum over the rows", {"channel"}}, channels, to_host(sums), expected_sums);
    if (!found.empty()) return fmt::format("{}, at replay {}", found, replay);
  }
  return {};
}

}  // namespace

std::vector<CheckedPart> operation_parts(CheckedBackends& backends) {
  using enum Precision;
  CudaBackend *const in_f32 = &backends.f32, *const in_bf16 = &backends.bf16;
  const std::vector<Precision> all = {kF32, kTF32, kBF16};
  return {
      {"batch norm, f32", {kF32, kTF32}, [=] { return check_batch_norm(*in_f32, DType::kF32); }},
      {"batch norm, bf16", {kBF16}, [=] { return check_batch_norm(*in_bf16, DType::kBF16); }},
      {"optimizer step by weight", all, [=] { return check_optimizer(*in_f32, Granularity::kWeight); }},
      {"optimizer step by neuron", all, [=] { return check_optimizer(*in_f32, Granularity::kNeuron); }},
      {"optimizer step of AdamW", all, [=] { return check_adamw(*in_f32); }},
      {"clipping and learning rate", all, [=] { return check_step_inputs(*in_f32); }},
      {"recorded graph", all, [=] { return check_recording(*in_f32); }},
  };
}

}  // namespace gradamp::GRADAMP_GPU

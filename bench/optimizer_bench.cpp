// SPDX-License-Identifier: MIT
// The optimizer's kernel over a flat arena, 1e5 to 1e8 weights: SGD alone, and fused with gradient statistics by weight
// and by neuron, in GB/s of the memory it must move, beside a copy of the same machine. Each is verified against a
// plain loop in double precision before it is timed.
#include <cmath>
#include <cstring>
#include <map>

#include <benchmark/benchmark.h>

#include "core/philox.h"
#include "kernels/backends.h"

namespace gradamp {
namespace {

enum class Variant { kSgd, kByWeight, kByNeuron };

constexpr std::int64_t kRow = 576;  // weights that lead into a neuron: a 3x3 convolution of 64 channels

struct Problem {
  Backend& backend;
  Arena arena;
  Tensor factors;
  StepState state;
  std::vector<float> start;
};

Tensor random_tensor(Backend& backend, std::int64_t count, std::uint32_t substream) {
  std::vector<float> values(static_cast<std::size_t>(count));
  PhiloxSequence random(1, RandomStream::kTest, substream);
  for (float& value : values) value = 2.0f * random.uniform() - 1.0f;
  return Tensor::from_host(backend, {count}, values);
}

Problem make_problem(Backend& backend, std::int64_t weights, Variant variant) {
  const std::int64_t neurons = std::max<std::int64_t>(1, weights / kRow);
  const std::int64_t real = neurons * kRow;
  const std::int64_t count = (real + kArenaChunk - 1) / kArenaChunk * kArenaChunk;
  Problem problem{backend, {}, Tensor::from_host(backend, {1}, std::vector<float>{2.0f}), {}, {}};
  problem.arena.weights = random_tensor(backend, count, 0);
  problem.arena.gradients = random_tensor(backend, count, 1);
  problem.arena.momentum = random_tensor(backend, count, 2);
  const std::int64_t sums = variant == Variant::kByNeuron ? neurons : count;
  problem.arena.signed_sums = Tensor::zeros(backend, {sums});
  problem.arena.absolute_sums = Tensor::zeros(backend, {sums});
  problem.arena.layers = LayerTable(backend, {LayerRange{0, count, real, 0, kRow, -1, neurons, 0}});
  problem.state = {Tensor::zeros(backend, {kStepCounterCount}, DType::kI64),
                   Tensor::zeros(backend, {kStepMetricCount}, DType::kF64),
                   Tensor::from_host(backend, {1}, std::vector<float>{0.01f})};
  problem.start = problem.arena.weights.to_host<float>();
  return problem;
}

/// One step against a plain loop: weights, and the sums of the first neuron or weight. False where they differ.
bool verify(const Problem& problem, const SgdParams& params, Variant variant) {
  const std::vector<float> g = problem.arena.gradients.to_host<float>();
  const std::vector<float> v = problem.arena.momentum.to_host<float>();
  problem.backend.sgd_step(problem.arena, problem.factors, problem.state, params);
  const std::vector<float> weights = problem.arena.weights.to_host<float>();
  for (std::size_t i = 0; i < weights.size(); i += 997) {
    const double velocity =
        params.momentum * double{v[i]} + 2.0 * g[i] + params.weight_decay * double{problem.start[i]};
    if (!(std::abs(problem.start[i] - 0.01f * velocity - weights[i]) < 1e-6)) return false;
  }
  if (variant == Variant::kSgd) return true;
  double expected = 0;
  for (std::size_t i = 0; i < (variant == Variant::kByNeuron ? kRow : 1); ++i) expected += g[i];
  return std::abs(problem.arena.signed_sums.to_host<float>()[0] - expected) < 1e-3;
}

/// Bytes that a step has to move: it reads w, g and v and writes w and v; sums by weight are read and written.
std::int64_t bytes_moved(const Problem& problem, Variant variant) {
  const std::int64_t count = problem.arena.weights.count();
  return 4 * (5 * count + (variant == Variant::kByWeight ? 4 * count : 0));
}

void run_step(benchmark::State& bench, Variant variant) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const Problem problem = make_problem(*backend, bench.range(0), variant);
  SgdParams params;
  params.accumulate = variant != Variant::kSgd;
  params.granularity = variant == Variant::kByNeuron ? Granularity::kNeuron : Granularity::kWeight;
  if (!verify(problem, params, variant)) {
    bench.SkipWithError("the result differs from the plain loop's");
    return;
  }
  for (auto _ : bench) backend->sgd_step(problem.arena, problem.factors, problem.state, params);
  bench.SetBytesProcessed(bench.iterations() * bytes_moved(problem, variant));
}

/// The ceiling: a copy by the same threads, reading and writing counted.
void run_copy(benchmark::State& bench) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const Tensor from = random_tensor(*backend, bench.range(0), 0);
  const Tensor one = Tensor::from_host(*backend, {1}, std::vector<float>{1.0f});
  const Tensor to = Tensor::zeros(*backend, {bench.range(0)});
  for (auto _ : bench) backend->scale(from, one, 0, to);
  bench.SetBytesProcessed(bench.iterations() * bench.range(0) * 8);
}

void sizes(benchmark::internal::Benchmark* bench) {
  for (const std::int64_t count : {100'000, 1'000'000, 11'000'000, 100'000'000}) bench->Arg(count);
  bench->UseRealTime()->Unit(benchmark::kMicrosecond);
}

BENCHMARK(run_copy)->Name("copy")->Apply(sizes);
BENCHMARK_CAPTURE(run_step, sgd, Variant::kSgd)->Apply(sizes);
BENCHMARK_CAPTURE(run_step, sgd_statistics_by_weight, Variant::kByWeight)->Apply(sizes);
BENCHMARK_CAPTURE(run_step, sgd_statistics_by_neuron, Variant::kByNeuron)->Apply(sizes);

}  // namespace
}  // namespace gradamp

BENCHMARK_MAIN();

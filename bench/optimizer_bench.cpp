// SPDX-License-Identifier: MIT
// Gradient statistics and SGD over a flat arena: 64 equal layers with a total of 1e5 to 1e9 weights, and the layers of
// ResNet-18, ResNet-50 and VGG-19, each compared with as many equal layers of the same total. The result is the rate of
// the minimum memory traffic in GB/s, and the measured ceiling of a copy. Each is verified against float64 before it is
// timed.
//
// The minimum traffic in bytes per weight: SGD reads w, g and v and writes w and v (20) and, if there is one, a copy of
// w in bf16 (2); AdamW has one array more, which is read and written (28); sums by weight are read and written (16).
// The step first checks every gradient, since nothing may change if one is not finite, and reads it again to use it.
// GB/s and of_copy do not count the second read; of_copy_with_look counts it (4), as for an arena that is larger than
// every cache.
//
// Calls follow each other, so data that fits in the second-level cache stays there ("warm"). cold_us and cold_of_copy
// are for a call after a write of more memory than the cache holds.
//
// "Separate" is what a framework of tensor operations does: S += g; p = relu(g); P += p; then SGD. With P the sum of
// the positive parts, A = 2 P - S is the sum of |g|: the Backend has no operation |g|, and relu moves the same bytes.
// "Atomic" ends its sums in atomic additions, whose order is not fixed: our additional time is the price of
// determinism. It leaves out the normalization of the measures. "CUB" is the library's segmented reduction, with one
// segment per layer: of the same three sums as measure_layers, and of |g|. cub_whole is its reduction of one segment.
#include <fstream>
#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/bench/arena_reference.h"
#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/optimizer_layers.h"
#include "gradamp/bench/optimizer_problem.h"

namespace gradamp::bench {
namespace {

struct NamedKind {
  const char* name;
  Kind kind;
};
constexpr NamedKind kKinds[] = {
    {"sgd", {Variant::kSgd}},
    {"sgd_bf16_copy", {Variant::kSgd, true}},
    {"adamw", {Variant::kAdamW}},
    {"statistics_fused_with_adamw", {Variant::kAdamWByWeight}},
    {"statistics_alone", {Variant::kStatisticsAlone}},
    {"statistics_separate_then_sgd", {Variant::kSeparate}},
    {"statistics_fused_with_sgd", {Variant::kByWeight}},
    {"statistics_fused_with_sgd_bf16_copy", {Variant::kByWeight, true}},
    {"statistics_by_neuron_with_sgd", {Variant::kByNeuron}},
    {"statistics_by_neuron_with_sgd_atomic", {Variant::kByNeuronAtomic}},
    {"measure_layers", {Variant::kMeasures}},
    {"measure_layers_atomic", {Variant::kMeasuresAtomic}},
    {"cub_measure_layers", {Variant::kCubMeasures}},
    {"cub_absolute", {Variant::kCubAbsolute}},
    {"cub_whole", {Variant::kCubWhole}},
};

/// The references of the device; null if it has none.
struct References {
  std::unique_ptr<ArenaReference> cub, atomic;

  ArenaReference* of(Variant variant) const {
    switch (variant) {
      case Variant::kByNeuronAtomic:
      case Variant::kMeasuresAtomic: return atomic.get();
      default: return cub.get();
    }
  }
};

References make_references(const Device& device) {
  ArenaReferenceChoice cub = make_cub_reference(device), atomic = make_atomic_reference(device);
  benchmark::AddCustomContext("cub", cub.description);
  benchmark::AddCustomContext("atomic", atomic.description);
  return {std::move(cub.reference), std::move(atomic.reference)};
}

/// LeftOut if `bytes` are not available. Checked in advance, since a host allocates memory that it does not have.
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
  // The allocator's cache can contain memory of earlier benchmarks, which it releases if memory is short.
  free += static_cast<double>(bench.backend().memory_use().held - bench.backend().memory_use().in_use);
  if (free > 0 && bytes * 1.1 > free) {
    throw LeftOut(fmt::format("it needs {:.1f} GB of memory, and {:.1f} GB are free", bytes / 1e9, free / 1e9));
  }
}

Measured measure(const Bench& bench, const std::vector<LayerRange>& layers, const Kind& kind,
                 ArenaReference* reference) {
  const double count = static_cast<double>(layers.back().end);
  const double held = count * static_cast<double>(bytes_held(kind));
  const std::size_t flushed = flush_bytes(bench.device(), bench.quick());
  check_memory(bench, held + static_cast<double>(flushed));
  const OptimizerProblem problem(bench.backend(), layers, kind, reference);
  problem.verify();
  const double bytes = count * static_cast<double>(bytes_moved(kind));
  Measured measured{time_recorded(
                        problem.queue(), 1, [&](int) { problem.call(); }, bench.timing()),
                    {bytes, 0},
                    {},
                    {}};
  const double copy = bench.ceilings().copy();
  const double look = looks_first(kind.variant) ? 4 * count : 0;
  measured.counters["of_copy_with_look"] = (bytes + look) / measured.timing.seconds / copy;
  measured.counters["weights"] = count;
  measured.counters["layers"] = static_cast<double>(layers.size());
  // For larger problems the flush would take longer than the call, and no cache holds their data anyway.
  if (held < 4 * static_cast<double>(std::size_t{64} << 20)) {
    const Tensor memory = Tensor::empty(bench.backend(), {static_cast<std::int64_t>(flushed / sizeof(float))});
    const double cold = cold_seconds(
        problem.queue(), problem.prepare_flush(memory), [&] { problem.call(); }, bench.timing());
    bench.backend().synchronize();
    problem.queue().wait();  // before the memory is released
    measured.counters["cold_us"] = cold * 1e6;
    measured.counters["cold_of_copy"] = cold > 0 ? bytes / cold / copy : 0;
  }
  if (bytes < kLargestCache) measured.label = "fits in a cache";
  return measured;
}

void add(const Bench& bench, const References& references, const std::vector<LayerTableChoice>& tables) {
  for (const auto& [name, kind] : kKinds) {
    if (kind.bf16_copy && bench.device().kind == DeviceKind::kCpu) continue;  // f32 only
    ArenaReference* const reference = reduction_of(kind.variant) ? references.of(kind.variant) : nullptr;
    if (reduction_of(kind.variant) && !reference) continue;  // the context says why
    for (const LayerTableChoice& table : tables) {
      add_benchmark(fmt::format("{}/{}", name, table.name), bench,
                    [&bench, &table, kind = kind, reference] { return measure(bench, table.layers, kind, reference); });
    }
  }
}

}  // namespace
}  // namespace gradamp::bench

int main(int argc, char** argv) {
  using namespace gradamp::bench;
  BenchOptions options;
  ArenaOptions arenas;
  CLI::App app("Gradient statistics and SGD over a flat arena, in GB/s beside a copy");
  add_options(app, options);
  app.add_option("--sizes", arenas.sizes, "weights, separated by commas (default: 1e5,1e6,1e7,1e8,1e9; quick: 1e5)")
      ->delimiter(',');
  app.add_option("--networks", arenas.networks,
                 "whose layers, separated by commas (default: resnet18,resnet50,vgg19; quick: resnet8)")
      ->delimiter(',');
  std::vector<LayerTableChoice> tables;
  References references;
  return run_benchmarks(app, options, argc, argv, [&](const Bench& bench) {
    references = make_references(bench.device());
    tables = choose_layer_tables(arenas, bench.quick());
    add(bench, references, tables);
  });
}

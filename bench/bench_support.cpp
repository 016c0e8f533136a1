// SPDX-License-Identifier: MIT
#include "gradamp/bench/bench_support.h"

#include <algorithm>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <limits>

#include "gradamp/bench/cuda_library.h"
#include "gradamp/core/bf16.h"
#include "gradamp/core/philox.h"

namespace gradamp::bench {
namespace {

/// Set by the first benchmark that fails.
bool any_failed = false;

Precision parse_precision_name(const std::string& text) {
  for (const Precision precision : {Precision::kF32, Precision::kTF32, Precision::kBF16})
    if (text == name_of(precision)) return precision;
  fail("expected a precision (f32, tf32 or bf16), got '{}'", text);
}

/// Values in [-1, 1), drawn once. Their number is a prime, so that no extent of a tensor divides it.
const std::vector<float>& drawn_values() {
  static const std::vector<float> drawn = [] {
    std::vector<float> values(1'048'573);
    PhiloxSequence random(20240517, RandomStream::kTest, 0);
    for (float& value : values) value = 2.0f * random.uniform() - 1.0f;
    return values;
  }();
  return drawn;
}

const std::vector<std::uint16_t>& drawn_bf16() {
  static const std::vector<std::uint16_t> drawn = [] {
    std::vector<std::uint16_t> values(drawn_values().size());
    std::transform(drawn_values().begin(), drawn_values().end(), values.begin(), to_bf16);
    return values;
  }();
  return drawn;
}

/// Fills `values` from `drawn`, cyclically, from an index that depends on `substream`.
template <typename T>
void repeat(const std::vector<T>& drawn, std::uint32_t substream, std::span<T> values) {
  std::size_t from = substream * std::size_t{104'729} % drawn.size();
  for (std::size_t i = 0; i < values.size();) {
    const std::size_t part = std::min(values.size() - i, drawn.size() - from);
    std::copy_n(drawn.data() + from, part, values.data() + i);
    i += part;
    from = 0;
  }
}

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

/// FLOP/s of Backend::linear_forward, which on a CPU is the library's matrix product.
double linear_rate(Backend& backend, std::int64_t size, const TimingOptions& options) {
  const Tensor x = random_tensor(backend, {size, size}, DType::kF32, 1);
  const Tensor weight = random_tensor(backend, {size, size}, DType::kF32, 2);
  const Tensor y = Tensor::empty(backend, {size, size});
  const auto multiply = [&](int) { backend.linear_forward(x, weight, Tensor(), y); };
  const double elements = static_cast<double>(size);
  return 2 * elements * elements * elements / time_recorded(backend, 1, multiply, options).fastest;
}

double own_copy_rate(Backend& backend, std::int64_t count, const TimingOptions& options) {
  const Tensor from = random_tensor(backend, {count}, DType::kF32, 1);
  const Tensor one = Tensor::from_host(backend, {1}, std::vector<float>{1.0f});
  const Tensor to = Tensor::zeros(backend, {count});
  const auto copy = [&](int) { backend.scale(from, one, 0, to); };
  return 8.0 * static_cast<double>(count) / time_recorded(backend, 1, copy, options).fastest;
}

/// Sets Google Benchmark's columns, which also go to its file.
void set_counters(benchmark::State& state, const Bench& bench, const Measured& measured) {
  const double seconds = measured.timing.seconds;
  const Work& work = measured.work;
  const Ceilings& ceilings = bench.ceilings();
  auto& counters = state.counters;
  double floor = 0;
  if (work.bytes > 0) {
    counters["GB/s"] = work.bytes / seconds / 1e9;
    counters["of_copy"] = work.bytes / seconds / ceilings.copy();
    floor = work.bytes / ceilings.copy();
  }
  if (work.flops > 0) counters["TFLOP/s"] = work.flops / seconds / 1e12;
  if (work.flops > 0 && ceilings.matrix > 0) {
    counters["of_matrix"] = work.flops / seconds / ceilings.matrix;
    floor = std::max(floor, work.flops / ceilings.matrix);
  }
  if (floor > 0) counters["of_floor"] = floor / seconds;
  counters["spread"] = (measured.timing.slowest - measured.timing.fastest) / seconds;
  for (const auto& [name, value] : measured.counters) counters[name] = value;
  state.SetLabel(measured.label);
}

void add_context(const Bench& bench) {
  const Ceilings& ceilings = bench.ceilings();
  benchmark::AddCustomContext("device", bench.backend().description());
  benchmark::AddCustomContext("precision", name_of(bench.precision()));
  benchmark::AddCustomContext("copy_ceiling_gb_s", fmt::format("{:.1f}", ceilings.copy() / 1e9));
  benchmark::AddCustomContext("library_copy_gb_s", fmt::format("{:.1f}", ceilings.library_copy / 1e9));
  benchmark::AddCustomContext("own_copy_gb_s", fmt::format("{:.1f}", ceilings.own_copy / 1e9));
  if (!ceilings.left_out.empty())
    benchmark::AddCustomContext("ceilings_left_out", fmt::format("{}", fmt::join(ceilings.left_out, "; ")));
  benchmark::AddCustomContext("matrix_ceiling_tflop_s", fmt::format("{:.3f}", ceilings.matrix / 1e12));
}

}  // namespace

// ---- The command line ----

void add_options(CLI::App& app, BenchOptions& options) {
  app.add_option("--device", options.device, "cpu, cuda or emulated")->capture_default_str();
  app.add_option("--precision", options.precision, "f32, tf32 or bf16; the CPU has no tf32")->capture_default_str();
  app.add_option("--threads", options.threads, "of the CPU; 0: all")->capture_default_str();
  app.add_flag("--quick", options.quick, "once each on small data, to see that all works: the times mean nothing");
  app.allow_extras();
  app.footer("Options of Google Benchmark follow: --benchmark_filter=REGEX, --benchmark_out=FILE, ...");
}

void add_batch_option(CLI::App& app, std::int64_t& batch) {
  app.add_option("--batch", batch,
                 fmt::format("images (default: {}; quick: {})", default_batch(false), default_batch(true)))
      ->check(CLI::PositiveNumber);
}

std::int64_t default_batch(bool quick) { return quick ? 2 : 128; }

BackendOptions backend_options(const BenchOptions& options) {
  BackendOptions result;
  result.threads = options.threads;
  result.precision = parse_precision_name(options.precision);
  return result;
}

int run_benchmarks(CLI::App& app, BenchOptions& options, int argc, char** argv,
                   const std::function<void(const Bench& bench)>& add) {
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  std::vector<std::string> words = {argv[0]};
  for (const std::string& word : app.remaining()) words.push_back(word);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  int count = static_cast<int>(pointers.size());
  pointers.push_back(nullptr);
  benchmark::Initialize(&count, pointers.data());
  if (benchmark::ReportUnrecognizedArguments(count, pointers.data())) return 2;
  try {
    const Bench bench(options);
    add_context(bench);
    add(bench);
    benchmark::RunSpecifiedBenchmarks();
    benchmark::Shutdown();
  } catch (const Error& error) {
    std::fprintf(stderr, "%s: %s\n", argv[0], error.what());
    return 1;
  }
  return any_failed ? 1 : 0;
}

Bench::Bench(const BenchOptions& options)
    : device_(parse_device(options.device)),
      precision_(parse_precision_name(options.precision)),
      quick_(options.quick),
      backend_(make_backend(device_, backend_options(options))),
      timing_(timing_options(device_, quick_)),
      ceilings_(measure_ceilings(*backend_, precision_, quick_)) {}

// ---- Timing ----

TimingOptions timing_options(const Device& device, bool quick) {
  // The emulator's times say nothing about a GPU's; only correctness is of interest there.
  if (quick || device.kind == DeviceKind::kEmulated) return {0, 1, 1, 0, 0, 1};
  if (device.kind == DeviceKind::kCpu) return {std::size_t{256} << 20, 4, 1, 0.02, 0.02, 5};
  return {std::size_t{256} << 20, 64, 16, 0.03, 0.01, 7};
}

int buffer_sets(double bytes, const TimingOptions& options) {
  const double needed = std::ceil(static_cast<double>(options.rotated_bytes) / std::max(bytes, 1.0));
  return static_cast<int>(std::clamp(needed, 1.0, static_cast<double>(options.max_sets)));
}

Timing time_replays(int calls, const std::function<void()>& replay, const std::function<void()>& wait,
                    const TimingOptions& options) {
  // The first replay may do one-time work; the second records.
  replay();
  replay();
  wait();
  double start = now();
  double elapsed = 0;
  int replays = 0;
  do {
    replay();
    wait();
    ++replays;
    elapsed = now() - start;
  } while (elapsed < options.warm_seconds);
  const double one = std::max(elapsed / replays, 1e-9);
  const int repeats = static_cast<int>(std::clamp(std::ceil(options.round_seconds / one), 1.0, 1e5));
  std::vector<double> rounds;
  for (int round = 0; round < options.rounds; ++round) {
    start = now();
    for (int i = 0; i < repeats; ++i) replay();
    wait();
    rounds.push_back((now() - start) / repeats / calls);
  }
  std::sort(rounds.begin(), rounds.end());
  return {rounds[rounds.size() / 2], rounds.front(), rounds.back()};
}

WorkQueue queue_of(Backend& backend) {
  return {[&backend](std::function<void()> work) { return backend.record(std::move(work)); },
          [&backend] { backend.synchronize(); }};
}

Timing time_recorded(const WorkQueue& queue, int sets, const std::function<void(int set)>& call,
                     const TimingOptions& options) {
  const int calls = sets * ((options.min_calls + sets - 1) / sets);
  const std::unique_ptr<Recording> recording = queue.record([&] {
    for (int i = 0; i < calls; ++i) call(i % sets);
  });
  return time_replays(
      calls, [&] { recording->replay(); }, queue.wait, options);
}

Timing time_recorded(Backend& backend, int sets, const std::function<void(int set)>& call,
                     const TimingOptions& options) {
  return time_recorded(queue_of(backend), sets, call, options);
}

double cold_seconds(const WorkQueue& queue, const std::function<void()>& flush, const std::function<void()>& call,
                    const TimingOptions& options) {
  const auto flush_and_call = [&](int) {
    flush();
    call();
  };
  const double both = time_recorded(queue, 1, flush_and_call, options).seconds;
  const double alone = time_recorded(
                           queue, 1, [&](int) { flush(); }, options)
                           .seconds;
  return std::max(both - alone, 0.0);
}

std::size_t flush_bytes(const Device& device, bool quick) {
  return quick || device.kind == DeviceKind::kEmulated ? std::size_t{1} << 16 : std::size_t{256} << 20;
}

Ceilings measure_ceilings(Backend& backend, Precision precision, bool quick) {
  const DeviceKind kind = backend.device().kind;
  TimingOptions options = timing_options(backend.device(), quick);
  options.min_calls = 1;
  const bool small = quick || kind == DeviceKind::kEmulated;
  const std::int64_t count = small ? 1 << 12 : kind == DeviceKind::kCuda ? 1 << 28 : 1 << 26;
  Ceilings ceilings;
  ceilings.own_copy = own_copy_rate(backend, count, options);
  if (kind == DeviceKind::kCuda) {
    const LibraryRate copy = quick ? library_copy_rate(std::size_t{1} << 20, 0)
                                   : library_copy_rate(std::size_t{1} << 30, std::size_t{1} << 30);
    const LibraryRate matrix = library_matrix_rate(precision, quick ? 256 : 8192);
    ceilings.library_copy = copy.rate;
    ceilings.matrix = matrix.rate;
    if (!copy.reason.empty()) ceilings.left_out.push_back("CUDA's copy left out: " + copy.reason);
    if (!matrix.reason.empty()) ceilings.left_out.push_back("cuBLAS left out: " + matrix.reason);
  } else {
    ceilings.matrix = linear_rate(backend, small ? 32 : 2048, options);
  }
  return ceilings;
}

// ---- Results ----

void add_benchmark(const std::string& name, const Bench& bench, std::function<Measured()> measure) {
  const auto run = [&bench, measure = std::move(measure)](benchmark::State& state) {
    Measured measured;
    try {
      measured = measure();
    } catch (const LeftOut& reason) {
      state.SkipWithError((std::string("left out: ") + reason.what()).c_str());
    } catch (const OutOfMemory& error) {
      state.SkipWithError((std::string("left out: ") + error.what()).c_str());
    } catch (const Error& error) {
      any_failed = true;
      state.SkipWithError(error.what());
    }
    if (state.error_occurred()) return;
    for (auto _ : state) state.SetIterationTime(measured.timing.seconds);
    set_counters(state, bench, measured);
  };
  benchmark::RegisterBenchmark(name.c_str(), run)->Iterations(1)->UseManualTime()->Unit(benchmark::kMicrosecond);
}

// ---- Data ----

std::vector<float> random_values(std::int64_t count, std::uint32_t substream) {
  std::vector<float> values(static_cast<std::size_t>(count));
  repeat(drawn_values(), substream, std::span<float>(values));
  return values;
}

Tensor random_tensor(Backend& backend, const Shape& shape, DType dtype, std::uint32_t substream) {
  if (dtype == DType::kF32) return Tensor::from_host(backend, shape, random_values(shape.count(), substream));
  std::vector<std::uint16_t> values(static_cast<std::size_t>(shape.count()));
  repeat(drawn_bf16(), substream, std::span<std::uint16_t>(values));
  const Tensor tensor = Tensor::empty(backend, shape, dtype);
  tensor.copy_bytes_from_host(std::as_bytes(std::span(values)));
  return tensor;
}

std::vector<float> host_values(const Tensor& tensor) {
  if (tensor.dtype() == DType::kF32) return tensor.to_host<float>();
  std::vector<std::uint16_t> rounded(static_cast<std::size_t>(tensor.count()));
  tensor.copy_bytes_to_host(std::as_writable_bytes(std::span(rounded)));
  std::vector<float> values(rounded.size());
  std::transform(rounded.begin(), rounded.end(), values.begin(), from_bf16);
  return values;
}

void poison(const Tensor& tensor) {
  // All ones are a NaN in both types.
  const std::vector<std::byte> ones(tensor.bytes(), std::byte{0xff});
  tensor.copy_bytes_from_host(ones);
}

double relative_error(std::span<const double> actual, std::span<const double> expected) {
  double error = 0, norm = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    error += (actual[i] - expected[i]) * (actual[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(error) / std::max(std::sqrt(norm), std::numeric_limits<double>::min());
}

void check_agrees(const std::string& what, std::span<const double> actual, std::span<const double> expected,
                  double tolerance) {
  check(actual.size() == expected.size() && !expected.empty(), "{}: expected {} values, got {}", what, expected.size(),
        actual.size());
  const double error = relative_error(actual, expected);
  check(error <= tolerance, "{}: relative error {:.3g} against float64, expected at most {:.3g}", what, error,
        tolerance);  // a NaN fails
}

void check_written(const std::string& what, std::span<const float> values) {
  const auto found = std::find_if(values.begin(), values.end(), [](float value) { return std::isnan(value); });
  check(found == values.end(), "{}: value {} of {} was not written", what, found - values.begin(), values.size());
}

double rounding_of(DType dtype) { return dtype == DType::kBF16 ? 4e-3 : 1e-5; }

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
// What the benchmark programs share: their command line, the device, reproducible data, timing, ceilings, and how a
// result is reported. A benchmark verifies its result, is timed by time_recorded() and reported by report().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include <benchmark/benchmark.h>
#include <CLI/CLI.hpp>

#include "gradamp/core/backend.h"
#include "gradamp/kernels/backends.h"

namespace gradamp::bench {

/// Options of every benchmark program; what CLI11 does not know goes to Google Benchmark.
struct BenchOptions {
  std::string device = "cpu", precision = "f32";
  int threads = 0;
  bool quick = false;
};
void add_options(CLI::App& app, BenchOptions& options);

/// --batch; `batch` stays 0 if it is not given.
void add_batch_option(CLI::App& app, std::int64_t& batch);
/// Images if --batch is not given.
std::int64_t default_batch(bool quick);

BackendOptions backend_options(const BenchOptions& options);

/// Bytes, more than any cache here holds: an H200's second level has 60 MB.
inline constexpr double kLargestCache = 64e6;

/// How long and on how much memory to time.
struct TimingOptions {
  std::size_t rotated_bytes;  // calls rotate over this much memory, several times kLargestCache
  int max_sets;               // of buffers
  int min_calls;              // in a recording
  double warm_seconds;        // before, so that clocks have risen
  double round_seconds;       // of a round at least
  int rounds;
};
TimingOptions timing_options(const Device& device, bool quick);

/// Sets of buffers, `bytes` each, that calls go round over.
int buffer_sets(double bytes, const TimingOptions& options);

/// Seconds of one call: the median over the rounds, and their extremes.
struct Timing {
  double seconds = 0, fastest = 0, slowest = 0;
};
/// Times `replay`, which asks for `calls` calls and does not wait; `wait` does.
Timing time_replays(int calls, const std::function<void()>& replay, const std::function<void()>& wait,
                    const TimingOptions& options);
/// Where timed work goes: a backend, or a reference's own stream. `record` and `wait` as Backend::record and
/// Backend::synchronize.
struct WorkQueue {
  std::function<std::unique_ptr<Recording>(std::function<void()> work)> record;
  std::function<void()> wait;
};
WorkQueue queue_of(Backend& backend);

/// Times call(0), call(1), ..., recorded together and replayed, so that the host's part is not timed. `call` gets the
/// number of its buffers, below `sets`.
Timing time_recorded(const WorkQueue& queue, int sets, const std::function<void(int set)>& call,
                     const TimingOptions& options);
Timing time_recorded(Backend& backend, int sets, const std::function<void(int set)>& call,
                     const TimingOptions& options);

/// Seconds of a `call` that finds its data in memory and not in a cache: of `flush`, which overwrites more memory than
/// a cache holds, followed by the call, less those of the flush alone. 0 if the difference is lost in the noise.
double cold_seconds(const WorkQueue& queue, const std::function<void()>& flush, const std::function<void()>& call,
                    const TimingOptions& options);
/// Bytes for a flush: several times the largest cache, or few if the times do not matter.
std::size_t flush_bytes(const Device& device, bool quick);

/// What the device can do at best, measured in this run. 0: not measured.
struct Ceilings {
  double own_copy = 0;      // bytes per second, read and written, by Backend::scale
  double library_copy = 0;  // by the device's own copy
  double matrix = 0;        // FLOP/s of a large matrix product by the device's library, in the run's precision
  std::vector<std::string> left_out;  // "cuBLAS left out: ..." for each that could not be measured

  double copy() const { return own_copy > library_copy ? own_copy : library_copy; }
};
Ceilings measure_ceilings(Backend& backend, Precision precision, bool quick);

/// A benchmark program: its device and what is measured once.
class Bench {
 public:
  /// Error where there is no such device.
  explicit Bench(const BenchOptions& options);

  Backend& backend() const { return *backend_; }
  const Device& device() const { return device_; }
  Precision precision() const { return precision_; }
  const TimingOptions& timing() const { return timing_; }
  const Ceilings& ceilings() const { return ceilings_; }
  bool quick() const { return quick_; }

 private:
  Device device_;
  Precision precision_;
  bool quick_;
  std::unique_ptr<Backend> backend_;
  TimingOptions timing_;
  Ceilings ceilings_;
};

/// What one call did.
struct Work {
  double bytes = 0;  // that it has to move: every input read once, every output written once
  double flops = 0;
};

/// A result, and what is worth a column of its own.
struct Measured {
  Timing timing;
  Work work;
  std::map<std::string, double> counters;
  std::string label;
};

/// Thrown by a benchmark that cannot be run here, with its reason: reported as left out, which is no failure.
class LeftOut : public Error {
 public:
  using Error::Error;
};

/// Registers `measure` as the benchmark `name`, run once. Its columns, beside measured.counters:
///   GB/s, of_copy       the bytes it has to move, and that rate as a fraction of the copy ceiling
///   TFLOP/s, of_matrix  likewise of the matrix ceiling
///   of_floor            the longer of bytes at the one and FLOP at the other ceiling, over the time it took
///   spread              slowest less fastest round, over the median
/// An Error in it is the benchmark's failure, and makes the program exit with 1.
void add_benchmark(const std::string& name, const Bench& bench, std::function<Measured()> measure);

/// Parses, makes the Bench, lets `add` register the benchmarks and runs them. The exit code of the program: 0, 1 where
/// a benchmark failed or the device is not there, 2 for wrong usage.
int run_benchmarks(CLI::App& app, BenchOptions& options, int argc, char** argv,
                   const std::function<void(const Bench& bench)>& add);

// ---- Data ----

/// Random values in [-1, 1), the same every time; where there are many, they repeat after about a million.
std::vector<float> random_values(std::int64_t count, std::uint32_t substream);
/// f32 or bf16.
Tensor random_tensor(Backend& backend, const Shape& shape, DType dtype, std::uint32_t substream);
/// f32 or bf16, as f32 on the host.
std::vector<float> host_values(const Tensor& tensor);
/// Fills f32 or bf16 with NaN, so that what an operation does not write is seen.
void poison(const Tensor& tensor);

/// ||actual - expected|| / ||expected||; a NaN where there is one.
double relative_error(std::span<const double> actual, std::span<const double> expected);
/// Error unless relative_error is at most `tolerance`; `what` begins its message.
void check_agrees(const std::string& what, std::span<const double> actual, std::span<const double> expected,
                  double tolerance);
/// Error where a value is a NaN: something was not written, or not computed.
void check_written(const std::string& what, std::span<const float> values);
/// Relative rounding error of results that are written in a type, for check_agrees.
double rounding_of(DType dtype);

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
// Shared by the benchmark programs: their command line, the device, reproducible data, timing, ceilings and reports. A
// benchmark verifies its result, is timed by time_recorded() and returns the result to add_benchmark().
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

/// Options of every benchmark program; options unknown to CLI11 are passed to Google Benchmark.
struct BenchOptions {
  std::string device = "cpu", precision = "f32";
  int threads = 0;
  bool quick = false;
};
void add_options(CLI::App& app, BenchOptions& options);

/// Adds --batch; `batch` stays 0 if it is not given.
void add_batch_option(CLI::App& app, std::int64_t& batch);
/// Number of images if --batch is not given.
std::int64_t default_batch(bool quick);

BackendOptions backend_options(const BenchOptions& options);

/// In bytes. Larger than any cache of our devices: an H200's second level has 60 MB.
inline constexpr double kLargestCache = 64e6;

/// Duration and memory of a timing.
struct TimingOptions {
  std::size_t rotated_bytes;  // calls rotate over this much memory, several times kLargestCache
  int max_sets;               // per recording
  int min_calls;              // before the timing, so that clock rates have risen
  double warm_seconds;        // per round, minimum
  double round_seconds;       // of a round at least
  int rounds;
};
TimingOptions timing_options(const Device& device, bool quick);

/// Number of sets of buffers, of `bytes` each, over which calls rotate.
int buffer_sets(double bytes, const TimingOptions& options);

/// Seconds per call: the median, minimum and maximum over the rounds.
struct Timing {
  double seconds = 0, fastest = 0, slowest = 0;
};
/// Times `replay`, which issues `calls` calls without waiting; `wait` waits for them.
Timing time_replays(int calls, const std::function<void()>& replay, const std::function<void()>& wait,
                    const TimingOptions& options);
/// The queue of timed work: a backend's, or a reference's stream. `record` and `wait` work like Backend::record and
/// Backend::synchronize.
struct WorkQueue {
  std::function<std::unique_ptr<Recording>(std::function<void()> work)> record;
  std::function<void()> wait;
};
WorkQueue queue_of(Backend& backend);

/// Times call(0), call(1), ..., recorded together and replayed, so that host time is excluded. The argument of `call`
/// is the index of its set of buffers, below `sets`.
Timing time_recorded(const WorkQueue& queue, int sets, const std::function<void(int set)>& call,
                     const TimingOptions& options);
Timing time_recorded(Backend& backend, int sets, const std::function<void(int set)>& call,
                     const TimingOptions& options);

/// Seconds of a `call` whose data is in memory and not in a cache: the time of `flush`, which overwrites more memory
/// than a cache holds, followed by the call, minus that of the flush alone. 0 if the difference is lost in the noise.
double cold_seconds(const WorkQueue& queue, const std::function<void()>& flush, const std::function<void()>& call,
                    const TimingOptions& options);
/// Size of a flush in bytes: several times the largest cache, or little if the times do not matter.
std::size_t flush_bytes(const Device& device, bool quick);

/// The device's peak rates, measured in this run. 0: not measured.
struct Ceilings {
  double own_copy = 0;      // bytes per second, read plus written, of Backend::scale
  double library_copy = 0;  // the same, of the device's own copy
  double matrix = 0;        // FLOP/s of a large matrix product by the device's library, in the run's precision
  std::vector<std::string> left_out;  // "cuBLAS left out: ..." for each that could not be measured

  double copy() const { return own_copy > library_copy ? own_copy : library_copy; }
};
Ceilings measure_ceilings(Backend& backend, Precision precision, bool quick);

/// A benchmark program: its device and the values that are measured once.
class Bench {
 public:
  /// Error if there is no such device.
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

/// The amount of work of one call.
struct Work {
  double bytes = 0;  // minimum traffic: every input read once, every output written once
  double flops = 0;
};

/// A result, and its additional columns.
struct Measured {
  Timing timing;
  Work work;
  std::map<std::string, double> counters;
  std::string label;
};

/// Thrown by a benchmark that cannot run here, with the reason. It is reported as left out and is not a failure.
class LeftOut : public Error {
 public:
  using Error::Error;
};

/// Registers `measure` as the benchmark `name`, which runs once. Its columns, in addition to measured.counters:
///   GB/s, of_copy       Work::bytes per second, and this rate as a fraction of the copy ceiling
///   TFLOP/s, of_matrix  likewise for Work::flops and the matrix ceiling
///   of_floor            the larger of bytes / copy ceiling and FLOP / matrix ceiling, divided by the measured time
///   spread              slowest minus fastest round, divided by the median
/// An Error in it fails the benchmark, and the program exits with 1.
void add_benchmark(const std::string& name, const Bench& bench, std::function<Measured()> measure);

/// Parses the command line, makes the Bench, lets `add` register the benchmarks and runs them. Returns the program's
/// exit code: 0; 1 if a benchmark failed or the device is not available; 2 for wrong usage.
int run_benchmarks(CLI::App& app, BenchOptions& options, int argc, char** argv,
                   const std::function<void(const Bench& bench)>& add);

// ---- Data ----

/// Random values in [-1, 1), the same every time; they repeat after about a million.
std::vector<float> random_values(std::int64_t count, std::uint32_t substream);
/// A random tensor, f32 or bf16.
Tensor random_tensor(Backend& backend, const Shape& shape, DType dtype, std::uint32_t substream);
/// The values of an f32 or bf16 tensor, as f32 on the host.
std::vector<float> host_values(const Tensor& tensor);
/// Fills an f32 or bf16 tensor with NaN, so that elements which an operation does not write are visible.
void poison(const Tensor& tensor);

/// ||actual - expected|| / ||expected||; a NaN if a value is one.
double relative_error(std::span<const double> actual, std::span<const double> expected);
/// Error unless relative_error is at most `tolerance`; `what` begins its message.
void check_agrees(const std::string& what, std::span<const double> actual, std::span<const double> expected,
                  double tolerance);
/// Error if a value is a NaN: it was not written, or computed wrong.
void check_written(const std::string& what, std::span<const float> values);
/// Relative rounding error of a result of this type, for check_agrees.
double rounding_of(DType dtype);

}  // namespace gradamp::bench

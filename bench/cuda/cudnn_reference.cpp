// SPDX-License-Identifier: MIT
// cuDNN as the reference: every plan that its heuristics propose is tried, and the fastest is timed like ours.
#include <algorithm>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "gradamp/bench/convolution_reference.h"
#include "gradamp/bench/cuda/cuda_objects.h"
#include "gradamp/bench/cuda/cudnn_library.h"
#include "gradamp/bench/cuda/cudnn_plans.h"

namespace gradamp::bench {
namespace {

using cuda::check_cuda;
using cuda::CudaEvent;
using cuda::CudaGraph;
using cuda::CudaMemory;
using cuda::CudaStream;

constexpr int kPlans = 40;
/// More than the workspace of any plan that won in a trial. Plans that need more are not tried.
constexpr std::int64_t kMaxWorkspace = std::int64_t{2} << 30;

class CudnnReference final : public ConvolutionReference {
 public:
  CudnnReference() {
    check_cudnn(cudnn().create(&handle_), "cudnnCreate");
    check_cudnn(cudnn().set_stream(handle_, stream_.get()), "cudnnSetStream");
  }
  ~CudnnReference() override { cudnn().destroy(handle_); }

  Result measure(const ConvolutionShape& shape, ConvolutionPass pass, Precision precision,
                 std::span<const ConvolutionBuffers> sets, const TimingOptions& options) override {
    const bool statistics = sets.front().sums != nullptr;
    CudnnPlans found = find_plans({shape, pass, precision, statistics});
    std::erase_if(found.plans, [](const CudnnPlan& plan) { return plan.workspace_bytes > kMaxWorkspace; });
    std::int64_t workspace_bytes = 0;
    for (const CudnnPlan& plan : found.plans) workspace_bytes = std::max(workspace_bytes, plan.workspace_bytes);
    const CudaMemory workspace(static_cast<std::size_t>(std::max<std::int64_t>(workspace_bytes, 0)));
    std::vector<CudnnDescriptor> packs;
    for (const ConvolutionBuffers& set : sets) packs.push_back(make_variant_pack(set, workspace.get()));

    const CudnnPlan* best = fastest(found, packs);
    if (!best) {
      const std::string what = statistics ? "a convolution with statistics" : "this convolution";
      throw LeftOut(found.last_failure.empty()
                        ? fmt::format("cuDNN proposes no plan for {}", what)
                        : fmt::format("no plan of cuDNN for {} can be used: {}", what, found.last_failure));
    }
    const Timing timing = time(*best, packs, options);
    return {timing,
            fmt::format("{}engine {} of {} plans{}{}", statistics ? "fp16, " : "", best->engine, found.plans.size(),
                        best->deterministic ? "" : ", not deterministic", recorded_ ? "" : ", not recorded")};
  }

 private:
  /// No plans, with the reason, if cuDNN refuses this combination with statistics as a whole.
  CudnnPlans find_plans(const CudnnProblem& problem) const {
    try {
      return find_cudnn_plans({handle_, nullptr}, problem, kPlans);
    } catch (const Error& error) {
      if (!problem.statistics) throw;
      CudnnPlans none;
      none.last_failure = error.what();
      return none;
    }
  }

  void execute(const CudnnPlan& plan, const CudnnDescriptor& pack) const {
    check_cudnn(cudnn().execute(handle_, plan.plan.get(), pack.get()), "cudnnBackendExecute");
  }

  /// The fastest plan in a short trial of each. Slow ones are dropped after their first executions.
  const CudnnPlan* fastest(CudnnPlans& found, const std::vector<CudnnDescriptor>& packs) {
    constexpr double kLaunch = 20e-6;  // seconds that the host can take for a single execution
    const CudnnPlan* best = nullptr;
    double best_seconds = std::numeric_limits<double>::max();
    for (const CudnnPlan& plan : found.plans) {
      try {
        execute(plan, packs.front());  // loads the plan's kernels
        if (seconds_of([&] { execute(plan, packs.front()); }) > 3 * best_seconds + kLaunch) continue;
        const double seconds = trial(plan, packs);
        if (seconds < best_seconds) {
          best_seconds = seconds;
          best = &plan;
        }
      } catch (const Error& error) {
        ++found.failed;
        found.last_failure = error.what();
        cudaGetLastError();  // clears the error of a refused launch
      }
    }
    return best;
  }

  /// Seconds of one execution, the best of a few rounds.
  double trial(const CudnnPlan& plan, const std::vector<CudnnDescriptor>& packs) const {
    constexpr int kCalls = 16, kRounds = 3;
    const std::unique_ptr<CudaGraph> graph = record(plan, packs, kCalls);
    const auto calls = [&] {
      if (graph) return graph->launch(stream_.get());
      execute_all(plan, packs, kCalls);
    };
    calls();
    double best = std::numeric_limits<double>::max();
    for (int round = 0; round < kRounds; ++round) best = std::min(best, seconds_of(calls) / kCalls);
    return best;
  }

  void execute_all(const CudnnPlan& plan, const std::vector<CudnnDescriptor>& packs, int calls) const {
    for (int i = 0; i < calls; ++i) execute(plan, packs[static_cast<std::size_t>(i) % packs.size()]);
  }

  /// Null if the plan cannot be recorded.
  std::unique_ptr<CudaGraph> record(const CudnnPlan& plan, const std::vector<CudnnDescriptor>& packs, int calls) const {
    try {
      return std::make_unique<CudaGraph>(stream_.get(), [&] { execute_all(plan, packs, calls); });
    } catch (const Error&) {
      cudaGetLastError();  // clears the error of the failed capture
      return nullptr;
    }
  }

  template <typename Enqueue>
  double seconds_of(const Enqueue& enqueue) const {
    check_cuda(cudaEventRecord(begin_.get(), stream_.get()), "cudaEventRecord");
    enqueue();
    check_cuda(cudaEventRecord(end_.get(), stream_.get()), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end_.get()), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin_.get(), end_.get()), "cudaEventElapsedTime");
    return static_cast<double>(milliseconds) / 1e3;
  }

  /// Like time_recorded(), by which ours is timed. A plan that cannot be recorded is launched call by call.
  Timing time(const CudnnPlan& plan, const std::vector<CudnnDescriptor>& packs, const TimingOptions& options) {
    const int sets = static_cast<int>(packs.size());
    const int calls = sets * ((options.min_calls + sets - 1) / sets);
    const std::unique_ptr<CudaGraph> graph = record(plan, packs, calls);
    recorded_ = graph != nullptr;
    const auto replay = [&] {
      if (graph) return graph->launch(stream_.get());
      execute_all(plan, packs, calls);
    };
    return time_replays(
        calls, replay, [&] { stream_.wait(); }, options);
  }

  CudaStream stream_;
  CudaEvent begin_, end_;
  cudnnHandle_t handle_ = nullptr;
  bool recorded_ = false;
};

}  // namespace

ConvolutionReferenceChoice make_cudnn_reference() {
  try {
    auto reference = std::make_unique<CudnnReference>();
    const std::size_t version = cudnn().version();
    const std::size_t major = version / 10000, minor = version % 10000 / 100;
    return {std::move(reference), fmt::format("cuDNN {}.{}.{}", major, minor, version % 100)};
  } catch (const Error& error) {
    return {nullptr, fmt::format("left out: cuDNN cannot start: {}", error.what())};
  }
}

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
// cuDNN's plans for a convolution, through the C interface of its graph library ("backend"): the executable plans that
// its heuristics propose.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <cudnn.h>

#include "gradamp/bench/convolution_problem.h"
#include "gradamp/bench/convolution_reference.h"

namespace gradamp::bench {

using CudnnDescriptor = std::unique_ptr<void, void (*)(void*)>;

/// The device for which plans are made: given by its handle, or by its properties as a "device property" descriptor,
/// which needs no device (cuDNN 9.8).
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  cudnnBackendDescriptor_t properties = nullptr;
};

struct CudnnPlan {
  CudnnDescriptor plan{nullptr, nullptr};
  std::int64_t workspace_bytes = 0;
  std::int64_t engine = 0;
  bool deterministic = true;
  std::string heuristic;  // the one that proposed it
};

/// Unique ids of the tensors in a plan.
enum CudnnTensorId : std::int64_t { kCudnnX = 1, kCudnnWeight, kCudnnY, kCudnnSums, kCudnnSquareSums };

/// The convolution for which plans are made.
struct CudnnProblem {
  ConvolutionShape shape;
  ConvolutionPass pass = ConvolutionPass::kForward;
  Precision precision = Precision::kF32;
  /// Forward only: also compute the sums of y and of its squares per channel, in f32 (cuDNN's "genstats"). In fp16
  /// instead of bf16: cuDNN 9.19 has no such plan in bf16 or f32.
  bool statistics = false;
};

/// The plans for a problem, and how many proposals cannot be used.
struct CudnnPlans {
  std::vector<CudnnPlan> plans;
  int refused = 0;           // because of the precision: tensor cores for f32, sums below f32
  int failed = 0;            // proposals that did not become plans
  std::string last_failure;  // cuDNN's reason
};

/// Plans for NHWC tensors of bf16 (Precision::kBF16) or f32, sums in f32. For Precision::kF32, engines that round their
/// operands are left out. Filter gradients have the images' type, as in PyTorch. Returns at most `limit` plans, the
/// best guesses first. Error if cuDNN refuses the problem as a whole.
CudnnPlans find_cudnn_plans(const CudnnTarget& target, const CudnnProblem& problem, int limit);

/// A variant pack: the memory of an execution.
CudnnDescriptor make_variant_pack(const ConvolutionBuffers& buffers, void* workspace);

}  // namespace gradamp::bench

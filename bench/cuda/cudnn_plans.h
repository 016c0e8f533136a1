// SPDX-License-Identifier: MIT
// cuDNN's ways to compute a convolution, by the C interface of its graph library ("backend"): what its heuristics
// propose, as plans that can be executed.
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

/// What plans are made for: a device by its handle, or by its properties as a "device property" descriptor, which needs
/// no device (cuDNN 9.8).
struct CudnnTarget {
  cudnnHandle_t handle = nullptr;
  cudnnBackendDescriptor_t properties = nullptr;
};

struct CudnnPlan {
  CudnnDescriptor plan{nullptr, nullptr};
  std::int64_t workspace_bytes = 0;
  std::int64_t engine = 0;
  bool deterministic = true;
  std::string heuristic;  // which proposed it
};

/// Unique ids of the tensors in a plan.
enum CudnnTensorId : std::int64_t { kCudnnX = 1, kCudnnWeight, kCudnnY, kCudnnSums, kCudnnSquareSums };

/// What plans are made for.
struct CudnnProblem {
  ConvolutionShape shape;
  ConvolutionPass pass = ConvolutionPass::kForward;
  Precision precision = Precision::kF32;
  /// Of the forward pass: with the sums of every channel of y and of its squares, in f32 (cuDNN's "genstats"). In fp16
  /// in place of bf16: cuDNN 9.19 has no plan for these in bf16 or f32.
  bool statistics = false;
};

/// What was proposed for a problem, and why some of it cannot be used.
struct CudnnPlans {
  std::vector<CudnnPlan> plans;
  int refused = 0;           // by the precision: tensor cores for f32, sums below f32
  int failed = 0;            // to become plans
  std::string last_failure;  // cuDNN's reason
};

/// Plans for NHWC tensors of bf16 (Precision::kBF16) or f32, sums in f32. Precision::kF32 leaves out what rounds its
/// operands. Filter gradients are of the images' type, as in PyTorch. At most `limit` of them, the best guesses first.
/// Error if cuDNN refuses the problem as a whole.
CudnnPlans find_cudnn_plans(const CudnnTarget& target, const CudnnProblem& problem, int limit);

/// A variant pack: the memory that an execution works on.
CudnnDescriptor make_variant_pack(const ConvolutionBuffers& buffers, void* workspace);

}  // namespace gradamp::bench

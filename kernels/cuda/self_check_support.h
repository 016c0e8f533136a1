// SPDX-License-Identifier: MIT
// Shared by the parts of the self-check: operands of whole numbers, memory on the device, and a comparison that
// describes disagreements. Host files only.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "gradamp/core/tensor.h"
#include "gradamp/kernels/cuda/cuda_backend.h"
#include "gradamp/kernels/self_check.h"

namespace gradamp::GRADAMP_GPU {

/// A part that has not run yet. `run` returns the part's disagreement, empty if there is none.
struct CheckedPart {
  std::string name;
  std::vector<Precision> precisions;
  std::function<std::string()> run;
};

/// Whole numbers from -limit to limit in an irregular order; the same ones every time. Sums of products of such numbers
/// are exact in f32, in every order of addition, if all partial sums stay below 2^24.
inline std::vector<float> whole_numbers(std::int64_t count, int limit, std::uint32_t seed) {
  std::vector<float> values(static_cast<std::size_t>(count));
  std::uint32_t state = seed;
  for (float& value : values) {
    state = state * 1664525u + 1013904223u;  // Numerical Recipes' "quick and dirty" generator; its high bits are good
    value = static_cast<float>(static_cast<int>((state >> 16) % (2u * static_cast<unsigned>(limit) + 1)) - limit);
  }
  return values;
}

/// `values` as f32, or rounded to bf16, on the device.
Tensor to_device(Backend& backend, const Shape& shape, const std::vector<float>& values, DType type = DType::kF32);
/// The elements of a tensor of f32 or bf16, as f32. Waits for the device.
std::vector<float> to_host(const Tensor& tensor);

/// A result's name for messages and the names of its dimensions: "y" and {"n", "p", "q", "k"}.
struct ResultName {
  const char* name;
  std::vector<const char*> dimensions;
};

/// Compares for equality; a NaN equals nothing. Empty if all elements agree. Else the number of elements that disagree,
/// and the first of them: its index, the computed value, the expected value and their difference.
std::string disagreement(const ResultName& result, const Shape& shape, std::span<const float> got,
                         std::span<const float> expected);
/// The same for 32-bit words, in hexadecimal.
std::string disagreement_of_words(const ResultName& result, const Shape& shape, std::span<const std::uint32_t> got,
                                  std::span<const std::uint32_t> expected);

/// The backends that the parts use, one per precision.
struct CheckedBackends {
  CudaBackend f32, tf32, bf16;
  explicit CheckedBackends(const BackendOptions& options);
  CudaBackend& of(Precision precision);
};

/// Every wrapper of kernels/cuda/ptx.h.
std::vector<CheckedPart> instruction_parts(CheckedBackends& backends);
/// How the convolutions of `backend` disagree with the plain ones; empty if they agree.
std::string disagreement_of_convolutions(CudaBackend& backend, Precision precision);
/// The convolution kernels of each precision.
std::vector<CheckedPart> convolution_parts(CheckedBackends& backends);
/// Sums over the grid, the optimizer's step, and recordings.
std::vector<CheckedPart> operation_parts(CheckedBackends& backends);

}  // namespace gradamp::GRADAMP_GPU

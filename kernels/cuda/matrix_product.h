// SPDX-License-Identifier: MIT
// Products of row-major matrices on the device, for large linear layers: cuBLAS on CUDA, plain loops under the
// emulator.
#pragma once

#include <memory>

#include "gradamp/core/caching_allocator.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

enum class Transposed : bool { kNo, kYes };

class MatrixProduct {
 public:
  /// Takes its workspace from `allocator`. Error if the library cannot be loaded.
  MatrixProduct(cudaStream_t stream, CachingAllocator& allocator);
  ~MatrixProduct();

  /// c (m, n) = op(a) op(b) with op(a) (m, k) and op(b) (k, n), all f32, row-major and dense.
  void multiply(Transposed a_transposed, Transposed b_transposed, int m, int n, int k, const float* a, const float* b,
                float* c) const;

 private:
  struct Library;
  std::unique_ptr<Library> library_;
};

}  // namespace gradamp::GRADAMP_GPU

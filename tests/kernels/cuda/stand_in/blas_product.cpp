// SPDX-License-Identifier: MIT
// The program's part of the stand-in for cuBLAS (cublas/cublas.cpp): the emulated device's product.
#include <memory>

#include "gradamp/core/caching_allocator.h"
#include "gradamp/kernels/cuda/matrix_product.h"
#include "gradamp/kernels/cuda/runtime.h"
#include "gradamp/kernels/emulation/runtime_state.h"
#include "gradamp/tests/kernels/cuda/stand_in/call.h"

using namespace gradamp;

extern "C" {

bool stand_in_device_is_usable() { return stand_in::device_state() == cudaSuccess; }

bool stand_in_is_capturing(void* stream) {
  return emulation::RuntimeState::instance().stream(static_cast<emulation::Stream*>(stream)).capture.has_value();
}

void stand_in_product(void* stream, bool a_transposed, bool b_transposed, int m, int n, int k, const float* a,
                      const float* b, float* c) {
  using emulated::Transposed;
  static CachingAllocator allocator(
      std::make_unique<emulated::DeviceMemorySource>());  // which the product does not use
  const emulated::MatrixProduct product(static_cast<emulated::cudaStream_t>(stream), allocator);
  product.multiply(a_transposed ? Transposed::kYes : Transposed::kNo, b_transposed ? Transposed::kYes : Transposed::kNo,
                   m, n, k, a, b, c);
}

}  // extern "C"

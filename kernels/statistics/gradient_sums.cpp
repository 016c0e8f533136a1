// SPDX-License-Identifier: MIT
#include "gradamp/kernels/statistics/gradient_sums.h"

#include <algorithm>

namespace gradamp {

#if defined(__x86_64__)
namespace simd_sse4 {
extern const GradientKernels kGradientKernels;
}
namespace simd_avx2 {
extern const GradientKernels kGradientKernels;
}
namespace simd_avx512 {
extern const GradientKernels kGradientKernels;
}
#else
namespace simd_neon {
extern const GradientKernels kGradientKernels;
}
#endif

const GradientKernels& gradient_kernels(InstructionSet set) {
#if defined(__x86_64__)
  if (set == InstructionSet::kAvx512 || set == InstructionSet::kAvx512Bf16) return simd_avx512::kGradientKernels;
  return set == InstructionSet::kAvx2 ? simd_avx2::kGradientKernels : simd_sse4::kGradientKernels;
#else
  static_cast<void>(set);  // there is one
  return simd_neon::kGradientKernels;
#endif
}

GradientTotals& GradientTotals::operator+=(const GradientTotals& other) {
  signed_sum += other.signed_sum;
  absolute_sum += other.absolute_sum;
  square_sum += other.square_sum;
  maximum = std::max(maximum, other.maximum);
  zeros += other.zeros;
  not_finite += other.not_finite;
  return *this;
}

template <typename T>
void scale_gradients(T* gradients, std::int64_t count, float factor) {
#pragma omp simd
  for (std::int64_t i = 0; i < count; ++i) gradients[i] = factor * static_cast<float>(gradients[i]);
}

template void scale_gradients(float*, std::int64_t, float);
template void scale_gradients(Bf16*, std::int64_t, float);
template void scale_gradients(F16*, std::int64_t, float);

}  // namespace gradamp

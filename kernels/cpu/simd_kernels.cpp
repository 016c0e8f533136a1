// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/simd_kernels.h"

#include "gradamp/core/error.h"

namespace gradamp {

#if defined(__x86_64__)
namespace simd_sse4 {
extern const SimdKernels kKernels;
}
namespace simd_avx2 {
extern const SimdKernels kKernels;
}
namespace simd_avx512 {
extern const SimdKernels kKernels;
}
namespace simd_avx512bf16 {
extern const ConvolutionKernels<Bf16> kDirect;
}

namespace {

/// AVX-512's, but for the direct convolutions in bf16.
SimdKernels avx512bf16_kernels() {
  SimdKernels kernels = simd_avx512::kKernels;
  kernels.bf16.direct = simd_avx512bf16::kDirect;
  return kernels;
}

}  // namespace
#else
namespace simd_neon {
extern const SimdKernels kKernels;
}
#endif

const SimdKernels& simd_kernels(InstructionSet set) {
  switch (set) {
#if defined(__x86_64__)
    case InstructionSet::kSse4: return simd_sse4::kKernels;
    case InstructionSet::kAvx2: return simd_avx2::kKernels;
    case InstructionSet::kAvx512: return simd_avx512::kKernels;
    case InstructionSet::kAvx512Bf16: {
      static const SimdKernels kernels = avx512bf16_kernels();
      return kernels;
    }
#else
    case InstructionSet::kNeon: return simd_neon::kKernels;
#endif
    default: break;
  }
  fail("this build has no kernels for the instruction set {}", name_of(set));
}

}  // namespace gradamp

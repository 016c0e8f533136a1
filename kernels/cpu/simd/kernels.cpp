// SPDX-License-Identifier: MIT
// The table of this instruction set's kernels: all, or those that multiply pairs of bf16.
#include "gradamp/kernels/cpu/simd/batch_norm.h"
#include "gradamp/kernels/cpu/simd/direct.h"
#include "gradamp/kernels/cpu/simd/winograd.h"
#include "gradamp/kernels/cpu/simd_kernels.h"

namespace gradamp::GRADAMP_SIMD {

#if defined(GRADAMP_SIMD_PAIRS)
extern const ConvolutionKernels<Bf16> kDirect;
const ConvolutionKernels<Bf16> kDirect = {direct_forward<Bf16>, direct_backward_input<Bf16>,
                                          direct_backward_filter<Bf16>, direct_moment_rows};
#else
extern const SimdKernels kKernels;
const SimdKernels kKernels = {
    .f32 = {.direct = {direct_forward<float>, direct_backward_input<float>, direct_backward_filter<float>,
                       direct_moment_rows},
            .winograd = {winograd_forward<float>, winograd_backward_input<float>, winograd_backward_filter<float>,
                         winograd_moment_rows},
            .batch_norm = {batch_norm_moments<float>, batch_norm_apply<float>, batch_norm_reduce<float>,
                           batch_norm_grad_x<float>}},
    .bf16 = {.direct = {direct_forward<Bf16>, direct_backward_input<Bf16>, direct_backward_filter<Bf16>,
                        direct_moment_rows},
             .winograd = {winograd_forward<Bf16>, winograd_backward_input<Bf16>, winograd_backward_filter<Bf16>,
                          winograd_moment_rows},
             .batch_norm = {batch_norm_moments<Bf16>, batch_norm_apply<Bf16>, batch_norm_reduce<Bf16>,
                            batch_norm_grad_x<Bf16>}},
};
#endif

}  // namespace gradamp::GRADAMP_SIMD

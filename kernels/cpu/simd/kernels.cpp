// SPDX-License-Identifier: MIT
// The table of this instruction set's kernels.
#include "gradamp/kernels/cpu/simd/batch_norm.h"
#include "gradamp/kernels/cpu/simd/direct.h"
#include "gradamp/kernels/cpu/simd/winograd.h"
#include "gradamp/kernels/cpu/simd_kernels.h"

namespace gradamp::GRADAMP_SIMD {

extern const SimdKernels kKernels;
const SimdKernels kKernels = {
    .direct = {direct_forward, direct_backward_input, direct_backward_filter},
    .winograd = {winograd_forward, winograd_backward_input, winograd_backward_filter},
    .batch_norm = {batch_norm_moments, batch_norm_apply, batch_norm_reduce, batch_norm_grad_x},
};

}  // namespace gradamp::GRADAMP_SIMD

// SPDX-License-Identifier: MIT
// Reductions by CUB. Pointers are to device memory. Like CUB's own functions, each is called twice: without `workspace`
// it only sets `bytes` to the size of its working memory. They return CUDA's error.
#pragma once

#include <cstddef>
#include <cstdint>

#include <cuda_runtime.h>

#include "gradamp/core/amplification.h"

namespace gradamp::cuda {

/// The version as an integer: 300001 for 3.0.1.
int cub_version();

/// sums (layers): the sums of |values| from layers[l].begin to layers[l].end.
cudaError_t cub_layer_absolute(void* workspace, std::size_t& bytes, const float* values, const LayerRange* layers,
                               int layer_count, float* sums, cudaStream_t stream);

/// sum (1): the sum of |values|, `count` of them. The ceiling of the segmented reduction.
cudaError_t cub_whole_absolute(void* workspace, std::size_t& bytes, const float* values, std::int64_t count, float* sum,
                               cudaStream_t stream);

/// sums (layers, 3): the sums of |S|, A and |S| / A of each layer.
cudaError_t cub_layer_sums(void* workspace, std::size_t& bytes, const float* signed_sums, const float* absolute_sums,
                           const LayerRange* layers, int layer_count, double* sums, cudaStream_t stream);

}  // namespace gradamp::cuda

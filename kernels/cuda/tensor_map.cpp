// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/tensor_map.h"

#include <cstdint>

#include "gradamp/core/error.h"

namespace gradamp::GRADAMP_GPU {

#if !defined(GRADAMP_EMULATION)
namespace {

/// A function of the driver, to which the program is not linked.
template <typename Function>
Function driver_function(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found{};
#if CUDART_VERSION >= 12050
  check_cuda(cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found), name);
#else
  check_cuda(cudaGetDriverEntryPoint(name, &function, cudaEnableDefault, &found), name);
#endif
  check(found == cudaDriverEntryPointSuccess && function != nullptr,
        "the NVIDIA driver does not have {}, which this path for compute capability 9.0 needs: update the driver",
        name);
  return reinterpret_cast<Function>(function);
}

void check_encoded(CUresult result, const char* what) {
  check(result == CUDA_SUCCESS, "{} returned the error {}", what, static_cast<int>(result));
}

/// Drivers up to 13.1 encode maps of tensors below 128 KiB wrongly: this bit must be cleared. (CUTLASS and Triton do
/// the same.)
void correct_small_tensor(TensorMap& map, std::uint64_t bytes) {
  int driver = 0;
  check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  if (driver <= 13010 && bytes < 131072) map.opaque[1] &= ~(std::uint64_t{1} << 21);
}

}  // namespace
#endif

TensorMap tiled_map(const void* base, int rank, const int* dims, const int* box) {
  check(rank >= 2 && rank <= 4, "tiled_map: rank {}, expected 2 to 4", rank);
  std::uint64_t extents[4] = {}, strides[4] = {};  // strides: bytes, of dimensions 1 and up
  std::uint32_t boxes[4] = {}, steps[4] = {1, 1, 1, 1};
  std::uint64_t bytes = 2;
  for (int i = 0; i < rank; ++i) {
    extents[i] = static_cast<std::uint64_t>(dims[i]);
    boxes[i] = static_cast<std::uint32_t>(box[i]);
    bytes *= extents[i];
    strides[i] = bytes;
  }
#if defined(GRADAMP_EMULATION)
  return emulation::encode_tiled(rank, base, extents, strides, boxes, steps);
#else
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  TensorMap map;
  check_encoded(encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, static_cast<cuuint32_t>(rank), const_cast<void*>(base),
                       extents, strides, boxes, steps, CU_TENSOR_MAP_INTERLEAVE_NONE, CU_TENSOR_MAP_SWIZZLE_128B,
                       CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
                "cuTensorMapEncodeTiled");
  correct_small_tensor(map, bytes);
  return map;
#endif
}

TensorMap im2col_map(const void* base, const Im2colBox& box) {
  const auto channels = static_cast<std::uint64_t>(box.channels), width = static_cast<std::uint64_t>(box.width),
             height = static_cast<std::uint64_t>(box.height), batch = static_cast<std::uint64_t>(box.batch);
  const auto step = static_cast<std::uint32_t>(box.stride);
  const std::uint64_t extents[4] = {channels, width, height, batch};
  const std::uint64_t strides[3] = {2 * channels, 2 * channels * width, 2 * channels * width * height};
  const std::uint32_t steps[4] = {1, step, step, 1};
  // The driver takes W before H, as CUTLASS and Triton pass them. (CUDA's manual says D, H, W.)
  const int lower[2] = {box.lower_w, box.lower_h}, upper[2] = {box.upper_w, box.upper_h};
#if defined(GRADAMP_EMULATION)
  return emulation::encode_im2col(4, base, extents, strides, lower, upper, kMapColumns,
                                  static_cast<std::uint32_t>(box.pixels), steps);
#else
  static const auto encode = driver_function<decltype(&cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  TensorMap map;
  check_encoded(
      encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(base), extents, strides, lower, upper,
             kMapColumns, static_cast<cuuint32_t>(box.pixels), steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
             CU_TENSOR_MAP_SWIZZLE_128B, CU_TENSOR_MAP_L2_PROMOTION_L2_128B, CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
      "cuTensorMapEncodeIm2col");
  correct_small_tensor(map, strides[2] * batch);
  return map;
#endif
}

}  // namespace gradamp::GRADAMP_GPU

// SPDX-License-Identifier: MIT
// Accesses of 16 bytes: elements are f32 or bf16 in memory and floats in registers.
#pragma once

#include <cstdint>
#include <type_traits>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Elements of a 16-byte access.
template <typename T>
inline constexpr int kVector = 16 / static_cast<int>(sizeof(T));

__device__ __forceinline__ float to_float(float value) { return value; }
__device__ __forceinline__ float to_float(bf16 value) { return __bfloat162float(value); }

template <typename T>
__device__ __forceinline__ T from_float(float value) {
  if constexpr (sizeof(T) == 2) {
    return __float2bfloat16(value);
  } else {
    return value;
  }
}

/// Whether the memory is reused soon. Streamed data should not evict cached data.
enum class Access { kCached, kStreaming };

/// N elements in their memory format: 16 bytes, or N is 1. A load is asynchronous until the first use of its value.
template <int N, typename T>
using Packed = std::conditional_t<N == 1, T, uint4>;

template <int N, Access kAccess = Access::kCached, typename T>
__device__ __forceinline__ Packed<N, T> load_packed(const T* p) {
  if constexpr (N == 1) {
    return *p;
  } else if constexpr (kAccess == Access::kStreaming) {
    static_assert(N == kVector<T>);
    return load_vector_streaming<uint4>(p);
  } else {
    static_assert(N == kVector<T>);
    return load_vector<uint4>(p);
  }
}

template <typename T, int N>
__device__ __forceinline__ void unpack(const Packed<N, T>& packed, float (&values)[N]) {
  if constexpr (N == 1) {
    values[0] = to_float(packed);
  } else {
    const std::uint32_t word[4] = {packed.x, packed.y, packed.z, packed.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if constexpr (sizeof(T) == 4) {
        values[i] = __uint_as_float(word[i]);
      } else {  // the lower address is the lower half
        values[2 * i] = __uint_as_float(word[i] << 16);
        values[2 * i + 1] = __uint_as_float(word[i] & 0xffff0000u);
      }
    }
  }
}

/// Loads N elements from p.
template <int N, Access kAccess = Access::kCached, typename T>
__device__ __forceinline__ void load(const T* p, float (&values)[N]) {
  unpack<T>(load_packed<N, kAccess>(p), values);
}

/// Two floats as adjacent bf16; `first` is at the lower address.
__device__ __forceinline__ std::uint32_t pack_bf16(float first, float second) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(first, second);
  std::uint32_t word;
  memcpy(&word, &pair, sizeof(word));
  return word;
}

/// Converts floats to 16 bytes of elements.
template <typename T>
__device__ __forceinline__ uint4 pack(const float (&values)[kVector<T>]) {
  std::uint32_t word[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    if constexpr (sizeof(T) == 4) {
      word[i] = __float_as_uint(values[i]);
    } else {
      word[i] = pack_bf16(values[2 * i], values[2 * i + 1]);
    }
  }
  return make_uint4(word[0], word[1], word[2], word[3]);
}

template <int N, Access kAccess = Access::kCached, typename T>
__device__ __forceinline__ void store(T* p, const float (&values)[N]) {
  if constexpr (N == 1) {
    *p = from_float<T>(values[0]);
  } else {
    static_assert(N == kVector<T>);
    if constexpr (kAccess == Access::kStreaming) {
      store_vector_streaming(p, pack<T>(values));
    } else {
      store_vector(p, pack<T>(values));
    }
  }
}

/// Loads the N floats that belong to N adjacent elements of another type: one, or a multiple of four.
template <int N>
__device__ __forceinline__ void load_floats(const float* p, float (&values)[N]) {
  if constexpr (N % 4 == 0) {
#pragma unroll
    for (int i = 0; i < N; i += 4) {
      const float4 four = load_vector<float4>(p + i);
      values[i] = four.x;
      values[i + 1] = four.y;
      values[i + 2] = four.z;
      values[i + 3] = four.w;
    }
  } else {
    static_assert(N == 1);
    values[0] = *p;
  }
}

/// Whether 16-byte accesses at p are aligned.
inline bool is_vector_aligned(const void* p) { return reinterpret_cast<std::uintptr_t>(p) % 16 == 0; }

}  // namespace gradamp::GRADAMP_GPU

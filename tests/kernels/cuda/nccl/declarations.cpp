// SPDX-License-Identifier: MIT
// Compiles only if the declarations of kernels/cuda/nccl.h are those of NVIDIA's <nccl.h>, as far as a call depends on
// them: the same numbers, and functions with parameters of the same kinds and sizes.
#include <nccl.h>

#include <type_traits>

#include "gradamp/kernels/cuda/nccl.h"

namespace {

namespace ours = gradamp::cuda;

template <typename A, typename B>
constexpr bool is_like_value() {
  if constexpr (std::is_pointer_v<A> || std::is_pointer_v<B>) {
    return std::is_pointer_v<A> && std::is_pointer_v<B>;
  } else {
    return std::is_class_v<A> == std::is_class_v<B> && std::is_floating_point_v<A> == std::is_floating_point_v<B> &&
           sizeof(A) == sizeof(B) && alignof(A) == alignof(B);
  }
}

template <typename A, typename B>
constexpr bool is_like = false;
template <typename A, typename... As, typename B, typename... Bs>
constexpr bool is_like<A(As...), B(Bs...)> = [] {
  if constexpr (sizeof...(As) == sizeof...(Bs)) {
    return is_like_value<A, B>() && (is_like_value<As, Bs>() && ...);
  } else {
    return false;
  }
}();

static_assert(is_like<int(const void*, unsigned), ncclResult_t(char*, ncclDataType_t)>);
static_assert(!is_like<int(const void*, unsigned), ncclResult_t(char*, ncclUniqueId)>);
static_assert(!is_like<int(const void*), int(const void*, int)>);

#define GRADAMP_SAME_FUNCTION(name) static_assert(is_like<decltype(ours::name), decltype(::name)>)
GRADAMP_SAME_FUNCTION(ncclGetVersion);
GRADAMP_SAME_FUNCTION(ncclGetErrorString);
GRADAMP_SAME_FUNCTION(ncclGetLastError);
GRADAMP_SAME_FUNCTION(ncclGetUniqueId);
GRADAMP_SAME_FUNCTION(ncclCommInitRank);
GRADAMP_SAME_FUNCTION(ncclCommDestroy);
GRADAMP_SAME_FUNCTION(ncclCommAbort);
GRADAMP_SAME_FUNCTION(ncclCommGetAsyncError);
GRADAMP_SAME_FUNCTION(ncclSend);
GRADAMP_SAME_FUNCTION(ncclRecv);
GRADAMP_SAME_FUNCTION(ncclGroupStart);
GRADAMP_SAME_FUNCTION(ncclGroupEnd);

#define GRADAMP_SAME_NUMBER(name) static_assert(static_cast<int>(ours::name) == static_cast<int>(::name))
GRADAMP_SAME_NUMBER(ncclSuccess);
GRADAMP_SAME_NUMBER(ncclUnhandledCudaError);
GRADAMP_SAME_NUMBER(ncclSystemError);
GRADAMP_SAME_NUMBER(ncclInternalError);
GRADAMP_SAME_NUMBER(ncclInvalidArgument);
GRADAMP_SAME_NUMBER(ncclInvalidUsage);
GRADAMP_SAME_NUMBER(ncclRemoteError);
GRADAMP_SAME_NUMBER(ncclInProgress);
GRADAMP_SAME_NUMBER(ncclInt8);
GRADAMP_SAME_NUMBER(ncclUint8);
static_assert(sizeof(ours::ncclUniqueId) == NCCL_UNIQUE_ID_BYTES);

}  // namespace

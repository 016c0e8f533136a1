// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/nccl.h"

#include <string>

#include "gradamp/core/error.h"

#if !defined(GRADAMP_EMULATION)
#include "gradamp/kernels/cuda/shared_library.h"
#endif

namespace gradamp::GRADAMP_GPU {
namespace {

#if defined(GRADAMP_EMULATION)

#define GRADAMP_NCCL(function) &function
#define GRADAMP_NCCL_IF_THERE(function) &function

struct Library {
#else

constexpr const char* kLibrary = "libnccl.so.2";

#define GRADAMP_NCCL(function) file.find<decltype(function)>(#function)
#define GRADAMP_NCCL_IF_THERE(function) file.find_if_there<decltype(function)>(#function)

struct Library {
  SharedLibrary file{kLibrary, GRADAMP_CUDA_LIBRARIES};
#endif
  NcclFunctions functions{
      .get_version = GRADAMP_NCCL(ncclGetVersion),
      .error_string = GRADAMP_NCCL(ncclGetErrorString),
      .last_error = GRADAMP_NCCL_IF_THERE(ncclGetLastError),
      .get_unique_id = GRADAMP_NCCL(ncclGetUniqueId),
      .init_rank = GRADAMP_NCCL(ncclCommInitRank),
      .destroy = GRADAMP_NCCL(ncclCommDestroy),
      .abort = GRADAMP_NCCL(ncclCommAbort),
      .async_error = GRADAMP_NCCL(ncclCommGetAsyncError),
      .send = GRADAMP_NCCL(ncclSend),
      .receive = GRADAMP_NCCL(ncclRecv),
      .group_start = GRADAMP_NCCL(ncclGroupStart),
      .group_end = GRADAMP_NCCL(ncclGroupEnd),
  };
};

}  // namespace

const NcclFunctions& nccl() {
  static const Library library;
  return library.functions;
}

void check_nccl(ncclResult_t result, const char* call, ncclComm_t comm) {
  if (result == ncclSuccess) return;
  const char* const why = nccl().last_error != nullptr ? nccl().last_error(comm) : nullptr;
  const std::string more = why != nullptr && *why != '\0' ? fmt::format(": {}", why) : "";
  fail("{}: NCCL reports '{}'{}", call, nccl().error_string(result), more);
}

}  // namespace gradamp::GRADAMP_GPU

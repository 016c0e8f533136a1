// SPDX-License-Identifier: MIT
// NCCL, NVIDIA's library that moves data between GPUs, as far as nccl_exchange.h needs it: its functions, loaded at run
// time, or the emulator's. The declarations are those of <nccl.h>, which need not be installed;
// tests/kernels/cuda/nccl/declarations.cpp compares the two.
#pragma once

#include <cstddef>

#include "gradamp/kernels/cuda/cuda.h"

#if defined(GRADAMP_EMULATION)

#include "gradamp/kernels/emulation/nccl.h"

#else

namespace gradamp::cuda {

enum ncclResult_t : unsigned {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7,
};

enum ncclDataType_t : unsigned { ncclInt8 = 0, ncclUint8 = 1 };

struct ncclUniqueId {
  char internal[128];
};

using ncclComm_t = struct ncclComm*;

// Never defined: they are the types of the library's functions.
ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
const char* ncclGetLastError(ncclComm_t comm);
ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error);
ncclResult_t ncclSend(const void* memory, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclRecv(void* memory, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();

}  // namespace gradamp::cuda

#endif

namespace gradamp::GRADAMP_GPU {

/// The functions of NCCL 2.7 (2020), the first with ncclSend, or newer.
struct NcclFunctions {
  decltype(&ncclGetVersion) get_version;
  decltype(&ncclGetErrorString) error_string;
  decltype(&ncclGetLastError) last_error;  // null: the library is older than 2.13
  decltype(&ncclGetUniqueId) get_unique_id;
  decltype(&ncclCommInitRank) init_rank;
  decltype(&ncclCommDestroy) destroy;
  decltype(&ncclCommAbort) abort;
  decltype(&ncclCommGetAsyncError) async_error;
  decltype(&ncclSend) send;
  decltype(&ncclRecv) receive;
  decltype(&ncclGroupStart) group_start;
  decltype(&ncclGroupEnd) group_end;
};

/// Loads the library at the first call. Error if it is not there or too old.
const NcclFunctions& nccl();

/// Error unless `call`, a function of NCCL, has returned ncclSuccess. `comm`: of the call, or null.
void check_nccl(ncclResult_t result, const char* call, ncclComm_t comm);

}  // namespace gradamp::GRADAMP_GPU

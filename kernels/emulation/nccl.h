// SPDX-License-Identifier: MIT
// NCCL's functions, as far as a backend needs them, between processes on one machine, each of which emulates a device.
// They return NCCL's results for mistakes that NCCL detects, and for some that make it hang. An exchange is work of a
// stream, and part of a graph if the stream captures. If it fails, because a process has ended, does not answer or
// sends another number of bytes, it fails as a kernel does (runtime.h).
#pragma once

#include <cstddef>

#include "gradamp/kernels/emulation/runtime.h"

namespace gradamp::emulation {

/// The seconds that a process waits for one that does not answer; 60 unless the program changes it.
double& peer_timeout();

}  // namespace gradamp::emulation

namespace gradamp::emulated {

enum ncclResult_t {
  ncclSuccess = 0,
  ncclUnhandledCudaError = 1,
  ncclSystemError = 2,
  ncclInternalError = 3,
  ncclInvalidArgument = 4,
  ncclInvalidUsage = 5,
  ncclRemoteError = 6,
  ncclInProgress = 7,
};

enum ncclDataType_t { ncclInt8 = 0, ncclUint8 = 1 };

struct ncclUniqueId {
  char internal[128];
};

struct ncclComm;
using ncclComm_t = ncclComm*;

ncclResult_t ncclGetVersion(int* version);
const char* ncclGetErrorString(ncclResult_t result);
/// What the last call of this thread found wrong; "" if nothing did.
const char* ncclGetLastError(ncclComm_t comm);

ncclResult_t ncclGetUniqueId(ncclUniqueId* id);
/// Waits for the others, which call it with the same id.
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank);
ncclResult_t ncclCommDestroy(ncclComm_t comm);
ncclResult_t ncclCommAbort(ncclComm_t comm);
/// ncclSuccess: an exchange that fails is the device's failure.
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error);

/// In a group only: alone, two ranks that both send first would wait for each other for ever. All calls of a group
/// must have one communicator and one stream.
ncclResult_t ncclSend(const void* memory, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclRecv(void* memory, std::size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream);
ncclResult_t ncclGroupStart();
ncclResult_t ncclGroupEnd();

}  // namespace gradamp::emulated

// SPDX-License-Identifier: MIT
// A stand-in for NCCL, a shared library that replaces it: the program that loaded it moves the bytes (nccl_calls.cpp),
// between processes on one machine.
#include <dlfcn.h>

#include "gradamp/kernels/cuda/nccl.h"

namespace {

using namespace gradamp::cuda;

/// The program's functions, which it exports for this purpose.
const NcclFunctions& of_program() {
  using Functions = const NcclFunctions*();
  static const NcclFunctions* const functions = reinterpret_cast<Functions*>(dlsym(RTLD_DEFAULT, "stand_in_nccl"))();
  return *functions;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) { return of_program().get_version(version); }
const char* ncclGetErrorString(ncclResult_t result) { return of_program().error_string(result); }
const char* ncclGetLastError(ncclComm_t comm) { return of_program().last_error(comm); }
ncclResult_t ncclGetUniqueId(ncclUniqueId* id) { return of_program().get_unique_id(id); }
ncclResult_t ncclCommInitRank(ncclComm_t* comm, int size, ncclUniqueId id, int rank) {
  return of_program().init_rank(comm, size, id, rank);
}
ncclResult_t ncclCommDestroy(ncclComm_t comm) { return of_program().destroy(comm); }
ncclResult_t ncclCommAbort(ncclComm_t comm) { return of_program().abort(comm); }
ncclResult_t ncclCommGetAsyncError(ncclComm_t comm, ncclResult_t* error) {
  return of_program().async_error(comm, error);
}
ncclResult_t ncclSend(const void* memory, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return of_program().send(memory, count, type, peer, comm, stream);
}
ncclResult_t ncclRecv(void* memory, size_t count, ncclDataType_t type, int peer, ncclComm_t comm, cudaStream_t stream) {
  return of_program().receive(memory, count, type, peer, comm, stream);
}
ncclResult_t ncclGroupStart() { return of_program().group_start(); }
ncclResult_t ncclGroupEnd() { return of_program().group_end(); }

}  // extern "C"

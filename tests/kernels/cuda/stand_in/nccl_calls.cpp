// SPDX-License-Identifier: MIT
// The program's part of the stand-in for NCCL (nccl/nccl.cpp): the emulator's NCCL.
#include "gradamp/tests/kernels/cuda/stand_in/nccl_calls.h"

#include <atomic>
#include <chrono>
#include <thread>

#include "gradamp/kernels/cuda/nccl.h"
#include "gradamp/tests/kernels/cuda/stand_in/call.h"
#include "gradamp/tests/kernels/cuda/stand_in/log.h"
#include "gradamp/tests/kernels/cuda/stand_in/settings.h"

namespace gradamp::stand_in {
namespace {

using emulated::ncclComm_t;
using emulated::ncclResult_t;

std::atomic<bool> is_hanging = false;

ncclResult_t init_rank(ncclComm_t* comm, int size, emulated::ncclUniqueId id, int rank) {
  if (begin_call_without_device("ncclCommInitRank") != cudaSuccess || device_state() != cudaSuccess)
    return emulated::ncclUnhandledCudaError;
  return emulated::ncclCommInitRank(comm, size, id, rank);
}

ncclResult_t group_end() {
  log_line("call\tncclGroupEnd");
  const ncclResult_t result = emulated::ncclGroupEnd();
  if (settings().hang) is_hanging = true;
  return result;
}

ncclResult_t abort_comm(ncclComm_t comm) {
  log_line("call\tncclCommAbort");
  is_hanging = false;
  return emulated::ncclCommAbort(comm);
}

ncclResult_t destroy(ncclComm_t comm) {
  log_line("call\tncclCommDestroy");
  return emulated::ncclCommDestroy(comm);
}

emulated::NcclFunctions all() {
  emulated::NcclFunctions functions = emulated::nccl();
  functions.init_rank = init_rank;
  functions.group_end = group_end;
  functions.abort = abort_comm;
  functions.destroy = destroy;
  return functions;
}

}  // namespace

bool hangs() { return is_hanging; }

void wait_while_it_hangs() {
  while (hangs()) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

}  // namespace gradamp::stand_in

/// The functions in the order of NcclFunctions, whose types are the emulator's here and CUDA's in the library.
extern "C" const void* stand_in_nccl() {
  static const gradamp::emulated::NcclFunctions functions = gradamp::stand_in::all();
  return &functions;
}

// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/runtime.h"

#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/messages.h"

namespace gradamp::GRADAMP_GPU {

void fail_cuda(cudaError_t error, const char* what, const char* file, int line) {
  fail("{}", failure_text(error, what, file, line));
}

Stream make_stream() {
  cudaStream_t stream{};
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  return Stream(stream);
}

Event make_event() {
  cudaEvent_t event{};
  check_cuda(cudaEventCreateWithFlags(&event, cudaEventDisableTiming), "cudaEventCreateWithFlags");
  return Event(event);
}

void* DeviceMemorySource::allocate(std::size_t bytes) {
  void* memory = nullptr;
  const cudaError_t error = cudaMalloc(&memory, bytes);
  if (error == cudaErrorMemoryAllocation) {
    cudaGetLastError();  // clears the error, which the next call would return
    return nullptr;
  }
  check_cuda(error, "cudaMalloc");
  return memory;
}

void DeviceMemorySource::release(void* memory, std::size_t) noexcept { cudaFree(memory); }

std::size_t DeviceMemorySource::free_bytes() const {
  std::size_t free_bytes = 0, total = 0;
  check_cuda(cudaMemGetInfo(&free_bytes, &total), "cudaMemGetInfo");
  return free_bytes;
}

void* PinnedMemorySource::allocate(std::size_t bytes) {
  void* memory = nullptr;
  check_cuda(cudaMallocHost(&memory, bytes), "cudaMallocHost");
  return memory;
}

void PinnedMemorySource::release(void* memory, std::size_t) noexcept { cudaFreeHost(memory); }

}  // namespace gradamp::GRADAMP_GPU

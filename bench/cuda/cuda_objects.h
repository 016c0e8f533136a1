// SPDX-License-Identifier: MIT
// CUDA's streams, events, memory and graphs for the references, which use nothing of the backend that is compared with
// them. Host files only.
#pragma once

#include <cstddef>
#include <functional>

#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

class CudaStream {
 public:
  CudaStream() { check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags"); }
  ~CudaStream() { cudaStreamDestroy(stream_); }
  CudaStream(const CudaStream&) = delete;
  CudaStream& operator=(const CudaStream&) = delete;
  cudaStream_t get() const { return stream_; }
  void wait() const { check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize"); }

 private:
  cudaStream_t stream_ = nullptr;
};

/// An event with timing.
class CudaEvent {
 public:
  CudaEvent() { check_cuda(cudaEventCreate(&event_), "cudaEventCreate"); }
  ~CudaEvent() { cudaEventDestroy(event_); }
  CudaEvent(const CudaEvent&) = delete;
  CudaEvent& operator=(const CudaEvent&) = delete;
  cudaEvent_t get() const { return event_; }

 private:
  cudaEvent_t event_ = nullptr;
};

class CudaMemory {
 public:
  /// Allocates no memory for 0 bytes.
  explicit CudaMemory(std::size_t bytes) {
    if (bytes > 0) check_cuda(cudaMalloc(&memory_, bytes), "cudaMalloc");
  }
  ~CudaMemory() { cudaFree(memory_); }
  CudaMemory(const CudaMemory&) = delete;
  CudaMemory& operator=(const CudaMemory&) = delete;
  void* get() const { return memory_; }

 private:
  void* memory_ = nullptr;
};

/// A graph of the work that `enqueue` puts into the stream.
class CudaGraph {
 public:
  CudaGraph(cudaStream_t stream, const std::function<void()>& enqueue) {
    check_cuda(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
    cudaGraph_t captured = nullptr;
    try {
      enqueue();
    } catch (...) {
      cudaStreamEndCapture(stream, &captured);
      if (captured) cudaGraphDestroy(captured);
      cudaGetLastError();  // clears the error of the failed capture
      throw;
    }
    check_cuda(cudaStreamEndCapture(stream, &captured), "cudaStreamEndCapture");
    const cudaError_t status = cudaGraphInstantiate(&executable_, captured, 0);
    cudaGraphDestroy(captured);
    check_cuda(status, "cudaGraphInstantiate");
  }
  ~CudaGraph() { cudaGraphExecDestroy(executable_); }
  CudaGraph(const CudaGraph&) = delete;
  CudaGraph& operator=(const CudaGraph&) = delete;
  void launch(cudaStream_t stream) const { check_cuda(cudaGraphLaunch(executable_, stream), "cudaGraphLaunch"); }

 private:
  cudaGraphExec_t executable_ = nullptr;
};

}  // namespace gradamp::GRADAMP_GPU

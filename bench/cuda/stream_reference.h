// SPDX-License-Identifier: MIT
// An ArenaReference with its own CUDA stream. Host files only.
#pragma once

#include <functional>
#include <memory>

#include "gradamp/bench/arena_reference.h"
#include "gradamp/bench/cuda/cuda_objects.h"
#include "gradamp/kernels/cuda/arena_pointers.h"

namespace gradamp::GRADAMP_GPU {

class StreamReference : public bench::ArenaReference {
 public:
  std::function<void()> prepare_flush(const Tensor& memory) override {
    return [this, memory] {
      check_cuda(cudaMemsetAsync(memory.raw_data(), 0, memory.bytes(), stream()), "cudaMemsetAsync");
    };
  }

  bench::WorkQueue queue() override {
    return {[this](const std::function<void()>& work) -> std::unique_ptr<Recording> {
              return std::make_unique<GraphRecording>(stream(), work);
            },
            [this] { stream_.wait(); }};
  }

 protected:
  cudaStream_t stream() const { return stream_.get(); }

 private:
  class GraphRecording final : public Recording {
   public:
    GraphRecording(cudaStream_t stream, const std::function<void()>& work) : stream_(stream), graph_(stream, work) {}
    void replay() override { graph_.launch(stream_); }

   private:
    cudaStream_t stream_;
    CudaGraph graph_;
  };

  CudaStream stream_;
};

}  // namespace gradamp::GRADAMP_GPU

// SPDX-License-Identifier: MIT
// An ArenaReference in a CUDA stream of its own. Host files only.
#pragma once

#include <functional>
#include <memory>

#include "bench/arena_reference.h"
#include "bench/cuda/cuda_objects.h"
#include "kernels/cuda/optimizer.h"

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

  static ArenaPointers pointers_of(const Arena& arena) {
    const auto f32 = [](const Tensor& tensor) { return tensor.defined() ? tensor.data<float>() : nullptr; };
    return {.count = arena.gradients.count(),
            .weights = f32(arena.weights),
            .momentum = f32(arena.momentum),
            .weights_bf16 = arena.weights_bf16.defined() ? static_cast<bf16*>(arena.weights_bf16.raw_data()) : nullptr,
            .gradients = f32(arena.gradients),
            .signed_sums = f32(arena.signed_sums),
            .absolute_sums = f32(arena.absolute_sums),
            .layers = reinterpret_cast<const LayerRange*>(arena.layers.device_ranges().data<std::int64_t>()),
            .layer_count = static_cast<int>(arena.layers.count()),
            .chunk_layers = arena.layers.chunk_layers().data<std::int32_t>(),
            .neuron_layers = arena.layers.neuron_layers().data<std::int32_t>(),
            .neurons = static_cast<int>(arena.layers.neurons())};
  }

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

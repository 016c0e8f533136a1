// SPDX-License-Identifier: MIT
// ArenaReference by bench/cuda/atomic_statistics.cu; compiled for a GPU and for the emulator.
#include "gradamp/bench/atomic_references.h"
#include "gradamp/bench/cuda/atomic_statistics.h"
#include "gradamp/bench/cuda/stream_reference.h"

namespace gradamp::GRADAMP_GPU {
namespace {

class AtomicReference final : public StreamReference {
 public:
  bool has(bench::ArenaReduction reduction) const override {
    return reduction == bench::ArenaReduction::kLayerSums || reduction == bench::ArenaReduction::kNeuronStep;
  }

  std::function<void()> prepare(bench::ArenaReduction reduction, const bench::ArenaWork& work) override {
    check(has(reduction), "there is no such reduction by atomic additions");
    const ArenaPointers arena = arena_pointers(work.arena);
    if (reduction == bench::ArenaReduction::kLayerSums) {
      return [this, arena, result = work.result] {
        check_cuda(cudaMemsetAsync(result.raw_data(), 0, result.bytes(), stream()), "cudaMemsetAsync");
        launch_atomic_layer_sums(stream(), arena, result.data<double>());
      };
    }
    const std::size_t bytes = static_cast<std::size_t>(arena.neurons) * sizeof(float);
    return [this, arena, work, bytes, memory = std::make_shared<CudaMemory>(bytes)] {
      auto* const gradients = static_cast<float*>(memory->get());
      std::int64_t* const counters = work.state.counters.data<std::int64_t>();
      check_cuda(cudaMemsetAsync(gradients, 0, bytes, stream()), "cudaMemsetAsync");
      launch_atomic_neuron_gradients(stream(), arena, gradients, counters);
      launch_sgd(stream(), arena, work.params, work.factors.data<float>(), work.state.learning_rate.data<float>(),
                 gradients, counters);
    };
  }
};

}  // namespace

std::unique_ptr<bench::ArenaReference> make_atomic_reference() { return std::make_unique<AtomicReference>(); }

}  // namespace gradamp::GRADAMP_GPU

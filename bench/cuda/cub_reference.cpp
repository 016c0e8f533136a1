// SPDX-License-Identifier: MIT
#include "gradamp/bench/cuda/cub_reference.h"

#include "gradamp/bench/cuda/stream_reference.h"

namespace gradamp::cuda {
namespace {

/// CUB's functions require a pointer that is not null even if they need no memory.
std::shared_ptr<CudaMemory> workspace_of(std::size_t bytes) {
  return std::make_shared<CudaMemory>(bytes > 0 ? bytes : 1);
}

class CubReference final : public StreamReference {
 public:
  bool has(bench::ArenaReduction reduction) const override { return reduction != bench::ArenaReduction::kNeuronStep; }

  std::function<void()> prepare(bench::ArenaReduction reduction, const bench::ArenaWork& work) override {
    const ArenaPointers arena = arena_pointers(work.arena);
    std::size_t bytes = 0;
    check_cuda(reduce(reduction, arena, work.result, nullptr, bytes), "CUB's working memory");
    return [this, reduction, arena, result = work.result, bytes, memory = workspace_of(bytes)]() mutable {
      check_cuda(reduce(reduction, arena, result, memory->get(), bytes), "CUB's reduction");
    };
  }

 private:
  cudaError_t reduce(bench::ArenaReduction reduction, const ArenaPointers& arena, const Tensor& result, void* workspace,
                     std::size_t& bytes) const {
    switch (reduction) {
      case bench::ArenaReduction::kLayerAbsolute:
        return cub_layer_absolute(workspace, bytes, arena.gradients, arena.layers, arena.layer_count,
                                  result.data<float>(), stream());
      case bench::ArenaReduction::kWholeAbsolute:
        return cub_whole_absolute(workspace, bytes, arena.gradients, arena.count, result.data<float>(), stream());
      case bench::ArenaReduction::kLayerSums:
        return cub_layer_sums(workspace, bytes, arena.signed_sums, arena.absolute_sums, arena.layers, arena.layer_count,
                              result.data<double>(), stream());
      case bench::ArenaReduction::kNeuronStep: break;
    }
    fail("there is no such reduction by CUB");
  }
};

}  // namespace
}  // namespace gradamp::cuda

namespace gradamp::bench {
namespace {

std::string version_text() {
  const int version = cuda::cub_version();
  return fmt::format("CUB {}.{}.{}", version / 100000, version / 100 % 1000, version % 100);
}

}  // namespace

ArenaReferenceChoice make_cub_reference(const Device& device) {
  if (device.kind != DeviceKind::kCuda) return {nullptr, "left out: CUB computes on the device cuda only"};
  try {
    return {std::make_unique<cuda::CubReference>(), version_text()};
  } catch (const Error& error) {
    return {nullptr, fmt::format("left out: CUB cannot start: {}", error.what())};
  }
}

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
// RAII owners of CUDA's streams, events, graphs and memory. Host files only.
#pragma once

#include <cstddef>
#include <utility>

#include "gradamp/core/caching_allocator.h"
#include "gradamp/kernels/cuda/cuda.h"

namespace gradamp::GRADAMP_GPU {

/// Owns a handle of the runtime; kDestroy destroys it.
template <typename Handle, auto kDestroy>
class Owned {
 public:
  Owned() = default;
  explicit Owned(Handle handle) : handle_(handle) {}
  Owned(Owned&& other) noexcept : handle_(std::exchange(other.handle_, Handle{})) {}
  Owned& operator=(Owned&& other) noexcept {
    std::swap(handle_, other.handle_);
    return *this;
  }
  ~Owned() {
    if (handle_) kDestroy(handle_);
  }
  Handle get() const { return handle_; }
  explicit operator bool() const { return handle_ != Handle{}; }

 private:
  Handle handle_{};
};

using Stream = Owned<cudaStream_t, cudaStreamDestroy>;
using Event = Owned<cudaEvent_t, cudaEventDestroy>;
using Graph = Owned<cudaGraph_t, cudaGraphDestroy>;
using GraphExecutable = Owned<cudaGraphExec_t, cudaGraphExecDestroy>;

Stream make_stream();
/// An event without timing.
Event make_event();

/// Memory of the current device.
class DeviceMemorySource final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) noexcept override;
  std::size_t free_bytes() const override;
};

/// Pinned host memory, which the device copies asynchronously.
class PinnedMemorySource final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override;
  void release(void* memory, std::size_t bytes) noexcept override;
};

}  // namespace gradamp::GRADAMP_GPU

// SPDX-License-Identifier: MIT
// The events that the emulator reports to a checker of memory accesses: the race checker, in programs that link it.
#pragma once

#include <cstddef>
#include <cstdint>

namespace gradamp::emulation {

class BlockRunner;
struct Thread;

class AccessObserver {
 public:
  virtual ~AccessObserver() = default;

  virtual void launch_begins() = 0;
  /// Throws Error if the launch had findings.
  virtual void launch_ends() = 0;
  virtual void block_begins(BlockRunner& runner) = 0;

  /// Every thread of the block has arrived at __syncthreads.
  virtual void block_barrier() = 0;
  /// An mbarrier's phase or a named barrier is complete: some of the block's threads have waited for others.
  virtual void some_threads_met() = 0;
  /// The `lanes` of a warp have arrived at __syncwarp.
  virtual void warp_barrier(unsigned warp, std::uint32_t lanes) = 0;
  /// The thread has executed __threadfence.
  virtual void fence(const Thread& thread) = 0;

  /// The emulator reads memory for a thread; `code` is the instruction's address in the kernel.
  virtual void read(const Thread& thread, const void* address, std::size_t bytes, const void* code) = 0;
  /// An asynchronous copy can complete at any time from now on (begins), and has completed (lands).
  virtual void copy_begins(const Thread& thread, void* address, std::size_t bytes, const void* code) = 0;
  virtual void copy_lands(const Thread& thread, void* address, std::size_t bytes, const void* code) = 0;

  /// `of_device`: the host cannot write it by itself.
  virtual void allocated(const void* memory, std::size_t bytes, bool of_device) = 0;
  virtual void freed(const void* memory) = 0;
  /// A copy or a memset of the host wrote this memory.
  virtual void host_wrote(const void* memory, std::size_t bytes) = 0;

  struct Bytes {
    std::size_t offset = 0, count = 0;
  };
  /// The longest part of this memory that nothing has written; count 0 if there is none, or if it may be the padding of
  /// structures.
  virtual Bytes unwritten(const void* memory, std::size_t bytes) = 0;
};

inline constinit AccessObserver* access_observer = nullptr;

}  // namespace gradamp::emulation

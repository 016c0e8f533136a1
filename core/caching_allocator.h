// SPDX-License-Identifier: MIT
// A cache of freed memory. A training step allocates the same sizes every time, and memory from the system costs more
// than the arithmetic on it.
#pragma once

#include <cstddef>
#include <memory>

#include "gradamp/core/error.h"

namespace gradamp {

/// How much memory of a device is in use, held and free, in bytes.
struct MemoryUse {
  std::size_t in_use = 0;  // by tensors
  std::size_t held = 0;    // taken from the system: in use or cached
  std::size_t free = 0;    // left in the system; 0 if unknown
};

/// No memory left. The message gives the size of the request and how much is held and free.
class OutOfMemory : public Error {
 public:
  OutOfMemory(std::size_t asked, const MemoryUse& use);
  /// At the time when the memory ran out.
  const MemoryUse& use() const { return use_; }

 private:
  MemoryUse use_;
};

/// The source of a CachingAllocator's memory.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Aligned to at least 64 bytes; a null pointer if there is none left.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Bytes left in the system; 0 if unknown.
  virtual std::size_t free_bytes() const { return 0; }
};

/// Thread-safe. A block is reused as soon as its last handle is destroyed, so all work on blocks must be in one order:
/// on the host, or in one stream of a device.
class CachingAllocator {
  struct Pool;

 public:
  /// `cached` false: takes exact sizes from the source every time, so that AddressSanitizer detects every overrun.
  explicit CachingAllocator(std::unique_ptr<MemorySource> source, bool cached = true);
  ~CachingAllocator();

  /// Memory with the source's alignment. If the source has none left, releases what is not in use and tries again;
  /// OutOfMemory if that fails too. A block returns to the cache when its last handle is destroyed, even after the
  /// allocator's own destruction.
  std::shared_ptr<void> allocate(std::size_t bytes);

  /// Returns the memory that is not in use to the system, except that of reservations.
  void release_unused();

  MemoryUse use() const;

  /// Memory for recorded work, which uses it at every replay. Allocations while a Reservation is open come from it.
  /// Memory of it that is freed stays in it and serves no other allocation.
  class Reservation {
   public:
    explicit Reservation(CachingAllocator& allocator);
    /// Calls give_back(); blocks still in use follow when they are freed.
    ~Reservation();
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    /// Moves its unused memory to the cache. Nothing that was recorded may be replayed afterwards.
    void give_back();

    /// The reservation is open while a Scope lives; only one can be open at a time.
    class Scope {
     public:
      explicit Scope(Reservation& reservation);
      ~Scope();
      Scope(const Scope&) = delete;
      Scope& operator=(const Scope&) = delete;

     private:
      Reservation& reservation_;
    };

   private:
    friend class CachingAllocator;
    struct Blocks;
    std::shared_ptr<Pool> pool_;
    std::shared_ptr<Blocks> blocks_;
  };

 private:
  std::shared_ptr<Pool> pool_;
};

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Memory that is kept after use: a training step asks for the same sizes every time, and memory from the system costs
// more than the arithmetic on it.
#pragma once

#include <cstddef>
#include <memory>

#include "gradamp/core/error.h"

namespace gradamp {

/// What the memory of a device comes to, in bytes.
struct MemoryUse {
  std::size_t in_use = 0;  // by tensors
  std::size_t held = 0;    // taken from the system: in use or kept for later
  std::size_t free = 0;    // what the system has left; 0 where it does not say
};

/// No memory left. The message says how much was asked for, held and free.
class OutOfMemory : public Error {
 public:
  OutOfMemory(std::size_t asked, const MemoryUse& use);
  /// As it was when the memory ran out.
  const MemoryUse& use() const { return use_; }

 private:
  MemoryUse use_;
};

/// Where a CachingAllocator gets its memory.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  /// Aligned to 64 bytes at least; a null pointer where there is none left.
  virtual void* allocate(std::size_t bytes) = 0;
  virtual void release(void* memory, std::size_t bytes) noexcept = 0;
  /// Bytes left; 0 where the system does not say.
  virtual std::size_t free_bytes() const { return 0; }
};

/// Thread-safe. Blocks are handed out again as soon as their last handle goes, so all work on them must be in one
/// order: on the host, or in one stream of a device.
class CachingAllocator {
  struct Pool;

 public:
  /// `cached` false: exact sizes from the source every time, so that AddressSanitizer sees every overrun.
  explicit CachingAllocator(std::unique_ptr<MemorySource> source, bool cached = true);
  ~CachingAllocator();

  /// Memory aligned as the source's; OutOfMemory where there is none, also after giving back what is not in use. A
  /// block returns to the cache when its last handle goes, also after the allocator itself has gone.
  std::shared_ptr<void> allocate(std::size_t bytes);

  /// Gives what is not in use, apart from reservations, back to the system.
  void release_unused();

  MemoryUse use() const;

  /// Memory that recorded work will use again whenever it is replayed: what is allocated while a Reservation is open
  /// comes from it, and what of it is given back stays in it, for nobody else.
  class Reservation {
   public:
    explicit Reservation(CachingAllocator& allocator);
    /// As give_back; what is still in use follows later.
    ~Reservation();
    Reservation(const Reservation&) = delete;
    Reservation& operator=(const Reservation&) = delete;

    /// Gives what of it is not in use to the cache: nothing that was recorded may be replayed after that.
    void give_back();

    /// Open while this lives; one at a time.
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

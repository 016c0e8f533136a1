// SPDX-License-Identifier: MIT
#include "gradamp/core/caching_allocator.h"

#include <algorithm>
#include <limits>
#include <map>
#include <mutex>
#include <string>

namespace gradamp {
namespace {

constexpr std::size_t kSmallUnit = 512;
constexpr std::size_t kLargeBlock = std::size_t{2} << 20;
constexpr std::size_t kLargeUnit = std::size_t{64} << 10;

using FreeBlocks = std::multimap<std::size_t, void*>;  // by size

std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes >= kLargeBlock ? kLargeUnit : kSmallUnit;
  return std::max(unit, (bytes + unit - 1) / unit * unit);
}

/// The smallest free block with `size` to `limit` bytes, or a null pointer; `size` becomes the block's.
void* take(FreeBlocks& blocks, std::size_t& size, std::size_t limit) {
  const auto block = blocks.lower_bound(size);
  if (block == blocks.end() || block->first > limit) return nullptr;
  void* memory = block->second;
  size = block->first;
  blocks.erase(block);
  return memory;
}

std::string mebibytes(std::size_t bytes) {
  return fmt::format("{:.1f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

std::string out_of_memory_message(std::size_t asked, const MemoryUse& use) {
  std::string message =
      fmt::format("out of memory: {} were asked for, {} are held", mebibytes(asked), mebibytes(use.held));
  if (use.held > use.in_use) message += fmt::format(" ({} of them not in use)", mebibytes(use.held - use.in_use));
  if (use.free > 0) message += fmt::format(", {} are free", mebibytes(use.free));
  return message;
}

}  // namespace

OutOfMemory::OutOfMemory(std::size_t asked, const MemoryUse& use)
    : Error(out_of_memory_message(asked, use)), use_(use) {}

struct CachingAllocator::Reservation::Blocks {
  FreeBlocks free;
  bool closed = false;  // the reservation no longer exists
};

/// Outlives the allocator while any block is in use.
struct CachingAllocator::Pool {
  mutable std::mutex mutex;
  std::unique_ptr<MemorySource> source;
  bool cached;
  FreeBlocks free;
  std::shared_ptr<Reservation::Blocks> open;  // those of the open reservation, if any
  MemoryUse use;

  Pool(std::unique_ptr<MemorySource> memory_source, bool is_cached)
      : source(std::move(memory_source)), cached(is_cached) {}
  ~Pool() { release_free(); }

  void release_free() {
    for (const auto& [size, memory] : free) {
      source->release(memory, size);
      use.held -= size;
    }
    free.clear();
  }

  /// A free block of about `size` bytes, or a null pointer; `size` becomes the block's.
  void* reuse(std::size_t& size) {
    if (!cached) return nullptr;
    const std::size_t limit = size + size / 8;
    void* memory = open ? take(open->free, size, limit) : nullptr;
    return memory ? memory : take(free, size, limit);
  }

  /// A block from the source. If that fails, releases the cached blocks and tries again. Then takes any block of the
  /// open reservation that is large enough, since it would be unused otherwise.
  void* grow(std::size_t& size) {
    void* memory = source->allocate(size);
    if (memory == nullptr) {
      release_free();
      memory = source->allocate(size);
    }
    if (memory == nullptr && open && cached) {
      memory = take(open->free, size, std::numeric_limits<std::size_t>::max());
      if (memory != nullptr) return memory;
    }
    if (memory == nullptr) {
      use.free = source->free_bytes();
      throw OutOfMemory(size, use);
    }
    use.held += size;
    return memory;
  }

  void give_back(void* memory, std::size_t size, Reservation::Blocks* home) {
    const std::lock_guard lock(mutex);
    use.in_use -= size;
    if (home && !home->closed) {
      home->free.emplace(size, memory);
    } else if (cached) {
      free.emplace(size, memory);
    } else {
      source->release(memory, size);
      use.held -= size;
    }
  }
};

CachingAllocator::CachingAllocator(std::unique_ptr<MemorySource> source, bool cached)
    : pool_(std::make_shared<Pool>(std::move(source), cached)) {}
CachingAllocator::~CachingAllocator() = default;

std::shared_ptr<void> CachingAllocator::allocate(std::size_t bytes) {
  const std::lock_guard lock(pool_->mutex);
  std::size_t size = pool_->cached ? rounded(bytes) : std::max<std::size_t>(bytes, 1);
  void* memory = pool_->reuse(size);
  if (memory == nullptr) memory = pool_->grow(size);
  pool_->use.in_use += size;
  return {memory, [pool = pool_, home = pool_->open, size](void* block) { pool->give_back(block, size, home.get()); }};
}

void CachingAllocator::release_unused() {
  const std::lock_guard lock(pool_->mutex);
  pool_->release_free();
}

MemoryUse CachingAllocator::use() const {
  const std::lock_guard lock(pool_->mutex);
  MemoryUse use = pool_->use;
  use.free = pool_->source->free_bytes();
  return use;
}

CachingAllocator::Reservation::Reservation(CachingAllocator& allocator)
    : pool_(allocator.pool_), blocks_(std::make_shared<Blocks>()) {}

CachingAllocator::Reservation::~Reservation() {
  give_back();
  const std::lock_guard lock(pool_->mutex);
  blocks_->closed = true;
}

void CachingAllocator::Reservation::give_back() {
  const std::lock_guard lock(pool_->mutex);
  if (pool_->cached) {
    pool_->free.merge(blocks_->free);
    return;
  }
  for (const auto& [size, memory] : blocks_->free) {
    pool_->source->release(memory, size);
    pool_->use.held -= size;
  }
  blocks_->free.clear();
}

CachingAllocator::Reservation::Scope::Scope(Reservation& reservation) : reservation_(reservation) {
  Pool& pool = *reservation_.pool_;
  const std::lock_guard lock(pool.mutex);
  check(!pool.open, "a reservation of memory is open already");
  pool.open = reservation_.blocks_;
}

CachingAllocator::Reservation::Scope::~Scope() {
  Pool& pool = *reservation_.pool_;
  const std::lock_guard lock(pool.mutex);
  pool.open = nullptr;
}

}  // namespace gradamp

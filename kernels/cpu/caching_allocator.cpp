// SPDX-License-Identifier: MIT
#include "kernels/cpu/caching_allocator.h"

#include <sys/mman.h>

#include <cstdlib>

#include "core/error.h"

namespace gradamp {
namespace {

constexpr std::size_t kSmallAlignment = 64;
constexpr std::size_t kLargeBlock = std::size_t{2} << 20;

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCached = false;  // exact sizes, so that AddressSanitizer sees every overrun
#else
constexpr bool kCached = true;
#endif

std::size_t rounded(std::size_t bytes) {
  const std::size_t unit = bytes >= kLargeBlock ? std::size_t{64} << 10 : kSmallAlignment;
  return bytes == 0 ? unit : (bytes + unit - 1) / unit * unit;
}

void* system_allocate(std::size_t bytes) {
  const bool large = bytes >= kLargeBlock;
  void* memory = nullptr;
  if (posix_memalign(&memory, large ? kLargeBlock : kSmallAlignment, bytes) != 0) return nullptr;
  if (large) madvise(memory, bytes, MADV_HUGEPAGE);
  return memory;
}

}  // namespace

struct CachingAllocator::Pool {
  std::mutex mutex;
  std::multimap<std::size_t, void*> free_blocks;

  ~Pool() { release(); }

  void release() {
    for (const auto& [size, memory] : free_blocks) std::free(memory);
    free_blocks.clear();
  }

  /// A free block that wastes little, or a null pointer; `size` becomes the block's.
  void* take(std::size_t& size) {
    const std::lock_guard lock(mutex);
    const auto block = free_blocks.lower_bound(size);
    if (block == free_blocks.end() || block->first > size + size / 8) return nullptr;
    void* memory = block->second;
    size = block->first;
    free_blocks.erase(block);
    return memory;
  }

  /// From the system; when that fails, once more after giving back what the cache holds.
  void* grow(std::size_t size) {
    const std::lock_guard lock(mutex);
    void* memory = system_allocate(size);
    if (memory == nullptr) {
      release();
      memory = system_allocate(size);
    }
    check(memory != nullptr, "out of memory: {} MiB more were asked for; try a smaller --batch-size", size >> 20);
    return memory;
  }

  void give_back(void* memory, std::size_t size) {
    const std::lock_guard lock(mutex);
    free_blocks.emplace(size, memory);
  }
};

CachingAllocator::CachingAllocator() : pool_(std::make_shared<Pool>()) {}

std::shared_ptr<void> CachingAllocator::allocate(std::size_t bytes) {
  std::size_t size = kCached ? rounded(bytes) : (bytes == 0 ? 1 : bytes);
  void* memory = kCached ? pool_->take(size) : nullptr;
  if (memory == nullptr) memory = pool_->grow(size);
  return {memory, [pool = pool_, size](void* block) {
            if (kCached) {
              pool->give_back(block, size);
            } else {
              std::free(block);
            }
          }};
}

}  // namespace gradamp

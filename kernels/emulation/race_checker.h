// SPDX-License-Identifier: MIT
// Detects two unordered accesses to the same memory of which one is a write, and reads of shared memory that nothing
// has written; with config().check_initialized, also such reads of device memory. Also accesses just outside of an
// allocation, on its first or last page. It decides by the order that
// synchronization implies, not by chance: it finds a race in every thread order, even if the result was right.
//
// Kernels are compiled with -fsanitize=thread, which reports every load and store, but linked to tsan_callbacks.cpp
// instead of ThreadSanitizer's runtime. The emulator reports barriers, fences and its own accesses.
//
// What orders two accesses: the same thread makes both; a __syncthreads between them; a __syncwarp in which both lanes
// take part, directly or through other lanes; different launches. Between blocks of one launch: the first block
// makes its access, then executes __threadfence and then an atomic; the other block executes a later atomic on the same
// address, then __threadfence, and then makes its access. In each block a __syncthreads may come between, so that one
// thread does this for all. The same orders two threads of one block, which take turns by a lock. Atomics (and volatile
// accesses) do not race with each other. A plain read of what others change by atomics is a race, unless the thread's
// next atomic there is a compare-and-swap, which checks the value: as in a loop with atomicCAS.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"

namespace gradamp::emulation {

/// An atomic update is a read and a write; so is a compare-and-swap, also if it fails. Volatile accesses count as
/// atomic.
enum class AccessKind : std::uint8_t { kRead, kWrite, kAtomicRead, kAtomicWrite, kAtomicUpdate, kCompareAndSwap };

constexpr bool is_atomic(AccessKind kind) { return kind != AccessKind::kRead && kind != AccessKind::kWrite; }
constexpr bool reads(AccessKind kind) { return kind != AccessKind::kWrite && kind != AccessKind::kAtomicWrite; }
constexpr bool writes(AccessKind kind) { return kind != AccessKind::kRead && kind != AccessKind::kAtomicRead; }

class RaceChecker final : public AccessObserver {
 public:
  /// The checker of this program. Its first call registers it as the emulator's access observer.
  static RaceChecker& instance();

  void access(const Thread& thread, const void* address, std::size_t bytes, AccessKind kind, const void* code);

  void launch_begins() override;
  void launch_ends() override;
  void block_begins(BlockRunner& runner) override;
  void block_barrier() override;
  void some_threads_met() override;
  void warp_barrier(unsigned warp, std::uint32_t lanes) override;
  void fence(const Thread& thread) override;
  void read(const Thread& thread, const void* address, std::size_t bytes, const void* code) override;
  void copy_begins(const Thread& thread, void* address, std::size_t bytes, const void* code) override;
  void copy_lands(const Thread& thread, void* address, std::size_t bytes, const void* code) override;
  void allocated(const void* memory, std::size_t bytes, bool of_device) override;
  void freed(const void* memory) override;
  void host_wrote(const void* memory, std::size_t bytes) override;
  Bytes unwritten(const void* memory, std::size_t bytes) override;

 private:
  // The checker's time. `tick` increases at every block's beginning and every __syncthreads, across all blocks, which
  // run one after another. A thread's `clock` increases at its __syncwarps and fences.
  struct Access {
    std::uint64_t code : 48 = 0;
    std::uint64_t thread : 10 = 0;  // rank in its block
    std::uint64_t atomic : 1 = 0;
    std::uint64_t landing : 1 = 0;  // an asynchronous copy that can complete at any time
    std::uint32_t tick = 0;         // 0: no access
    std::uint32_t clock = 0;
  };

  // The history of a byte: its last write, and two of the reads since. The first is the last one. The second is of
  // another thread, so that one of the two conflicts with any later write: from another block, or else from another
  // warp, whose reads no __syncwarp orders, or else of the same warp.
  struct Byte {
    Access write, reads[2];
  };

  using LaneClocks = std::array<std::uint32_t, kWarpSize>;

  struct Unmap {
    std::size_t bytes = 0;
    void operator()(Byte* history) const;
  };
  using History = std::unique_ptr<Byte[], Unmap>;

  struct Region {
    const char* begin;
    std::size_t bytes;
    bool shared;
    bool check_initialized;  // in device memory: reads of bytes that nothing has written are reported
    History history;
  };

  // What a block makes visible by an atomic write after a fence, to those that read the atomic.
  struct Release {
    std::uint32_t first_tick;   // of the block
    std::uint32_t before_tick;  // visible: all accesses of the block before this tick
    unsigned warp;              // of the releasing thread
    LaneClocks before_clocks;   // visible: accesses of this warp's lanes with clocks below these
    // Visible: accesses of the block's threads with clocks below these; may be null.
    std::shared_ptr<const std::vector<std::uint32_t>> fenced;
  };

  // A thread knows the first `count` releases of an atomic since `tick`. After the next barrier its whole block does.
  struct Knowledge {
    unsigned thread;
    std::uint32_t tick;
    const std::vector<Release>* releases;
    std::size_t count;

    bool reaches(unsigned other, std::uint32_t now) const { return thread == other || tick < now; }
  };

  struct ThreadClock {
    std::uint32_t now = 0;
    LaneClocks known{};            // per lane of its warp: accesses with clocks below this are before it
    std::uint32_t fence_tick = 0;  // of its last fence in this block; 0: none
    LaneClocks fence_known{};      // `known` at that fence
  };

  // "{who} at {code} {whom} at {other_code}{why}"
  struct Finding {
    std::string who;
    std::uint64_t code;
    std::string whom;
    std::uint64_t other_code;  // 0: none
    std::string why;
  };

  // A plain read of what another thread changed by an atomic.
  struct ReadOfAtomic {
    const char* address;
    Access read, earlier;
    emulated::uint3 block;
    bool shared;
    bool earlier_of_other_block;
  };

  static History make_history(std::size_t bytes);
  void add_region(const void* begin, std::size_t bytes, bool shared, bool check_initialized = false);
  void remove_region(const void* begin);
  Region* region_of(const void* address);
  Region* region_of_page(const void* address);
  Region* find_region(const void* address);

  void check_byte(Byte& byte, const char* address, const Access& access, AccessKind kind, const Region& region);
  bool in_order(const Access& earlier, const Access& now, const Region& region) const;
  bool known_from_other_block(const Access& earlier, unsigned thread) const;
  bool known_from_same_block(const Access& earlier, unsigned thread) const;
  int use_of_read(const Access& read, const Access& last) const;
  void remember_read(Byte& byte, const Access& access) const;
  void synchronize(const Thread& thread, const void* address, AccessKind kind, bool shared);
  void forgive_reads_of_atomics(const void* address, std::size_t bytes);
  void report_reads_of_atomics();
  LaneClocks released_clocks(const Thread& thread) const;
  static void learn(std::vector<Knowledge>& list, const Knowledge& knowledge);
  static void share(std::vector<Knowledge>& list, unsigned warp, std::uint32_t lanes);
  static void merge(std::vector<Knowledge>& list);

  void report_race(const Access& access, const char* does, const Access& earlier, const char* did, bool shared);
  void add_race(const Access& access, const char* does, const Access& earlier, const char* did, bool shared,
                const emulated::uint3& block, bool of_other_block);
  void report_overrun(const Thread& thread, const void* address, AccessKind kind, const void* code);
  void report_unwritten(const Access& access, const Access& write, const Region& region);
  bool is_news(std::uint64_t code, std::uint64_t other_code);
  std::string name_of(std::uint64_t rank) const;

  std::uint32_t tick_ = 1;
  std::uint32_t launch_tick_ = 1;
  std::uint32_t block_tick_ = 1;
  std::vector<ThreadClock> clocks_;  // of the running block's threads
  const std::vector<Thread>* threads_ = nullptr;

  std::vector<std::uint32_t> fenced_;  // per thread: a fence of the thread follows its accesses with clocks below this
  bool fenced_since_barrier_ = false;
  std::shared_ptr<const std::vector<std::uint32_t>> fenced_before_barrier_;
  std::unordered_map<const void*, std::vector<Release>> releases_;
  std::vector<const void*> released_in_shared_;  // those of its keys that are in the running block's shared memory
  // For the running block: the releases that its atomics read, and those of them that a fence followed.
  std::vector<Knowledge> seen_, known_;

  std::vector<ReadOfAtomic> reads_of_atomics_;  // of one thread: it may still check the values

  std::map<const char*, Region> regions_;  // by their first address
  const char* static_shared_ = nullptr;
  const char* dynamic_shared_ = nullptr;
  std::size_t dynamic_shared_bytes_ = 0;

  // Pages and their regions; null for none.
  struct CachedPage {
    std::uintptr_t page = 0;
    Region* region = nullptr;
  };
  static constexpr std::size_t kCachedPages = 1024;
  std::vector<CachedPage> pages_;

  std::set<std::pair<std::uint64_t, std::uint64_t>> reported_;
  std::vector<Finding> findings_;
};

}  // namespace gradamp::emulation

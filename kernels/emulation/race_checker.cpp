// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/race_checker.h"

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <new>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/device_intrinsics.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/symbolizer.h"

namespace gradamp::emulation {
namespace {

constexpr std::size_t kMaxFindings = 16;
constexpr std::size_t kMaxSentences = 4;

// The calling instruction is just before the return address.
std::string place_of(std::uint64_t code) { return describe_code(reinterpret_cast<const void*>(code - 1)); }

}  // namespace

RaceChecker& RaceChecker::instance() {
  static auto* checker = [] {
    auto* made = new RaceChecker;  // outlives the last kernel
    made->pages_.resize(kCachedPages);
    access_observer = made;
    return made;
  }();
  return *checker;
}

// ---- watched memory ----

void RaceChecker::Unmap::operator()(Byte* history) const { munmap(history, bytes); }

// Zero pages, which use no memory until they are written.
RaceChecker::History RaceChecker::make_history(std::size_t bytes) {
  const std::size_t size = std::max<std::size_t>(bytes, 1) * sizeof(Byte);
  void* memory = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return History(static_cast<Byte*>(memory), Unmap{size});
}

void RaceChecker::add_region(const void* begin, std::size_t bytes, bool shared, bool check_initialized) {
  const auto* first = static_cast<const char*>(begin);
  regions_.insert_or_assign(first, Region{first, bytes, shared, check_initialized, make_history(bytes)});
  pages_.assign(kCachedPages, {});
}

void RaceChecker::remove_region(const void* begin) {
  regions_.erase(static_cast<const char*>(begin));
  pages_.assign(kCachedPages, {});
}

RaceChecker::Region* RaceChecker::region_of(const void* address) {
  Region* region = region_of_page(address);
  const bool inside = region && address >= region->begin && address < region->begin + region->bytes;
  return inside ? region : nullptr;
}

// Regions do not share pages.
RaceChecker::Region* RaceChecker::region_of_page(const void* address) {
  const std::uintptr_t page = reinterpret_cast<std::uintptr_t>(address) / kPage;
  CachedPage& cached = pages_[page % kCachedPages];
  if (cached.page != page) cached = {page, find_region(address)};
  return cached.region;
}

// The region that overlaps the page of `address`.
RaceChecker::Region* RaceChecker::find_region(const void* address) {
  const auto page = reinterpret_cast<std::uintptr_t>(address) / kPage * kPage;
  const auto after = regions_.lower_bound(reinterpret_cast<const char*>(page + kPage));
  if (after == regions_.begin()) return nullptr;
  Region& region = std::prev(after)->second;
  return region.begin + region.bytes > reinterpret_cast<const char*>(page) ? &region : nullptr;
}

void RaceChecker::allocated(const void* memory, std::size_t bytes, bool of_device) {
  add_region(memory, bytes, false, of_device && config().check_initialized);
}
void RaceChecker::freed(const void* memory) { remove_region(memory); }

// As a write before the first launch, with which nothing can race.
void RaceChecker::host_wrote(const void* memory, std::size_t bytes) {
  Region* region = region_of(memory);
  if (!region || !region->check_initialized) return;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(memory) - region->begin);
  for (std::size_t i = offset; i < std::min(offset + bytes, region->bytes); ++i)
    if (region->history[i].write.tick == 0) region->history[i].write.tick = 1;
}

// Padding: small gaps, many of them or in something small.
AccessObserver::Bytes RaceChecker::unwritten(const void* memory, std::size_t bytes) {
  constexpr std::size_t kMaxPadding = 15, kMaxStructure = 256, kMaxGaps = 2;
  const Region* region = region_of(memory);
  if (!region || !region->check_initialized) return {};
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(memory) - region->begin);
  const std::size_t count = std::min(bytes, region->bytes - offset);
  Bytes longest;
  std::size_t gaps = 0;
  for (std::size_t i = 0; i < count;) {
    std::size_t end = i;
    while (end < count && region->history[offset + end].write.tick == 0) ++end;
    if (end > i) ++gaps;
    if (end - i > longest.count) longest = {i, end - i};
    i = std::max(end, i + 1);
  }
  const bool may_be_padding =
      longest.count <= kMaxPadding && longest.count < count && (gaps > kMaxGaps || count < kMaxStructure);
  return may_be_padding ? Bytes{} : longest;
}

// ---- time ----

void RaceChecker::launch_begins() {
  launch_tick_ = ++tick_;
  releases_.clear();
  reported_.clear();
  findings_.clear();
}

void RaceChecker::block_begins(BlockRunner& runner) {
  report_reads_of_atomics();
  block_tick_ = ++tick_;
  threads_ = &runner.threads();
  clocks_.assign(threads_->size(), {});
  fenced_.assign(threads_->size(), 0);
  fenced_since_barrier_ = false;
  fenced_before_barrier_ = nullptr;
  seen_.clear();
  known_.clear();
  for (const void* address : released_in_shared_) releases_.erase(address);
  released_in_shared_.clear();
  const SharedMemory& shared = runner.shared();
  if (static_shared_ != shared.static_memory()) {
    static_shared_ = shared.static_memory();
    add_region(static_shared_, SharedMemory::kStaticCapacity, true);
  }
  if (dynamic_shared_ != shared.dynamic() || dynamic_shared_bytes_ != shared.dynamic_bytes()) {
    remove_region(dynamic_shared_);
    dynamic_shared_ = shared.dynamic();
    dynamic_shared_bytes_ = shared.dynamic_bytes();
    if (dynamic_shared_bytes_ > 0) add_region(dynamic_shared_, dynamic_shared_bytes_, true);
  }
}

void RaceChecker::block_barrier() {
  ++tick_;
  merge(seen_);
  merge(known_);
  if (!fenced_since_barrier_) return;
  fenced_before_barrier_ = std::make_shared<const std::vector<std::uint32_t>>(fenced_);
  fenced_since_barrier_ = false;
}

// The checker does not know which threads: it takes all earlier accesses of the block as ordered before all later ones.
void RaceChecker::some_threads_met() { block_barrier(); }

// After it each lane knows what any of them knew, and what each of them did.
void RaceChecker::warp_barrier(unsigned warp, std::uint32_t lanes) {
  ThreadClock* clocks = &clocks_[warp * kWarpSize];
  LaneClocks known{};
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
    ThreadClock& clock = clocks[std::countr_zero(left)];
    ++clock.now;
    for (unsigned lane = 0; lane < kWarpSize; ++lane) known[lane] = std::max(known[lane], clock.known[lane]);
  }
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
    const int lane = std::countr_zero(left);
    known[static_cast<std::size_t>(lane)] = clocks[lane].now;
  }
  for (std::uint32_t left = lanes; left != 0; left &= left - 1) clocks[std::countr_zero(left)].known = known;
  share(seen_, warp, lanes);
  share(known_, warp, lanes);
}

void RaceChecker::fence(const Thread& thread) {
  ThreadClock& clock = clocks_[thread.rank];
  fenced_[thread.rank] = ++clock.now;
  clock.fence_tick = tick_;
  clock.fence_known = clock.known;
  fenced_since_barrier_ = true;
  for (const Knowledge& seen : seen_)
    if (seen.reaches(thread.rank, tick_)) learn(known_, {thread.rank, tick_, seen.releases, seen.count});
}

// An atomic: releases what was fenced, and may learn what others released.
void RaceChecker::synchronize(const Thread& thread, const void* address, AccessKind kind, bool shared) {
  if (const auto found = releases_.find(address); reads(kind) && found != releases_.end())
    learn(seen_, {thread.rank, tick_, &found->second, found->second.size()});
  if (!writes(kind)) return;
  const LaneClocks clocks = released_clocks(thread);
  const std::uint32_t fence_tick = clocks_[thread.rank].fence_tick;
  const bool anything = fence_tick != 0 || fenced_before_barrier_ || clocks != LaneClocks{};
  if (!anything) return;
  const auto [entry, is_new] = releases_.try_emplace(address);
  entry->second.push_back({block_tick_, fence_tick, thread.warp, clocks, fenced_before_barrier_});
  if (is_new && shared) released_in_shared_.push_back(address);
}

// What preceded the thread's own last fence, and what other lanes fenced before their last __syncwarp with it.
RaceChecker::LaneClocks RaceChecker::released_clocks(const Thread& thread) const {
  const ThreadClock& clock = clocks_[thread.rank];
  LaneClocks clocks = clock.fence_known;
  const std::size_t first = thread.warp * kWarpSize;
  for (std::size_t lane = 0; lane < kWarpSize && first + lane < fenced_.size(); ++lane) {
    const std::uint32_t fenced = fenced_[first + lane];
    if (lane == thread.lane || fenced <= clock.known[lane]) clocks[lane] = std::max(clocks[lane], fenced);
  }
  return clocks;
}

void RaceChecker::learn(std::vector<Knowledge>& list, const Knowledge& knowledge) {
  for (Knowledge& old : list) {
    if (old.thread != knowledge.thread || old.releases != knowledge.releases) continue;
    if (old.count >= knowledge.count) return;
    if (old.tick != knowledge.tick) continue;  // what its whole block knows
    old.count = knowledge.count;
    return;
  }
  list.push_back(knowledge);
}

// After a barrier of the block all its threads know the same: one entry per address is enough.
void RaceChecker::merge(std::vector<Knowledge>& list) {
  std::size_t kept = 0;
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto end = list.begin() + static_cast<std::ptrdiff_t>(kept);
    const auto same =
        std::find_if(list.begin(), end, [&](const Knowledge& other) { return other.releases == list[i].releases; });
    if (same == end)
      list[kept++] = list[i];
    else
      same->count = std::max(same->count, list[i].count);
  }
  list.resize(kept);
}

// All of the lanes learn what one of them knows.
void RaceChecker::share(std::vector<Knowledge>& list, unsigned warp, std::uint32_t lanes) {
  const std::size_t count = list.size();
  for (std::size_t i = 0; i < count; ++i) {
    Knowledge knowledge = list[i];
    if (knowledge.thread / kWarpSize != warp || !(lanes & lane_bit(knowledge.thread % kWarpSize))) continue;
    for (std::uint32_t left = lanes; left != 0; left &= left - 1) {
      knowledge.thread = warp * kWarpSize + static_cast<unsigned>(std::countr_zero(left));
      learn(list, knowledge);
    }
  }
}

bool RaceChecker::known_from_other_block(const Access& earlier, unsigned thread) const {
  const auto began_after = [](std::uint32_t tick, const Release& release) { return tick < release.first_tick; };
  for (const Knowledge& known : known_) {
    if (!known.reaches(thread, tick_)) continue;
    // The last release of that block. The releases are in block order, since blocks run one after another.
    const auto begin = known.releases->begin();
    const auto end = begin + static_cast<std::ptrdiff_t>(known.count);
    const auto after = std::upper_bound(begin, end, earlier.tick, began_after);
    if (after == begin) continue;
    const Release& release = *std::prev(after);
    if (earlier.tick < release.before_tick) return true;
    const bool same_warp = earlier.thread / kWarpSize == release.warp;
    if (same_warp && earlier.clock < release.before_clocks[earlier.thread % kWarpSize]) return true;
    if (release.fenced && earlier.clock < (*release.fenced)[earlier.thread]) return true;
  }
  return false;
}

// As by a lock that the threads take in turn: both accesses are in the same part of the block between two barriers.
bool RaceChecker::known_from_same_block(const Access& earlier, unsigned thread) const {
  for (const Knowledge& known : known_) {
    if (!known.reaches(thread, tick_)) continue;
    for (std::size_t i = known.count; i > 0; --i) {  // the last ones are of this block
      const Release& release = (*known.releases)[i - 1];
      if (release.first_tick != block_tick_) break;
      const bool same_warp = earlier.thread / kWarpSize == release.warp;
      if (same_warp && earlier.clock < release.before_clocks[earlier.thread % kWarpSize]) return true;
    }
  }
  return false;
}

// Whether synchronization orders `earlier` before `now`, an access of the running block.
bool RaceChecker::in_order(const Access& earlier, const Access& now, const Region& region) const {
  if (earlier.tick < launch_tick_) return true;  // also if there was no earlier access
  if (earlier.atomic && now.atomic) return true;
  if (earlier.tick < block_tick_)  // of another block, whose shared memory this block cannot access
    return region.shared || known_from_other_block(earlier, static_cast<unsigned>(now.thread));
  if (earlier.tick < tick_ || earlier.thread == now.thread) return true;
  const bool same_warp = earlier.thread / kWarpSize == now.thread / kWarpSize;
  if (same_warp && earlier.clock < clocks_[now.thread].known[earlier.thread % kWarpSize]) return true;
  return known_from_same_block(earlier, static_cast<unsigned>(now.thread));
}

// ---- accesses ----

void RaceChecker::access(const Thread& thread, const void* address, std::size_t bytes, AccessKind kind,
                         const void* code) {
  if (!reads_of_atomics_.empty() && reads_of_atomics_.front().read.thread != thread.rank) report_reads_of_atomics();
  Region* region = region_of(address);
  if (!region) {
    if (region_of_page(address)) report_overrun(thread, address, kind, code);
    if (is_atomic(kind)) synchronize(thread, address, kind, false);
    return;
  }
  Access now;
  now.code = reinterpret_cast<std::uintptr_t>(code);
  now.thread = thread.rank;
  now.atomic = is_atomic(kind);
  now.tick = tick_;
  now.clock = clocks_[thread.rank].now;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(address) - region->begin);
  const std::size_t end = std::min(offset + bytes, region->bytes);
  for (std::size_t i = offset; i < end; ++i) check_byte(region->history[i], region->begin + i, now, kind, *region);
  if (!is_atomic(kind)) return;
  if (kind == AccessKind::kCompareAndSwap && !reads_of_atomics_.empty()) forgive_reads_of_atomics(address, bytes);
  synchronize(thread, address, kind, region->shared);
}

void RaceChecker::check_byte(Byte& byte, const char* address, const Access& access, AccessKind kind,
                             const Region& region) {
  const char* does = writes(kind) ? "writes" : "reads";
  if (!in_order(byte.write, access, region)) {
    if (kind == AccessKind::kRead && byte.write.atomic)
      reads_of_atomics_.push_back(
          {address, access, byte.write, emulated::blockIdx, region.shared, byte.write.tick < block_tick_});
    else
      report_race(access, does, byte.write, "wrote", region.shared);
  }
  const bool unwritten = region.shared ? byte.write.tick < block_tick_ || byte.write.landing
                                       : region.check_initialized && byte.write.tick == 0;
  if (unwritten && reads(kind)) report_unwritten(access, byte.write, region);
  if (!writes(kind)) {
    remember_read(byte, access);
    return;
  }
  for (Access& read : byte.reads) {
    if (!in_order(read, access, region)) report_race(access, does, read, "read", region.shared);
    read = {};
  }
  byte.write = access;
}

// How well `read` completes `last`, a read of now, as the second one that is remembered.
int RaceChecker::use_of_read(const Access& read, const Access& last) const {
  if (read.tick < launch_tick_) return 0;  // also if there was none
  if (read.tick < block_tick_) return 3;
  if (read.tick != last.tick || read.thread == last.thread) return 0;
  return read.thread / kWarpSize != last.thread / kWarpSize ? 2 : 1;
}

void RaceChecker::remember_read(Byte& byte, const Access& access) const {
  Access &first = byte.reads[0], &second = byte.reads[1];
  if (use_of_read(first, access) >= use_of_read(second, access)) second = first;
  first = access;
}

void RaceChecker::forgive_reads_of_atomics(const void* address, std::size_t bytes) {
  const auto* first = static_cast<const char*>(address);
  std::erase_if(reads_of_atomics_,
                [&](const ReadOfAtomic& read) { return read.address >= first && read.address < first + bytes; });
}

void RaceChecker::report_reads_of_atomics() {
  for (const ReadOfAtomic& read : reads_of_atomics_)
    add_race(read.read, "reads", read.earlier, "changed atomically", read.shared, read.block,
             read.earlier_of_other_block);
  reads_of_atomics_.clear();
}

void RaceChecker::read(const Thread& thread, const void* address, std::size_t bytes, const void* code) {
  access(thread, address, bytes, AccessKind::kRead, code);
}

void RaceChecker::copy_begins(const Thread& thread, void* address, std::size_t bytes, const void* code) {
  access(thread, address, bytes, AccessKind::kWrite, code);
  Region* region = region_of(address);
  if (!region) return;
  const auto offset = static_cast<std::size_t>(static_cast<const char*>(address) - region->begin);
  for (std::size_t i = offset; i < std::min(offset + bytes, region->bytes); ++i) region->history[i].write.landing = 1;
}

void RaceChecker::copy_lands(const Thread& thread, void* address, std::size_t bytes, const void* code) {
  access(thread, address, bytes, AccessKind::kWrite, code);
}

// ---- findings ----

// Each pair of instructions is reported once.
bool RaceChecker::is_news(std::uint64_t code, std::uint64_t other_code) {
  return reported_.emplace(code, other_code).second && findings_.size() < kMaxFindings;
}

void RaceChecker::report_race(const Access& access, const char* does, const Access& earlier, const char* did,
                              bool shared) {
  add_race(access, does, earlier, did, shared, emulated::blockIdx, earlier.tick < block_tick_);
}

void RaceChecker::add_race(const Access& access, const char* does, const Access& earlier, const char* did, bool shared,
                           const emulated::uint3& block, bool of_other_block) {
  if (!is_news(access.code, earlier.code)) return;
  findings_.push_back(
      {fmt::format("race in {} memory: block ({},{},{}), {}", shared ? "shared" : "global", block.x, block.y, block.z,
                   name_of(access.thread)),
       access.code,
       fmt::format("{} what {}{} {}", does, name_of(earlier.thread), of_other_block ? " of another block" : "", did),
       earlier.code, ", and nothing orders the two"});
}

void RaceChecker::report_overrun(const Thread& thread, const void* address, AccessKind kind, const void* code) {
  const auto from = reinterpret_cast<std::uintptr_t>(code);
  constexpr std::uint64_t kOverrun = 1;  // no instruction
  if (!is_news(from, kOverrun)) return;
  std::string where = running_block->shared().describe_overrun(address);
  if (where.empty()) where = DeviceMemory::instance().describe_overrun(address);
  findings_.push_back(
      {name_of(thread.rank), from, fmt::format("{} {}", writes(kind) ? "writes" : "reads", where), 0, ""});
}

void RaceChecker::report_unwritten(const Access& access, const Access& write, const Region& region) {
  const bool landing = region.shared && write.tick >= block_tick_;
  if (!is_news(access.code, landing ? write.code : 0)) return;
  const std::string who = name_of(access.thread);
  if (landing)
    findings_.push_back({who, access.code,
                         fmt::format("reads where an asynchronous copy, begun by {}", name_of(write.thread)),
                         write.code, ", may not have arrived: nothing waited for it"});
  else
    findings_.push_back({who, access.code,
                         region.shared ? "reads shared memory that its block has not written"
                                       : "reads device memory that nothing has written",
                         0, ""});
}

std::string RaceChecker::name_of(std::uint64_t rank) const {
  if (rank >= threads_->size()) return fmt::format("thread {}", rank);  // of an earlier launch with larger blocks
  const emulated::uint3& index = (*threads_)[rank].index;
  return fmt::format("thread ({},{},{})", index.x, index.y, index.z);
}

// One source line can compile to many instructions, and race with several others: a line is reported once.
void RaceChecker::launch_ends() {
  report_reads_of_atomics();
  if (findings_.empty()) return;
  std::set<std::vector<std::string>> told;
  std::string message;
  std::size_t sentences = 0;
  for (const Finding& finding : findings_) {
    const std::string place = place_of(finding.code);
    const std::string other_place = finding.other_code != 0 ? " at " + place_of(finding.other_code) : "";
    if (sentences == kMaxSentences || told.contains({other_place, " at " + place, finding.why}) ||
        !told.insert({place, finding.why}).second)
      continue;
    told.insert({" at " + place, other_place, finding.why});
    message += fmt::format("{}{} at {} {}{}{}", message.empty() ? "" : "\n", finding.who, place, finding.whom,
                           other_place, finding.why);
    ++sentences;
  }
  throw Error(message);
}

}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/wgmma.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_view.h"
#include "gradamp/kernels/emulation/tensor_map.h"

namespace gradamp::emulation {
namespace {

constexpr int kWarpRows = 16, kRows = 64, kDepth = 16, kMaxN = 256;
constexpr std::uint32_t kChunk = 16;                       // bytes
constexpr std::uint32_t kRowElements = kSwizzleBytes / 2;  // of a row of 128 bytes

unsigned warpgroup_of(unsigned warp) { return warp / kWarpgroupWarps * kWarpgroupWarps; }

SharedView& view() { return running_block->async_proxy().view(); }

template <typename Describe>
[[noreturn]] void fail_wgmma(const SourceLocation& location, const Describe& describe) {
  fail_thread([&] { return fmt::format("wgmma at {}: {}", to_string(location), describe()); });
}

// The 8 values of bf16 in a chunk.
void decode(const char* chunk, float* values) {
  std::uint16_t halves[8];
  std::uint32_t words[8];
  std::memcpy(halves, chunk, sizeof halves);
  for (int i = 0; i < 8; ++i) words[i] = std::uint32_t{halves[i]} << 16;
  std::memcpy(values, words, sizeof words);
}

using Floats4 = float __attribute__((vector_size(16)));

// sums (4 x 8, in rows of n) += a (4 x 16) b (16 x 8), where a has columns of 16 and b rows of n. The sums stay in
// registers.
void multiply_tile(const float* a, const float* b, int n, float* sums) {
  Floats4 tile[4][2];
#pragma GCC unroll 4
  for (int row = 0; row < 4; ++row) std::memcpy(tile[row], sums + row * n, sizeof tile[row]);
#pragma GCC unroll 1
  for (int k = 0; k < kDepth; ++k) {
    Floats4 left, right;
    std::memcpy(&left, b + k * n, sizeof left);
    std::memcpy(&right, b + k * n + 4, sizeof right);
#pragma GCC unroll 4
    for (int row = 0; row < 4; ++row) {
      tile[row][0] += a[k * kWarpRows + row] * left;
      tile[row][1] += a[k * kWarpRows + row] * right;
    }
  }
#pragma GCC unroll 4
  for (int row = 0; row < 4; ++row) std::memcpy(sums + row * n, tile[row], sizeof tile[row]);
}

// Calls visit(row, column, element) for the elements of a lane's d: its index there, and its place in the warp's 16
// rows.
template <typename Visit>
void for_each_element(int lane, int n, const Visit& visit) {
  for (int e = 0; e < n / 2; ++e) visit(lane / 4 + e / 2 % 2 * 8, e / 4 * 8 + lane % 4 * 2 + e % 2, e);
}

}  // namespace

// ---- operands ----

// PTX: "Matrix Descriptor Format". Addresses and offsets are in units of 16 bytes.
WgmmaOperand::WgmmaOperand(std::uint64_t descriptor, bool mn_major, int rows)
    : start_(static_cast<std::uint32_t>(descriptor & 0x3FFF) << 4),
      leading_(static_cast<std::uint32_t>(descriptor >> 16 & 0x3FFF) << 4),
      stride_(static_cast<std::uint32_t>(descriptor >> 32 & 0x3FFF) << 4),
      mn_major_(mn_major),
      rows_(rows),
      begin_(~0u) {
  for_each_chunk(0, rows, [&](std::uint32_t address, int, int) {
    begin_ = std::min(begin_, address);
    end_ = std::max(end_, address + kChunk);
  });
}

const char* WgmmaOperand::problem(std::uint64_t descriptor) {
  if (descriptor >> 62 != 1) return "its swizzle is not one of 128 bytes, the only one that the emulator has";
  if ((descriptor >> 49 & 7) != 0) return "it has a base offset, which the emulator does not have";
  return nullptr;
}

// PTX: "Shared Memory Matrix Layout". K-major: a row of 128 bytes has 64 depths of one m (or n), and 8 rows are
// `stride_` bytes. MN-major: a row has 64 m (or n) of one depth, 8 rows are `stride_` bytes, and the next 64 m (or n)
// are `leading_` bytes after.
inline std::uint32_t WgmmaOperand::address(int mn, int k) const {
  const auto m = static_cast<std::uint32_t>(mn), d = static_cast<std::uint32_t>(k);
  const std::uint32_t offset =
      mn_major_ ? m / kRowElements * leading_ + d / 8 * stride_ + d % 8 * kSwizzleBytes + m % kRowElements * 2
                : m / 8 * stride_ + m % 8 * kSwizzleBytes + d * 2;
  return swizzled(start_ + offset);
}

template <typename Visit>
void WgmmaOperand::for_each_chunk(int first, int rows, const Visit& visit) const {
  const int step_mn = mn_major_ ? 8 : 1, step_k = mn_major_ ? 1 : 8;
  for (int mn = first; mn < first + rows; mn += step_mn)
    for (int k = 0; k < kDepth; k += step_k) visit(address(mn, k), mn, k);
}

bool WgmmaOperand::overlaps(std::uint32_t begin, std::uint32_t end) const {
  if (end <= begin_ || end_ <= begin) return false;
  bool found = false;
  for_each_chunk(
      0, rows_, [&](std::uint32_t address, int, int) { found = found || (address < end && begin < address + kChunk); });
  return found;
}

// ---- issue ----

void WgmmaProducts::begin_block(std::size_t warps) {
  if (!used_ && warps_.size() == warps) return;  // most kernels have no wgmma
  warps_.clear();
  warps_.resize(warps);
  used_ = false;
}

void WgmmaProducts::fence(unsigned warp) {
  used_ = true;
  warps_[warp].fenced = true;
}

void WgmmaProducts::check_operand(const WgmmaOperand& operand, char name, const SourceLocation& location) const {
  if (!view().contains(operand.begin(), operand.end()))
    fail_wgmma(location, [&] {
      return fmt::format("operand {} is at {:#x} to {:#x} of shared memory; the dynamic part is {:#x} to {:#x}", name,
                         operand.begin(), operand.end(), view().begin(), view().end());
    });
  for (const TensorLoad& load : running_block->async_proxy().loads().pending())
    if (operand.overlaps(load.begin, load.begin + load.bytes))
      fail_wgmma(location, [&] {
        return fmt::format("the tensor load at {} to operand {} has not arrived", to_string(load.location), name);
      });
}

// The four warps issue one instruction: what another warp has issued for it, null if this warp is the first.
const WgmmaProducts::Product* WgmmaProducts::same_of_warpgroup(unsigned warp, const Wgmma& lane,
                                                               const SourceLocation& location) const {
  const std::size_t number = warps_[warp].issued;
  for (unsigned i = warpgroup_of(warp); i < warpgroup_of(warp) + kWarpgroupWarps && i < warps_.size(); ++i) {
    if (i == warp || warps_[i].issued <= number) continue;
    const Product& product = warps_[i].pending[number - warps_[i].finished];
    const Wgmma& other = product.lane;
    if (other.a != lane.a || other.b != lane.b || other.n != lane.n || other.accumulate != lane.accumulate ||
        other.a_mn_major != lane.a_mn_major || other.b_mn_major != lane.b_mn_major)
      fail_wgmma(location, [&] {
        return fmt::format("another warp of the warpgroup issued one with other operands at {}",
                           to_string(product.location));
      });
    return &product;
  }
  return nullptr;
}

// The lanes' d become part of a pending product: the index of the warp's Accumulators.
std::size_t WgmmaProducts::take_accumulators(Warp& warp, const Wgmma* const* lanes, const SourceLocation& location) {
  const int n = lanes[0]->n;
  auto sums = std::find_if(warp.accumulators.begin(), warp.accumulators.end(),
                           [&](const Accumulators& other) { return other.key == lanes[0]->d; });
  if (sums == warp.accumulators.end()) {
    warp.accumulators.push_back({lanes[0]->d, {}});
    sums = std::prev(warp.accumulators.end());
  }
  const std::size_t count = static_cast<std::size_t>(kWarpRows * n);
  if (sums->pending > 0 && sums->rows.size() != count)
    fail_wgmma(location, [] { return "a pending one with another n has the same accumulators"; });
  if (sums->pending++ > 0) return static_cast<std::size_t>(sums - warp.accumulators.begin());
  gathered_.resize(count);
  for (int lane = 0; lane < 32; ++lane) {
    float* d = lanes[lane]->d;
    for_each_element(lane, n, [&](int row, int column, int e) { gathered_[row * n + column] = d[e]; });
    std::memset(d, 0xFF, static_cast<std::size_t>(n / 2) * sizeof(float));
  }
  const bool changed =
      sums->rows.size() != count || std::memcmp(sums->rows.data(), gathered_.data(), count * sizeof(float)) != 0;
  if (changed && !warp.fenced)
    fail_wgmma(location,
               [] { return "other instructions wrote to the accumulators, and there was no wgmma.fence after that"; });
  std::swap(sums->rows, gathered_);
  return static_cast<std::size_t>(sums - warp.accumulators.begin());
}

void WgmmaProducts::issue(unsigned warp_index, const Wgmma* const* lanes, const SourceLocation& location,
                          const void* code) {
  Warp& warp = warps_[warp_index];
  const Wgmma& first = *lanes[0];
  if (first.n % 8 != 0 || first.n < 8 || first.n > kMaxN)
    fail_wgmma(location, [&] { return fmt::format("n is {}, expected a multiple of 8 up to {}", first.n, kMaxN); });
  for (int lane = 1; lane < 32; ++lane)
    if (lanes[lane]->a != first.a || lanes[lane]->b != first.b || lanes[lane]->accumulate != first.accumulate)
      fail_wgmma(location, [&] { return fmt::format("lanes 0 and {} have different operands", lane); });
  for (const std::uint64_t descriptor : {first.a, first.b})
    if (const char* problem = WgmmaOperand::problem(descriptor))
      fail_wgmma(location, [&] { return fmt::format("the descriptor {:#x}: {}", descriptor, problem); });
  const Product* same = same_of_warpgroup(warp_index, first, location);
  Product product{.d = {},
                  .lane = first,
                  .group = warp.group,
                  .accumulators = 0,
                  .a = same ? same->a : WgmmaOperand(first.a, first.a_mn_major, kRows),
                  .b = same ? same->b : WgmmaOperand(first.b, first.b_mn_major, first.n),
                  .location = location,
                  .code = code};
  check_operand(product.a, 'a', location);
  check_operand(product.b, 'b', location);
  view().use();
  used_ = true;
  product.accumulators = take_accumulators(warp, lanes, location);
  for (int lane = 0; lane < 32; ++lane) product.d[lane] = lanes[lane]->d;
  warp.pending.push_back(product);
  ++warp.issued;
  for (unsigned i = warpgroup_of(warp_index); i < warpgroup_of(warp_index) + kWarpgroupWarps && i < warps_.size();
       ++i) {
    for (const unsigned rank : warps_[i].waiters) running_block->unpark(rank);
    warps_[i].waiters.clear();
  }
}

// ---- completion ----

void WgmmaProducts::commit(unsigned warp) {
  used_ = true;
  warps_[warp].issued_before.push_back(warps_[warp].issued);
  ++warps_[warp].group;
}

bool WgmmaProducts::issued_by_all(unsigned warp_index, int groups) const {
  const Warp& warp = warps_[warp_index];
  const std::size_t closed = warp.issued_before.size();
  if (closed <= static_cast<std::size_t>(groups)) return true;
  const std::size_t needed = warp.issued_before[closed - 1 - static_cast<std::size_t>(groups)];
  for (unsigned i = warpgroup_of(warp_index); i < warpgroup_of(warp_index) + kWarpgroupWarps; ++i)
    if (i >= warps_.size() || warps_[i].issued < needed) return false;
  return true;
}

void WgmmaProducts::wait_for_others(unsigned warp, const SourceLocation& location) {
  warps_[warp].waiters.push_back(running_thread->rank);
  running_block->park("wgmma.wait_group, for the other warps of the warpgroup,", location);
}

void WgmmaProducts::finish(unsigned warp_index, int groups) {
  Warp& warp = warps_[warp_index];
  auto product = warp.pending.begin();
  for (; product != warp.pending.end() && product->group + static_cast<unsigned>(groups) < warp.group; ++product) {
    Accumulators& sums = warp.accumulators[product->accumulators];
    multiply(warp_index, *product, sums.rows.data());
    ++warp.finished;
    if (--sums.pending > 0) continue;
    const int n = product->lane.n;
    for (int lane = 0; lane < 32; ++lane)
      for_each_element(lane, n, [&](int row, int column, int e) { product->d[lane][e] = sums.rows[row * n + column]; });
  }
  warp.pending.erase(warp.pending.begin(), product);
  warp.fenced = false;
}

// values[k][mn - first]
void WgmmaProducts::read(unsigned warp, const Product& product, const WgmmaOperand& operand, int first, int rows,
                         float* values) const {
  const SharedView& shared = view();
  operand.for_each_chunk(first, rows, [&](std::uint32_t address, int mn, int k) {
    if (!shared.agrees(address))
      fail_wgmma(product.location, [&] {
        return fmt::format(
            "ordinary stores wrote to an operand, at {:#x} of shared memory: before it without a "
            "fence.proxy.async, or before the wgmma.wait_group",
            address);
      });
    if (access_observer)
      access_observer->read(running_block->threads()[warp * kWarpSize], shared.memory(address), kChunk, product.code);
    float* to = values + k * rows + (mn - first);
    if (operand.is_mn_major()) return decode(shared.seen(address), to);
    float depths[8];
    decode(shared.seen(address), depths);
    for (int e = 0; e < 8; ++e) to[e * rows] = depths[e];
  });
}

void WgmmaProducts::multiply(unsigned warp, const Product& product, float* rows) {
  const int n = product.lane.n;
  float a[kDepth * kWarpRows], b[kDepth * kMaxN];
  read(warp, product, product.a, static_cast<int>(warp % kWarpgroupWarps) * kWarpRows, kWarpRows, a);
  read(warp, product, product.b, 0, n, b);
  if (!product.lane.accumulate) std::fill_n(rows, kWarpRows * n, 0.0f);
  for (int column = 0; column < n; column += 8)
    for (int row = 0; row < kWarpRows; row += 4) multiply_tile(a + row, b + column, n, rows + row * n + column);
}

const SourceLocation* WgmmaProducts::reader_of(std::uint32_t begin, std::uint32_t end) const {
  for (const Warp& warp : warps_)
    for (const Product& product : warp.pending)
      if (product.a.overlaps(begin, end) || product.b.overlaps(begin, end)) return &product.location;
  return nullptr;
}

std::string WgmmaProducts::leftover() const {
  for (const Warp& warp : warps_)
    if (!warp.pending.empty())
      return fmt::format("the wgmma at {} was pending when the block ended: no wgmma.wait_group waited for it",
                         to_string(warp.pending[0].location));
  return "";
}

// ---- for the running thread ----

namespace {

WgmmaProducts& products() { return running_block->async_proxy().products(); }

struct IssueWgmma {
  static constexpr const char* kName = "wgmma";
  static constexpr bool kAligned = true;

  Wgmma lane;
  SourceLocation location;
  const void* code;

  static void run(IssueWgmma* const* lanes, std::uint32_t) {
    const Wgmma* all[32];
    for (int i = 0; i < 32; ++i) all[i] = &lanes[i]->lane;
    products().issue(running_thread->warp, all, lanes[0]->location, lanes[0]->code);
  }
};

struct FenceWgmma {
  static constexpr const char* kName = "wgmma.fence";
  static constexpr bool kAligned = true;

  static void run(FenceWgmma* const*, std::uint32_t) { products().fence(running_thread->warp); }
};

struct CommitWgmma {
  static constexpr const char* kName = "wgmma.commit_group";
  static constexpr bool kAligned = true;

  static void run(CommitWgmma* const*, std::uint32_t) { products().commit(running_thread->warp); }
};

struct WaitWgmma {
  static constexpr const char* kName = "wgmma.wait_group";
  static constexpr bool kAligned = true;

  int groups;

  static void run(WaitWgmma* const* lanes, std::uint32_t) { products().finish(running_thread->warp, lanes[0]->groups); }
};

template <typename P>
void join_whole_warp(P payload, const SourceLocation& location) {
  join_warp_operation(~std::uint32_t{0}, payload, location);
}

}  // namespace

void wgmma_fence(const SourceLocation& location) { join_whole_warp(FenceWgmma{}, location); }
void wgmma(const Wgmma& lane, const SourceLocation& location) {
  join_whole_warp(IssueWgmma{lane, location, __builtin_return_address(0)}, location);
}
void wgmma_commit(const SourceLocation& location) { join_whole_warp(CommitWgmma{}, location); }
void wgmma_wait(int groups, const SourceLocation& location) {
  while (!products().issued_by_all(running_thread->warp, groups))
    products().wait_for_others(running_thread->warp, location);
  join_whole_warp(WaitWgmma{groups}, location);
}

}  // namespace gradamp::emulation

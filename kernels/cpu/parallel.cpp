// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {
namespace {

constexpr std::int64_t kPiecesPerShare = 8;

}  // namespace

SharedRanges::SharedRanges(std::int64_t count, int threads)
    : shares_(std::clamp(threads, 1, kMaxShares)),
      piece_(std::max<std::int64_t>(1, count / (kPiecesPerShare * std::max(threads, 1)))) {
  for (int i = 0; i < shares_; ++i) {
    Share& share = share_[static_cast<std::size_t>(i)];
    share.next.store(count * i / shares_, std::memory_order_relaxed);
    share.end = count * (i + 1) / shares_;
  }
}

SharedRanges::Cursor SharedRanges::cursor(int thread) const { return {thread % shares_, 0}; }

SharedRanges::Range SharedRanges::take(Cursor& cursor) {
  for (; cursor.empty < shares_; ++cursor.empty, cursor.share = (cursor.share + 1) % shares_) {
    Share& share = share_[static_cast<std::size_t>(cursor.share)];
    const std::int64_t begin = share.next.fetch_add(piece_, std::memory_order_relaxed);
    if (begin < share.end) return {begin, std::min(begin + piece_, share.end)};
  }
  return {};
}

void SharedRanges::stop() {
  for (int i = 0; i < shares_; ++i) {
    Share& share = share_[static_cast<std::size_t>(i)];
    share.next.store(share.end, std::memory_order_relaxed);
  }
}

int team_size(int threads, std::int64_t count) { return static_cast<int>(std::min<std::int64_t>(threads, count)); }

}  // namespace gradamp

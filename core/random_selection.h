// SPDX-License-Identifier: MIT
// Random selection ([GA]): a function of (candidates, count, seed, epoch) alone, on every device.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>

#include "gradamp/core/philox.h"

namespace gradamp {

/// `fraction` of `candidates`, rounded; at least 1 if there are candidates.
inline int drawn_count(int candidates, double fraction) {
  return std::clamp(static_cast<int>(std::lround(fraction * candidates)), std::min(1, candidates), candidates);
}

/// Draws `count` of 0 ... candidates - 1 without replacement: they are indices[0] ... indices[count - 1], the front of
/// a Fisher-Yates shuffle. `indices` has room for `candidates`. Philox, stream kSelection, substream epoch.
GRADAMP_HOST_DEVICE inline void draw_indices(std::int32_t* indices, int candidates, int count, std::uint64_t seed,
                                             int epoch) {
  for (int i = 0; i < candidates; ++i) indices[i] = i;
  for (int i = 0; i < count; ++i) {
    const PhiloxBlock block =
        philox(seed, RandomStream::kSelection, static_cast<std::uint32_t>(epoch), static_cast<std::uint64_t>(i / 4));
    const int other =
        i + static_cast<int>(uniform_below(block.word[i % 4], static_cast<std::uint32_t>(candidates - i)));
    const std::int32_t drawn = indices[other];
    indices[other] = indices[i];
    indices[i] = drawn;
  }
}

}  // namespace gradamp

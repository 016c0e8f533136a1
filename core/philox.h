// SPDX-License-Identifier: MIT
// Philox4x32-10, a counter-based random number generator: the n-th number is a function of (seed, stream, n) alone,
// so every device draws the same numbers in any order, and a resumed run draws the same numbers as an uninterrupted
// one. J. K. Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011.
#pragma once

#include <cstdint>

#include "gradamp/core/host_device.h"

namespace gradamp {

/// The purpose of a random number. Streams never overlap, whatever their indices.
enum class RandomStream : std::uint32_t {
  kInitialWeights = 1,    // substream: the parameter's position in the network
  kOrder = 2,             // substream: epoch
  kAugmentation = 3,      // substream: epoch; index: position in the epoch
  kDropout = 4,           // substream: another number for each dropout
  kSelection = 5,         // substream: epoch
  kSyntheticDataset = 6,  // substream: the image
  kCutout = 7,            // substream: epoch; index: position in the epoch
  kTest = 100,
};

struct PhiloxBlock {
  std::uint32_t word[4];
};

/// The block of four independent 32-bit words at (seed, stream, substream, index).
GRADAMP_HOST_DEVICE inline PhiloxBlock philox(std::uint64_t seed, RandomStream stream, std::uint32_t substream,
                                              std::uint64_t index) {
  std::uint32_t c0 = static_cast<std::uint32_t>(index), c1 = static_cast<std::uint32_t>(index >> 32);
  std::uint32_t c2 = static_cast<std::uint32_t>(stream), c3 = substream;
  std::uint32_t k0 = static_cast<std::uint32_t>(seed), k1 = static_cast<std::uint32_t>(seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53u} * c0;
    const std::uint64_t p1 = std::uint64_t{0xCD9E8D57u} * c2;
    const std::uint32_t n0 = static_cast<std::uint32_t>(p1 >> 32) ^ c1 ^ k0;
    const std::uint32_t n2 = static_cast<std::uint32_t>(p0 >> 32) ^ c3 ^ k1;
    c1 = static_cast<std::uint32_t>(p1);
    c3 = static_cast<std::uint32_t>(p0);
    c0 = n0;
    c2 = n2;
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return {{c0, c1, c2, c3}};
}

/// A float in [0, 1) from the upper 24 bits of a word: exact in float32.
GRADAMP_HOST_DEVICE inline float uniform_float(std::uint32_t word) {
  return static_cast<float>(word >> 8) * 0x1.0p-24f;
}

/// An integer in [0, bound) by multiplication; its bias is below bound / 2^32.
GRADAMP_HOST_DEVICE inline std::uint32_t uniform_below(std::uint32_t word, std::uint32_t bound) {
  return static_cast<std::uint32_t>((std::uint64_t{word} * bound) >> 32);
}

/// Draws words one after another from one substream; element i is word i % 4 of block i / 4.
class PhiloxSequence {
 public:
  PhiloxSequence(std::uint64_t seed, RandomStream stream, std::uint32_t substream)
      : seed_(seed), stream_(stream), substream_(substream) {}

  std::uint32_t next() {
    if (position_ % 4 == 0) block_ = philox(seed_, stream_, substream_, position_ / 4);
    return block_.word[position_++ % 4];
  }
  float uniform() { return uniform_float(next()); }
  std::uint32_t below(std::uint32_t bound) { return uniform_below(next(), bound); }

 private:
  std::uint64_t seed_;
  RandomStream stream_;
  std::uint32_t substream_;
  std::uint64_t position_ = 0;
  PhiloxBlock block_{};
};

}  // namespace gradamp

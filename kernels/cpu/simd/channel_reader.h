// SPDX-License-Identifier: MIT
// How the convolutions read pixels: as they are, or with a batch norm applied. Bit for bit, the latter is what
// batch_norm_apply (kernels/cpu/simd/batch_norm.h) would have stored.
#pragma once

#include <limits>

#include "gradamp/kernels/cpu/channel_affine.h"
#include "gradamp/kernels/cpu/simd/simd.h"

namespace gradamp::GRADAMP_SIMD {

/// Reads channels as they are.
struct PlainReader {
  /// Reads kWidth channels, beginning with one of a fixed number.
  template <int kWidth>
  struct Lanes {
    Lanes(const PlainReader&, std::int64_t) {}
    /// The channels at `from`. `inside` is not used: pixels outside the image are read from zeros.
    template <typename T>
    [[gnu::always_inline]] inline Simd<kWidth> operator()(const T* from, std::uint32_t inside = ~0u) const {
      (void)inside;
      return load<kWidth>(from);
    }
  };
};

/// Reads channels with a batch norm applied.
struct NormalizingReader {
  ChannelAffine affine;

  template <int kWidth>
  struct Lanes {
    using Words = typename SimdType<kWidth>::Words;
    Simd<kWidth> mean, scale, beta, floor;

    [[gnu::always_inline]] inline Lanes(const NormalizingReader& reader, std::int64_t channel)
        : mean(load<kWidth>(reader.affine.mean + channel)),
          scale(load<kWidth>(reader.affine.scale + channel)),
          beta(load<kWidth>(reader.affine.beta + channel)),
          floor(Simd<kWidth>{} + (reader.affine.relu ? 0.0f : -std::numeric_limits<float>::infinity())) {}
    /// The channels at `from`. `inside` is 0 for pixels outside the image, which are zeros, and else ~0u.
    template <typename T>
    [[gnu::always_inline]] inline Simd<kWidth> operator()(const T* from, std::uint32_t inside = ~0u) const {
      const Simd<kWidth> value = (load<kWidth>(from) - mean) * scale + beta;
      const Words below = (Words)(value < floor);  // not of a NaN, which stays one
      const auto floored = (Simd<kWidth>)(((Words)floor & below) | ((Words)value & ~below));
      return (Simd<kWidth>)((Words)as_stored<kWidth, T>(floored) & inside);
    }
  };
};

/// Calls body(reader).
template <typename Body>
[[gnu::always_inline]] inline void with_reader(const ChannelAffine& affine, const Body& body) {
  if (affine.mean == nullptr) {
    body(PlainReader{});
  } else {
    body(NormalizingReader{affine});
  }
}

}  // namespace gradamp::GRADAMP_SIMD

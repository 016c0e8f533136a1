// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/parallel.h"

namespace gradamp {

void CpuBackend::copy_channels(const Tensor& from, std::int64_t from_channel, const Tensor& to, std::int64_t to_channel,
                               std::int64_t channels) {
  const auto element = static_cast<std::int64_t>(size_of(from.dtype()));
  const std::int64_t rows = from.count() / from.shape()[from.shape().rank() - 1];
  const std::int64_t from_stride = static_cast<std::int64_t>(from.bytes()) / rows;
  const std::int64_t to_stride = static_cast<std::int64_t>(to.bytes()) / rows;
  const std::byte* source = static_cast<const std::byte*>(from.raw_data()) + from_channel * element;
  std::byte* target = static_cast<std::byte*>(to.raw_data()) + to_channel * element;
  const auto bytes = static_cast<std::size_t>(channels * element);
  const std::int64_t grain = std::max<std::int64_t>(1, kElementwiseGrain / channels);
  parallel_ranges(threads_, rows, grain, [=](std::int64_t begin, std::int64_t end) {
    for (std::int64_t row = begin; row < end; ++row)
      std::memcpy(target + row * to_stride, source + row * from_stride, bytes);
  });
}

}  // namespace gradamp

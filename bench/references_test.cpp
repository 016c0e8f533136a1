// SPDX-License-Identifier: MIT
// A reference that cannot be used here is left out with its reason, and does not end the benchmark.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/bench/arena_reference.h"
#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/convolution_reference.h"
#include "gradamp/bench/cuda_library.h"

namespace gradamp::bench {
namespace {

using ::testing::MatchesRegex;
using ::testing::StartsWith;

bool has_gpu() {
  for (const DeviceStatus& status : device_statuses())
    if (status.device.kind == DeviceKind::kCuda) return status.available;
  return false;
}

TEST(References, ConvolutionsOnTheCpuAreComparedWithOneDnns) {
  const ConvolutionReferenceChoice choice = make_convolution_reference({DeviceKind::kCpu});
  EXPECT_THAT(choice.description,
              MatchesRegex(choice.reference ? "oneDNN [0-9]+\\.[0-9]+\\.[0-9]+" : "left out: oneDNN.*"));
  const ConvolutionReferenceChoice none = make_convolution_reference({DeviceKind::kEmulated});
  EXPECT_EQ(none.reference, nullptr);
  EXPECT_THAT(none.description, StartsWith("left out: "));
}

TEST(References, CudnnThatCannotStartIsLeftOutWithItsReason) {
  const ConvolutionReferenceChoice choice = make_convolution_reference({DeviceKind::kCuda});
  if (!has_gpu()) {
    EXPECT_EQ(choice.reference, nullptr);
  }
  EXPECT_THAT(choice.description, StartsWith(choice.reference ? "cuDNN " : "left out: cuDNN "));
}

TEST(References, CeilingsThatCannotBeMeasuredSayWhy) {
  for (const LibraryRate& measured : {library_copy_rate(1 << 20, 0), library_matrix_rate(Precision::kBF16, 64)}) {
    if (!has_gpu()) {
      EXPECT_EQ(measured.rate, 0);
    }
    EXPECT_EQ(measured.rate > 0, measured.reason.empty()) << measured.reason;
  }
}

TEST(References, CubAndAtomicAdditionsAreLeftOutWithTheirReason) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kEmulated, DeviceKind::kCuda}) {
    const ArenaReferenceChoice cub = make_cub_reference({kind}), atomic = make_atomic_reference({kind});
    EXPECT_THAT(cub.description, MatchesRegex(cub.reference ? "CUB [0-9]+\\.[0-9]+\\.[0-9]+" : "left out: CUB.*"));
    EXPECT_THAT(atomic.description, StartsWith(atomic.reference ? "atomic additions" : "left out: "));
    const bool on_gpu = kind == DeviceKind::kCuda && has_gpu();
    EXPECT_EQ(cub.reference != nullptr, on_gpu);
    EXPECT_EQ(atomic.reference != nullptr, on_gpu || kind == DeviceKind::kEmulated);
  }
}

}  // namespace
}  // namespace gradamp::bench

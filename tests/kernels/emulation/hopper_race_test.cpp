// SPDX-License-Identifier: MIT
// Races between threads and the async proxy: every thread order must find them.
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/tensor_map.h"
#include "gradamp/tests/kernels/emulation/emulation_support.h"
#include "gradamp/tests/kernels/emulation/hopper_races.h"

namespace gradamp::emulation {
namespace {

using emulated::DeviceArray;
using ::testing::AnyOf;
using ::testing::ContainsRegex;
using ::testing::IsEmpty;

class HopperRaceTest : public EmulationTest {
 protected:
  std::string error_of_loads(bool early, bool unawaited) const {
    const int dims[] = {64, 64};
    const emulated::TensorMap map = emulated::tiled_map(tensor_.data(), 2, dims, dims);
    return error_of([&] { emulated::load_twice(early, unawaited, map, out_.data()); });
  }

  const DeviceArray<emulated::bf16> tensor_{64 * 64};
  const DeviceArray<float> out_{128};
};

TEST_F(HopperRaceTest, Loads) {
  in_every_order([&] {
    EXPECT_THAT(error_of_loads(false, false), IsEmpty());
    // Both of a race's lines, whichever comes first; or that a copy was in flight.
    const std::string load = "thread \\(0,0,0\\) (at|wrote at) hopper_races.cu:[0-9]+";
    const std::string use = "thread \\(32,0,0\\) (at|read at) hopper_races.cu:[0-9]+";
    const std::string order = ", and nothing orders the two";
    const auto race =
        AnyOf(ContainsRegex(use + " reads what " + load + order), ContainsRegex(load + " writes what " + use + order));
    EXPECT_THAT(error_of_loads(true, false), race);
    EXPECT_THAT(
        error_of_loads(false, true),
        AnyOf(race, ContainsRegex(use + " reads where an asynchronous copy, begun by thread .0,0,0. at "
                                        "hopper_races.cu:[0-9]+, may not have arrived: nothing waited for it")));
  });
}

TEST_F(HopperRaceTest, Products) {
  in_every_order([&] {
    EXPECT_THAT(error_of([&] { emulated::store_and_multiply(true, out_.data()); }), IsEmpty());
    EXPECT_THAT(
        error_of([&] { emulated::store_and_multiply(false, out_.data()); }),
        ContainsRegex("thread \\([0-9]+,0,0\\) at hopper_races.cu:[0-9]+ reads what thread \\([0-9]+,0,0\\) wrote "
                      "at hopper_races.cu:[0-9]+, and nothing orders the two"));
  });
}

}  // namespace
}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
#include "gradamp/core/layer_table.h"

#include <gtest/gtest.h>

#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

/// Two layers: 300 elements in two chunks with 3 neurons, 10 in one with 5.
std::vector<LayerRange> two_layers() {
  return {LayerRange{0, 512, 300, 0, 99, 297, 3, 0}, LayerRange{512, 768, 10, 512, 2, -1, 5, 3}};
}

class LayerTableTest : public DeviceTest {};

TEST_P(LayerTableTest, SaysTheSameOnTheDevice) {
  const LayerTable table(backend(), two_layers());
  EXPECT_EQ(table.count(), 2);
  EXPECT_EQ(table.neurons(), 8);
  EXPECT_EQ(table.device_ranges().to_host<std::int64_t>(),
            (std::vector<std::int64_t>{0, 512, 300, 0, 99, 297, 3, 0, 512, 768, 10, 512, 2, -1, 5, 3}));
  EXPECT_EQ(table.chunk_layers().to_host<std::int32_t>(), (std::vector<std::int32_t>{0, 0, 1}));
  EXPECT_EQ(table.neuron_layers().to_host<std::int32_t>(), (std::vector<std::int32_t>{0, 0, 0, 1, 1, 1, 1, 1}));
}

TEST_P(LayerTableTest, RefusesGaps) {
  const auto error_with = [&](auto change) {
    std::vector<LayerRange> ranges = two_layers();
    change(ranges);
    return error_of([&] { LayerTable(backend(), ranges); });
  };
  EXPECT_EQ(error_with([](std::vector<LayerRange>&) {}), "");
  const std::string expected = "layer 1 does not follow the one before it in the arena";
  EXPECT_EQ(error_with([](std::vector<LayerRange>& ranges) { ranges[1].begin = 768; }), expected);
  EXPECT_EQ(error_with([](std::vector<LayerRange>& ranges) { ranges[1].end = 700; }), expected);
  EXPECT_EQ(error_with([](std::vector<LayerRange>& ranges) { ranges[1].neuron_begin = 4; }), expected);
}

INSTANTIATE_TEST_SUITE_P(Devices, LayerTableTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test

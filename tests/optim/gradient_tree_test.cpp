// SPDX-License-Identifier: MIT
#include "gradamp/optim/gradient_tree.h"

#include <gtest/gtest.h>

#include <vector>

#include "gradamp/tests/core/test_support.h"

namespace gradamp {
namespace {

using test::error_of;

class GradientTreeTest : public test::DeviceTest {};

/// The sum of the gradients `first` to `last` - 1, by the recursion that defines the tree.
std::vector<float> tree_sum(const std::vector<std::vector<float>>& gradients, std::size_t first, std::size_t last) {
  if (last - first == 1) return gradients[first];
  const std::size_t middle = (first + last) / 2;
  std::vector<float> sum = tree_sum(gradients, first, middle);
  const std::vector<float> other = tree_sum(gradients, middle, last);
  for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += other[i];
  return sum;
}

TEST_P(GradientTreeTest, SumsByOneBinaryTree) {
  for (const std::int64_t shards : {1, 2, 4, 8, 32}) {
    std::vector<std::vector<float>> gradients;
    for (std::int64_t i = 0; i < shards; ++i)
      gradients.push_back(test::normal_values(1000, static_cast<std::uint32_t>(i)));
    const Tensor gradient = Tensor::empty(backend(), {1000});
    GradientTree tree(shards);
    for (const std::vector<float>& values : gradients) {
      EXPECT_FALSE(tree.is_complete());
      gradient.copy_from_host(std::span<const float>(values));
      tree.add(gradient);
    }
    EXPECT_TRUE(tree.is_complete());
    EXPECT_EQ(gradient.to_host<float>(), tree_sum(gradients, 0, gradients.size())) << shards;
    if (shards == 8) {  // another order has other bits, or this test would prove nothing
      std::vector<float> one_by_one = gradients[0];
      for (std::size_t g = 1; g < gradients.size(); ++g)
        for (std::size_t i = 0; i < one_by_one.size(); ++i) one_by_one[i] += gradients[g][i];
      EXPECT_NE(gradient.to_host<float>(), one_by_one);
    }
    EXPECT_EQ(error_of([&] { tree.add(gradient); }),
              fmt::format("expected the gradients of {} shards, got one more", shards));
  }
}

INSTANTIATE_TEST_SUITE_P(Devices, GradientTreeTest, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp

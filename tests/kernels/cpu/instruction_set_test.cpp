// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/instruction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using ::testing::HasSubstr;

TEST(InstructionSet, IsTheBestUnlessAnotherIsWanted) {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  ASSERT_FALSE(usable.empty());
  EXPECT_EQ(choose_instruction_set(), usable.back());
  for (const InstructionSet set : usable) {
    EXPECT_EQ(choose_instruction_set(name_of(set)), set);
    EXPECT_THAT(CpuBackend(1, ConvolutionMethod::kAuto, DType::kF32, set).description(), HasSubstr(name_of(set)));
  }
}

TEST(InstructionSet, ThatIsNotUsableIsRefusedWithThoseThatAre) {
  for (const char* wanted : {"sse3", "AVX2", " "}) {
    const std::string message = error_of([&] { choose_instruction_set(wanted); });
    EXPECT_THAT(message, HasSubstr("GRADAMP_ISA: expected an instruction set of this processor"));
    EXPECT_THAT(message, HasSubstr(name_of(usable_instruction_sets().front())));
    EXPECT_THAT(message, HasSubstr(std::string("got '") + wanted + "'"));
  }
}

/// The bits of a batch norm with ReLU, of a convolution and of all gradients.
std::vector<std::vector<std::uint32_t>> bits_with(InstructionSet set) {
  CpuBackend backend(2, ConvolutionMethod::kAuto, DType::kF32, set);
  const Shape image{5, 9, 7, 24}, filter{40, 3, 3, 24}, channels{40};
  const Variable x = parameter_of(backend, image, normal_values(image.count(), 1));
  const Variable weight = parameter_of(backend, filter, normal_values(filter.count(), 2));
  const Variable gamma = parameter_of(backend, channels, normal_values(40, 3));
  const Variable beta = parameter_of(backend, channels, normal_values(40, 4));
  const Tensor mean = Tensor::zeros(backend, channels), var = Tensor::zeros(backend, channels);
  const Variable y = batch_norm(conv2d(x, weight, {}, {1, 1}), {gamma, beta, mean, var}, {.relu = true}, true);
  y.backward(normal_tensor(backend, y.shape(), 5));
  return {bits_of(y.value()), bits_of(x.grad()), bits_of(weight.grad()), bits_of(gamma.grad()), bits_of(beta.grad())};
}

TEST(InstructionSet, WithFusedMultiplyAddsHaveTheSameBits) {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  for (std::size_t i = 1; i < usable.size(); ++i)
    EXPECT_EQ(bits_with(usable[i]), bits_with(usable.back())) << name_of(usable[i]);
}

}  // namespace
}  // namespace gradamp::test

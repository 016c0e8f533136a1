// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/instruction_set.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp::test {
namespace {

using ::testing::HasSubstr;

TEST(InstructionSet, IsTheBestUnlessAnotherIsWanted) {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  ASSERT_FALSE(usable.empty());
  EXPECT_EQ(choose_instruction_set(), usable.back());
  for (const InstructionSet set : usable) {
    EXPECT_EQ(choose_instruction_set(name_of(set)), set);
    EXPECT_THAT(CpuBackend(1, ConvolutionMethod::kAuto, set).description(), HasSubstr(name_of(set)));
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

}  // namespace
}  // namespace gradamp::test

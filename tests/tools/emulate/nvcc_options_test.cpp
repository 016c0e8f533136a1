// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/nvcc_options.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/error_of.h"

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::string error_in(const std::vector<std::string>& words) {
  return test::error_of([&] { take_nvcc_options(words); });
}

TEST(NvccOptions, WithoutEffect) {
  const NvccOptions options =
      take_nvcc_options({"-O3", "a.cu", "-arch=sm_80", "-arch", "sm_75", "-gencode", "arch=compute_80,code=sm_80",
                         "--std=c++17", "-lcudart", "-rdc=true", "-o", "p"});
  EXPECT_THAT(options.ignored, ElementsAre("-O3", "-arch=sm_80", "-arch sm_75", "-gencode arch=compute_80,code=sm_80",
                                           "--std=c++17", "-lcudart", "-rdc=true"));
  EXPECT_THAT(options.others, ElementsAre("a.cu", "-o", "p"));
  EXPECT_FALSE(options.debug);
}

TEST(NvccOptions, ForTheCompilerAndTheLinker) {
  const NvccOptions options = take_nvcc_options({"-G", "-Xcompiler", "-fopenmp,-Wall", "--compiler-options=-O2", "-L/x",
                                                 "-lpng", "-L", "y", "-Xlinker=-s", "-UA", "-include", "a.h"});
  EXPECT_TRUE(options.debug);
  EXPECT_THAT(options.compile_options, ElementsAre("-fopenmp", "-Wall", "-O2", "-UA", "-include", "a.h"));
  EXPECT_THAT(options.link_options, ElementsAre("-L/x", "-lpng", "-Ly", "-Xlinker", "-s", "-fopenmp"));
  EXPECT_THAT(options.others, IsEmpty());
  EXPECT_THAT(options.ignored, IsEmpty());
}

TEST(NvccOptions, OfTheProgramItselfStay) {
  EXPECT_THAT(take_nvcc_options({"a.cu", "--race", "-I", "-G", "-D", "-O3", "-DN=1", "--order", "reverse"}).others,
              ElementsAre("a.cu", "--race", "-I", "-G", "-D", "-O3", "-DN=1", "--order", "reverse"));
}

TEST(NvccOptions, ThatMatterAreRefused) {
  EXPECT_THAT(error_in({"a.cu", "-lcublas"}), HasSubstr("-lcublas: the emulator leaves out NVIDIA's library cuBLAS: "));
  EXPECT_THAT(error_in({"-l", "curand"}), HasSubstr("-lcurand: the emulator leaves out NVIDIA's library cuRAND"));
  EXPECT_THAT(error_in({"-dc", "a.cu"}), HasSubstr("-dc: gradamp emulate makes a whole program: "));
  EXPECT_EQ(error_in({"a.cu", "-arch"}), "-arch: expected a value behind it");
}

}  // namespace
}  // namespace gradamp

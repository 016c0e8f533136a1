// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/missing_names.h"

#include <filesystem>
#include <fstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::Not;

TEST(MissingNames, InMessagesOfBothCompilers) {
  EXPECT_THAT(missing_names("a.cu:3:14: error: ‘cudaFoo’ was not declared in this scope\n"
                            "a.cu:4:1: error: ‘cudaBar_t’ does not name a type\n"
                            "a.cu:5:1: error: ‘cudaFoo’ was not declared in this scope\n"
                            "a.cu:6:1: error: ‘mine’ was not declared in this scope\n"
                            "a.cu:7:1: error: use of undeclared identifier '__vaddss2'; did you mean '__hadd'?\n"
                            "a.cu:8:1: error: unknown type name 'cudaArray_t'\n"),
              ElementsAre("cudaFoo", "cudaBar_t", "__vaddss2", "cudaArray_t"));
  EXPECT_THAT(missing_names("a.cu:1:10: fatal error: thrust/sort.h: No such file or directory\n"),
              ElementsAre("thrust/sort.h"));
  EXPECT_THAT(missing_names("a.cu:1:10: fatal error: 'cublas_v2.h' file not found\n"), ElementsAre("cublas_v2.h"));
  EXPECT_THAT(missing_names("a.cu:1:10: fatal error: mine.h: No such file or directory\n"), ElementsAre());
}

TEST(MissingNames, AreExplainedByWhatExists) {
  ScratchFolder folder;
  const std::filesystem::path plain = folder.path() / "gradamp/kernels/emulation/plain";
  std::filesystem::create_directories(plain);
  std::ofstream(plain / "cuda_fp16.h")
      << "int cudaMalloc(void**); int cudaMemcpy(); void __syncthreads(); int other();\n"
         "enum { cudaErrorUnknown };";
  const std::string text = explain_missing_names(
      "error: ‘cudaMallocs’ was not declared in this scope\n"
      "error: ‘cudaFoo’ was not declared in this scope\n",
      folder.path());
  EXPECT_THAT(text,
              HasSubstr("the emulator does not have cudaMallocs; it has these names of CUDA's runtime, the nearest "
                        "first:\n    cudaMalloc cudaMemcpy\n"));
  EXPECT_THAT(text, HasSubstr("the emulator does not have cudaFoo\n"));
  EXPECT_THAT(explain_missing_names("error: ‘__syncthread’ was not declared in this scope", folder.path()),
              HasSubstr("it has these intrinsics, the nearest first:\n    __syncthreads\n"));
  EXPECT_THAT(explain_missing_names("error: ‘cudaErrorX’ was not declared in this scope", folder.path()),
              HasSubstr("cudaErrorUnknown"));
  EXPECT_THAT(explain_missing_names("fatal error: cub/cub.cuh: No such file or directory", folder.path()),
              HasSubstr("it has these headers of CUDA, the nearest first:\n    cuda_fp16.h\n"));
  EXPECT_EQ(explain_missing_names("error: ‘curandState’ was not declared in this scope\n"
                                  "error: ‘grid_group’ is not a member of ‘cg’\n"
                                  "error: no member named 'this_grid' in namespace 'cooperative_groups'\n",
                                  folder.path()),
            "gradamp emulate: the emulator does not have curandState: it leaves out NVIDIA's library cuRAND\n"
            "gradamp emulate: the emulator does not have grid_group: it leaves out groups of more than one block\n"
            "gradamp emulate: the emulator does not have this_grid: it leaves out groups of more than one block\n");
  EXPECT_EQ(explain_missing_names("error: ‘mine’ was not declared in this scope", folder.path()), "");
}

}  // namespace
}  // namespace gradamp

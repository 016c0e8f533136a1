// SPDX-License-Identifier: MIT
// A libFuzzer program (https://llvm.org/docs/LibFuzzer.html) for the target GRADAMP_FUZZ_TARGET.
#include <algorithm>
#include <string_view>

#include "gradamp/tests/fuzz/targets.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace gradamp::test;
  static const FuzzTarget target = *std::find_if(fuzz_targets().begin(), fuzz_targets().end(), [](const FuzzTarget& t) {
    return std::string_view(t.name) == GRADAMP_FUZZ_TARGET;
  });
  target.run({data, size});
  return 0;
}

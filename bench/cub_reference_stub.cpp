// SPDX-License-Identifier: MIT
#include "gradamp/bench/arena_reference.h"

namespace gradamp::bench {

ArenaReferenceChoice make_cub_reference(const Device&) {
  return {nullptr, "left out: CUB is not in this build, which has no CUDA"};
}

}  // namespace gradamp::bench

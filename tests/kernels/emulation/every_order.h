// SPDX-License-Identifier: MIT
// Runs a test in each order in which the emulator can run threads and blocks; on a GPU runs it once.
#pragma once

#include "gradamp/kernels/cuda/cuda.h"

#if defined(GRADAMP_EMULATION)
#include "gradamp/tests/kernels/emulation/emulation_support.h"
#endif

namespace gradamp::GRADAMP_GPU {

#if defined(GRADAMP_EMULATION)
using emulation::in_every_order;
#else
template <typename Action>
void in_every_order(Action action) {
  action();
}
#endif

}  // namespace gradamp::GRADAMP_GPU

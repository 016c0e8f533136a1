// SPDX-License-Identifier: MIT
// Kernels for the race checker, with races between threads and the async proxy.
#pragma once

#include "gradamp/kernels/cuda/ptx_hopper.h"

namespace gradamp::GRADAMP_GPU {

/// A box of 64 x 64 elements goes through shared memory twice. `early`: the thread that reads it allows the next load
/// before that. `unawaited`: it does not wait for the first load.
void load_twice(bool early, bool unawaited, const TensorMap& map, float* out);

/// A product whose operands the threads store. If not `synchronized`, there is no barrier between.
void store_and_multiply(bool synchronized, float* out);

}  // namespace gradamp::GRADAMP_GPU

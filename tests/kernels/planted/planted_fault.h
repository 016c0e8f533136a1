// SPDX-License-Identifier: MIT
// The faults that plant_faults.py puts into copies of the kernels' headers, and the switch that chooses one.
#pragma once

#include <utility>

namespace gradamp {

enum class PlantedFault {
  kNone,
  kSwappedFragment,  // mma.m16n8k16: registers 1 and 2 of a
  kSwappedSums,      // mma.m16n8k8: neighbors in d
  kTransposeLost,    // ldmatrix.x4.trans does not transpose
  kZerosLost,        // cp.async leaves memory as it was where zeros should arrive
  kWaitLost,         // cp.async.wait_group leaves one group more on its way
  kBarrierLost,      // between the arrival of a stage and its use
  kWrongSwizzle,     // two chunks of a row lie in one place
};

extern PlantedFault planted_fault;

}  // namespace gradamp

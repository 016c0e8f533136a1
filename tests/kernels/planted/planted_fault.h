// SPDX-License-Identifier: MIT
// The faults that plant_faults.py plants into copies of the kernels' headers, and the switch that selects one.
#pragma once

#include <utility>

namespace gradamp {

enum class PlantedFault {
  kNone,
  kSwappedFragment,  // mma.m16n8k16: registers 1 and 2 of a
  kSwappedSums,      // mma.m16n8k8: neighbors in d
  kTransposeLost,    // ldmatrix.x4.trans does not transpose
  kZerosLost,        // cp.async does not write zeros
  kWaitLost,         // cp.async.wait_group leaves one more group in flight
  kBarrierLost,      // between the arrival of a stage and its use
  kWrongSwizzle,     // two chunks of a row have the same address
};

extern PlantedFault planted_fault;

}  // namespace gradamp

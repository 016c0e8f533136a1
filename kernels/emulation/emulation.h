// SPDX-License-Identifier: MIT
// The CUDA programming model for a C++ compiler: the intrinsics of CUDA C++ that the kernels and the backend use, in
// the namespace gradamp::emulated. Kernel files include it through kernels/cuda/cuda.h.
//
// A CUDA thread is a fiber, a block runs on one OS thread, and several OS threads run blocks in parallel; see
// block_runner.h. Mistakes that hang or silently corrupt results under CUDA throw Error or give NaN here: barriers that
// some threads never reach, accesses out of bounds or misaligned, reads of uninitialized memory, and, in programs that
// link the race checker (race_checker.cpp), races. Left out: clusters, cooperative grids, textures, dynamic
// parallelism, and the exact rounding of the tensor cores.
#pragma once

#include "gradamp/kernels/emulation/async_copy.h"
#include "gradamp/kernels/emulation/bfloat16.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/device_intrinsics.h"
#include "gradamp/kernels/emulation/launch.h"
#include "gradamp/kernels/emulation/launch_bounds.h"
#include "gradamp/kernels/emulation/math_intrinsics.h"
#include "gradamp/kernels/emulation/mbarrier.h"
#include "gradamp/kernels/emulation/memory_intrinsics.h"
#include "gradamp/kernels/emulation/runtime.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_intrinsics.h"
#include "gradamp/kernels/emulation/shared_view.h"
#include "gradamp/kernels/emulation/tensor_core.h"
#include "gradamp/kernels/emulation/tensor_load.h"
#include "gradamp/kernels/emulation/tensor_map.h"
#include "gradamp/kernels/emulation/vector_types.h"
#include "gradamp/kernels/emulation/wgmma.h"
#include "gradamp/kernels/emulation/work.h"

// CUDA's keywords except __launch_bounds__. __noinline__ is left out, since the standard library uses it as the name of
// an attribute.
#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))

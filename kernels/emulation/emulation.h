// SPDX-License-Identifier: MIT
// The CUDA programming model for a C++ compiler: the words of CUDA C++ that the kernels and the backend use, in the
// namespace gradamp::emulated. Kernel files come here through kernels/cuda/cuda.h.
//
// A CUDA thread is a fiber, a block runs on one OS thread, blocks run side by side; see block_runner.h. What CUDA would
// hang on or silently get wrong throws Error, or is made to give NaN: barriers that some threads never reach, memory
// accessed out of bounds or misaligned, memory read before it was written, and, in programs that link the race checker
// (race_checker.cpp), races. Left out: clusters, cooperative grids, textures, dynamic parallelism, and the exact
// rounding of the tensor cores.
#pragma once

#include "gradamp/kernels/emulation/async_copy.h"
#include "gradamp/kernels/emulation/bfloat16.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/device_intrinsics.h"
#include "gradamp/kernels/emulation/launch.h"
#include "gradamp/kernels/emulation/launch_bounds.h"
#include "gradamp/kernels/emulation/math_intrinsics.h"
#include "gradamp/kernels/emulation/memory_intrinsics.h"
#include "gradamp/kernels/emulation/runtime.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_intrinsics.h"
#include "gradamp/kernels/emulation/stream.h"
#include "gradamp/kernels/emulation/tensor_core.h"
#include "gradamp/kernels/emulation/vector_types.h"

// CUDA's keywords, apart from __launch_bounds__. Not __noinline__, which the standard library uses as the name of an
// attribute.
#define __global__
#define __device__
#define __host__
#define __grid_constant__
#define __forceinline__ inline __attribute__((always_inline))
#define __align__(bytes) __attribute__((aligned(bytes)))

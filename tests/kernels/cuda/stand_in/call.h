// SPDX-License-Identifier: MIT
// What every call of the stand-in's runtime begins with, and the errors that outlive a call.
#pragma once

#include "gradamp/kernels/emulation/runtime.h"

// After the emulator's headers: it makes macros of some of their names.
#include <cuda_runtime_api.h>

namespace gradamp::stand_in {

/// The error that the call `name` returns without doing anything, or cudaSuccess: no driver, no device, an earlier
/// kernel's failure, a child process after fork, a program that ends, or a failure that the settings ask for.
cudaError_t begin_call(const char* name);

/// The same for the calls that need neither a driver nor a device.
cudaError_t begin_call_without_device(const char* name);

/// Whether a device of the settings can be used.
cudaError_t device_state();

/// From now on every call returns `error`, as after a kernel that failed.
void make_sticky(cudaError_t error);

/// The program unloads its device code: static destructors come after this.
void begin_unloading();

/// Remembers the error for cudaGetLastError.
cudaError_t returned(cudaError_t error);

inline cudaError_t converted(emulated::cudaError_t error) { return static_cast<cudaError_t>(static_cast<int>(error)); }

}  // namespace gradamp::stand_in

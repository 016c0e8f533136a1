// SPDX-License-Identifier: MIT
// The checks at the beginning of every call of the stand-in's runtime, and the errors that outlive a call.
#pragma once

#include "gradamp/kernels/emulation/runtime.h"

// After the emulator's headers: it defines macros with some of their names.
#include <cuda_runtime_api.h>

namespace gradamp::stand_in {

/// The error that the call `name` must return at once, or cudaSuccess: no driver, no device, an earlier kernel's
/// failure, a child process after fork, a program that ends, or an injected failure (settings.h).
cudaError_t begin_call(const char* name);

/// The same for calls that need neither a driver nor a device.
cudaError_t begin_call_without_device(const char* name);

/// cudaSuccess if the device of the settings can be used, else the error.
cudaError_t device_state();

/// From now on every call returns `error`, as after a failed kernel.
void make_sticky(cudaError_t error);

/// Called when the program unloads its device code; static destructors run after this.
void begin_unloading();

/// Stores the error for cudaGetLastError and returns it.
cudaError_t returned(cudaError_t error);

inline cudaError_t converted(emulated::cudaError_t error) { return static_cast<cudaError_t>(static_cast<int>(error)); }

}  // namespace gradamp::stand_in

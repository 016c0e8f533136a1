// SPDX-License-Identifier: MIT
// The device that a thread uses, and that of each stream: a kernel's stream must be of the thread's device.
#pragma once

#include <driver_types.h>

namespace gradamp::stand_in {

/// Of the calling thread: 0 until it sets another.
int& current_device();

/// The new stream is of the calling thread's device.
void add_stream(cudaStream_t stream);
void remove_stream(cudaStream_t stream);
/// Also true for the default stream.
bool is_of_current_device(cudaStream_t stream);

}  // namespace gradamp::stand_in

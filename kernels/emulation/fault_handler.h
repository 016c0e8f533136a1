// SPDX-License-Identifier: MIT
// Turns an access that the processor refuses (a guard page, a null pointer) into a failure of the CUDA thread that made
// it. Under AddressSanitizer its own handler reports the access; on processors other than x86-64 and aarch64 the
// program ends.
#pragma once

namespace gradamp::emulation {

/// Call it before this OS thread runs blocks.
void watch_for_faults();

}  // namespace gradamp::emulation

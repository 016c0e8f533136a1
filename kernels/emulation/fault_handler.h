// SPDX-License-Identifier: MIT
// Turns an access that the processor refuses (a guard page, a null pointer), and an integer division by zero, into a
// failure of the CUDA thread that made it. Under AddressSanitizer its own handler reports the access; on processors
// other than x86-64 and aarch64 the program ends.
#pragma once

namespace gradamp::emulation {

/// Call it before this OS thread runs blocks.
void watch_for_faults();

/// From now on config().report_host_crash is called before a signal ends the program: for faults in host code, and for
/// a `free` of what malloc did not give.
void watch_for_host_crashes();

}  // namespace gradamp::emulation

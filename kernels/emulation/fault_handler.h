// SPDX-License-Identifier: MIT
// Turns an access that the processor refuses (a guard page, a null pointer) into the failure of the CUDA thread that
// made it. Where AddressSanitizer is at work it is left to that, and on processors other than x86-64 the program ends.
#pragma once

namespace gradamp::emulation {

/// Before this OS thread runs blocks.
void watch_for_faults();

}  // namespace gradamp::emulation

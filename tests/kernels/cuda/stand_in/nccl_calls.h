// SPDX-License-Identifier: MIT
#pragma once

namespace gradamp::stand_in {

/// Whether the device waits for another rank for ever (STAND_IN_HANG): from the first exchange on until ncclCommAbort.
bool hangs();

/// Waits while hangs(), as a call would that waits for the device.
void wait_while_it_hangs();

}  // namespace gradamp::stand_in

// SPDX-License-Identifier: MIT
#pragma once

/// Writes in[n - 1 - i] to out[i]. Both are in the device's memory.
void reverse(const float* in, float* out, int n);

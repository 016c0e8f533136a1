// SPDX-License-Identifier: MIT
#pragma once
#include "gradamp/kernels/emulation/plain/plain.h"

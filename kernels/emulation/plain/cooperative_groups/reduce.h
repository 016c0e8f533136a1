// SPDX-License-Identifier: MIT
#pragma once
#include "gradamp/kernels/emulation/plain/cooperative_groups.h"

// SPDX-License-Identifier: MIT
// The file STAND_IN_LOG. Each line has fields, separated by tabs:
//
//   call       name
//   launch     kernel, grid x,y,z, threads per block, dynamic shared bytes, static shared bytes, registers,
//              image (sm_90, or compute_90 for PTX that the driver compiles), "captured" or "eager", verdict
//   violation  behavior that a GPU tolerates but that the engine should avoid
#pragma once

#include <string>

namespace gradamp::stand_in {

void log_line(const std::string& line);

/// Also written to standard error.
void log_violation(const std::string& text);

}  // namespace gradamp::stand_in

// SPDX-License-Identifier: MIT
// The file STAND_IN_LOG. Lines of fields with tabs between them:
//
//   call       name
//   launch     kernel, grid x,y,z, threads of a block, dynamic shared bytes, static shared bytes, registers,
//              image (sm_90, or compute_90 for PTX that the driver compiles), "captured" or "eager", verdict
//   violation  what a GPU would bear and the engine should not do
#pragma once

#include <string>

namespace gradamp::stand_in {

void log_line(const std::string& line);

/// Also on standard error.
void log_violation(const std::string& text);

}  // namespace gradamp::stand_in

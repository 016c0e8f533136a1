// SPDX-License-Identifier: MIT
// The whole program as a function: training, evaluation, sweeps, reports and datasets under one's own main().
#pragma once

namespace gradamp {

/// The program `gradamp` with these arguments, under the name in argv[0], which its messages and hints have; what
/// main() is to return: 0, 1 for an error (a line `NAME: ...` on standard error), 2 for arguments that are not
/// understood, 128 + the signal for a run that a signal stopped.
int run_program(int argc, char** argv);

}  // namespace gradamp

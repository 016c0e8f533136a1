// SPDX-License-Identifier: MIT
// The whole program as a function, for your own main(): training, evaluation, sweeps, reports and datasets.
#pragma once

namespace gradamp {

/// Runs the program `gradamp` with these arguments. Its messages use the name in argv[0]. Returns the exit code for
/// main(): 0 for success, 1 for an error (with a line `NAME: ...` on standard error), 2 for invalid arguments, 128 +
/// the signal if a signal stopped a run.
int run_program(int argc, char** argv);

}  // namespace gradamp

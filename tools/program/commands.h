// SPDX-License-Identifier: MIT
// The program's commands. Each returns an exit code: 0 for success, or 128 + the signal if a signal stopped a training
// run. Failures are reported as Error.
#pragma once

#include <string>

#include "gradamp/tools/program/options.h"

namespace gradamp {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

int run_train(const TrainCommand& command);
int run_evaluate(const EvaluateCommand& command);
/// Prints the predicted classes of image files. kExitFailure if an image could not be read; the others are predicted.
int run_predict(const PredictCommand& command);
int run_sweep_command(const SweepCommand& command);
/// Replaces this process by the report's script, so that the script's exit code is the program's.
int run_report(const ReportCommand& command);
int run_runs(const RunsCommand& command);
int run_fetch(const FetchCommand& command);
int run_make(const MakeCommand& command);
int run_verify(const VerifyCommand& command);
int run_info(const InfoCommand& command);

/// If a dataset is read from files and has no path, sets the path of its files in the cache folder. Makes the paths of
/// data and weights absolute, so that the run can be resumed from another folder. If there is no data, the Error says
/// how to get it.
void find_data(RunSettings& settings);

}  // namespace gradamp

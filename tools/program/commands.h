// SPDX-License-Identifier: MIT
// The program's commands. Each returns an exit code: 0, or for a training run that a signal stopped 128 + the signal.
// What goes wrong is an Error.
#pragma once

#include <string>

#include "gradamp/tools/program/options.h"

namespace gradamp {

inline constexpr int kExitFailure = 1;
inline constexpr int kExitUsage = 2;

int run_train(const TrainCommand& command);
int run_evaluate(const EvaluateCommand& command);
int run_sweep_command(const SweepCommand& command);
/// Becomes the report's script; its exit code is the program's.
int run_report(const ReportCommand& command);
int run_fetch(const FetchCommand& command);
int run_make(const MakeCommand& command);
int run_verify(const VerifyCommand& command);
int run_info(const InfoCommand& command);

/// Gives a CIFAR dataset that has no path that of its files in the cache, and makes the paths of data and weights
/// absolute, so that the run can be resumed from another folder. Error that says what to do where there is no data.
void find_data(RunSettings& settings);

}  // namespace gradamp

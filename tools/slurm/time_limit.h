// SPDX-License-Identifier: MIT
// The time limit that a job gets if the user gives none.
#pragma once

#include <cstdint>
#include <string>

namespace gradamp {

/// The processors of a task with these options of sbatch: --cpus-per-task, or Slurm's default of 1.
int processors_of_task(const std::string& sbatch);
/// Whether the options of sbatch or its environment give a time limit.
bool has_time_limit(const std::string& sbatch);
/// Error if a step that is measured here says nothing about the job, which has a GPU: this machine has none.
/// `is_automatic`: the run takes the device that there is.
void check_can_measure(const std::string& sbatch, bool is_automatic);

/// The time limit in minutes, for --time, of a task that trains for `seconds`.
std::int64_t suggested_minutes(double seconds);
/// The margin of suggested_minutes, in words.
inline constexpr const char* kMarginWords = "plus half of that and 5 min to start and save";
/// The time limit in minutes of a task that trains for `seconds`: suggested_minutes, or that of the partition if it is
/// lower. Prints it with its reason; `run` and `source` are parts of the sentence: "the longest run", "a step measured
/// on this machine".
std::int64_t print_time_limit(const std::string& sbatch, double seconds, const char* run, const char* source);

}  // namespace gradamp

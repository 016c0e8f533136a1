// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/time_limit.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <optional>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/slurm/slurm_queue.h"

namespace gradamp {
namespace {

/// The time limit of the tasks' partition in minutes; none if there is none or it is not known.
std::optional<std::int64_t> partition_minutes(const std::string& sbatch) {
  const char* const variable = std::getenv("SBATCH_PARTITION");
  const std::string names = sbatch_option(sbatch, "--partition", 'p').value_or(variable == nullptr ? "" : variable);
  const CommandResult result = run_command("unset SINFO_PARTITION; sinfo --noheader --format='%P|%l'");
  return result.exit_code == 0 ? partition_minutes_in(result.output, names) : std::nullopt;
}

}  // namespace

int processors_of_task(const std::string& sbatch) {
  const std::string text = sbatch_option(sbatch, "--cpus-per-task", 'c').value_or("1");
  int processors = 0;
  std::from_chars(text.data(), text.data() + text.size(), processors);
  return std::max(1, processors);
}

bool has_time_limit(const std::string& sbatch) {
  return std::getenv("SBATCH_TIMELIMIT") != nullptr || sbatch_option(sbatch, "--time", 't');
}

void check_can_measure(const std::string& sbatch, bool is_automatic) {
  const std::vector<DeviceStatus> devices = device_statuses();
  const bool has_gpu = std::any_of(devices.begin(), devices.end(), [](const DeviceStatus& status) {
    return status.available && to_string(status.device) == "cuda";
  });
  const bool wants_gpu = sbatch.find("gpu") != std::string::npos || sbatch.find("gres") != std::string::npos;
  check(has_gpu || !wants_gpu || !is_automatic,
        "this machine has no GPU to measure a step on, and no run has trained an epoch yet");
}

std::int64_t suggested_minutes(double seconds) {
  constexpr double kFactor = 1.5, kStartAndEnd = 5 * 60, kMostSeconds = 3e9;  // about the most that Slurm can store
  return static_cast<std::int64_t>(std::ceil(std::min(kFactor * seconds + kStartAndEnd, kMostSeconds) / 60));
}

std::int64_t print_time_limit(const std::string& sbatch, double seconds, const char* run, const char* source) {
  std::int64_t minutes = suggested_minutes(seconds);
  std::cout << fmt::format("--time={}: {} needs about {} by {}, {}", minutes, run, format_duration(seconds), source,
                           kMarginWords);
  const std::optional<std::int64_t> limit = partition_minutes(sbatch);
  if (limit && *limit < minutes) {
    minutes = *limit;
    std::cout << fmt::format("; the partition allows {} min, after which a run is saved and its task requeued",
                             minutes);
  }
  std::cout << std::endl;
  return minutes;
}

}  // namespace gradamp

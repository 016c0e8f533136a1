// SPDX-License-Identifier: MIT
// The number of processors that this process may use, and the number of threads that follows from it.
#pragma once

#include <filesystem>
#include <optional>

namespace gradamp {

/// The processors of the affinity mask (taskset, Slurm, cpusets), but no more than the CPU quota of the cgroup allows
/// (containers, systemd's CPUQuota). At least 1.
int usable_processors();

/// OMP_NUM_THREADS, of a list such as 4,2 the first number; 0 if it is not a positive number. At most kMaxPoolThreads.
int threads_from_environment();

/// The number of threads if the user gives none: threads_from_environment(), else usable_processors().
int default_threads();

/// The smallest CPU quota of this process's cgroups and those above them, in processors, rounded up; none without a
/// quota. Reads version 2 (cpu.max) and version 1 (cpu.cfs_quota_us, cpu.cfs_period_us). Files that are missing or have
/// another format are no quota. `membership` lists the process's cgroups, `root` has the mounted hierarchies; tests
/// give other paths.
std::optional<int> quota_processors(const std::filesystem::path& membership = "/proc/self/cgroup",
                                    const std::filesystem::path& root = "/sys/fs/cgroup");

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// The runs below a folder: which there are, how they stand, how two of them differ, and their removal.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gradamp/data/files/file_system.h"
#include "gradamp/tools/run/run_folder.h"

namespace gradamp {

/// The folder in which the program puts runs without --run-folder.
inline constexpr const char* kRunsFolder = "runs";

enum class RunState {
  kFinished,  // all epochs are done
  kRunning,   // a process holds the run's lock
  kStopped,   // by a signal, --until or a kill: --resume continues it
  kShared,    // a sweep's beginning: its cells continue from it, and the sweep continues it if it is too short
  kFailed,    // it ended with an error, or its files cannot be read
};

/// "finished", "running", "stopped", "shared", "failed".
const char* name_of(RunState state);

struct RunOverview {
  std::filesystem::path path;
  RunState state = RunState::kStopped;
  std::string started;                  // "2026-01-31T17:40:12Z"; empty if not known
  std::optional<RunSettings> settings;  // none if config.json cannot be read
  RunFacts facts;
  std::optional<EpochSummary> last;  // the last whole epoch
  std::string failure;               // why it failed, in one line
};

/// The folders of runs at or below `folder`, sorted. Links are not followed. Error if there is no such folder.
std::vector<std::filesystem::path> find_runs(const std::filesystem::path& folder, FileSystem& file_system);
/// A run that cannot be read is kFailed, with the reason.
RunOverview overview_of(const std::filesystem::path& run, FileSystem& file_system);
/// All runs at or below `folder`, sorted by their start.
std::vector<RunOverview> list_runs(const std::filesystem::path& folder, FileSystem& file_system);

/// The newest run of `runs`, sorted by start, that --resume can continue. If there is none, the Error says why.
const RunOverview& newest_unfinished(const std::vector<RunOverview>& runs, const std::filesystem::path& folder);

/// The strategy and what else differs from the defaults, except network, data, epochs and machine: "params_1, seed 2".
std::string recipe_of(const RunSettings& settings);

/// One line per run under a heading; if `columns` (0: unlimited) is too narrow, a run's recipe has a line of its own.
std::string format_runs(const std::vector<RunOverview>& runs, int columns);
nlohmann::ordered_json runs_to_json(const std::vector<RunOverview>& runs);

/// The settings and facts that differ between two runs, and the final figures, side by side.
std::string format_comparison(const std::filesystem::path& a, const std::filesystem::path& b, FileSystem& file_system);
nlohmann::ordered_json comparison_to_json(const std::filesystem::path& a, const std::filesystem::path& b,
                                          FileSystem& file_system);

/// What `runs rm` removes from a run's folder.
struct RunRemoval {
  RunFolder run;                     // locked
  std::vector<std::string> files;    // that the program made
  std::vector<std::string> foreign;  // that stay, and with them the folder
  std::int64_t bytes = 0;            // size of `files`
};

/// Locks the run and lists its files. Error if it is no run, or a process is training it.
RunRemoval prepare_removal(const std::filesystem::path& run, FileSystem& file_system);
/// Removes the files, config.json last, and the folder if it is empty then. After a kill in the middle, the folder is
/// still that of a run, which can be removed.
void remove_run(const RunRemoval& removal, FileSystem& file_system);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// `gradamp runs`, `runs compare` and `runs rm`.
#include <algorithm>
#include <array>
#include <filesystem>
#include <iostream>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/run/run_list.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

int list(const RunsCommand& command) {
  std::vector<RunOverview> runs;
  const bool is_default = command.folders.empty();
  const std::vector<std::string> folders = is_default ? std::vector<std::string>{kRunsFolder} : command.folders;
  for (const std::string& folder : folders) {
    if (is_default && !path_exists(folder)) continue;
    if (const std::string near = nearest_word(folder, std::array<std::string, 1>{"compare"});
        !near.empty() && !path_exists(folder))
      throw UsageError(fmt::format("unknown command '{}'; did you mean '{}'?", folder, near));
    for (RunOverview& run : list_runs(folder, real_file_system())) runs.push_back(std::move(run));
  }
  std::stable_sort(runs.begin(), runs.end(),
                   [](const RunOverview& a, const RunOverview& b) { return a.started < b.started; });
  if (command.json) {
    std::cout << runs_to_json(runs).dump(2) << "\n";
  } else if (runs.empty()) {
    std::cout << fmt::format("there is no run in {}\n", printable(folders.front() + "/"));
    if (is_default && path_exists("sweeps"))
      std::cout << fmt::format("those of sweeps: {} runs sweeps\n", typed_command());
  } else {
    std::cout << format_runs(runs, terminal_columns(STDOUT_FILENO));
  }
  return 0;
}

std::string size_text(std::int64_t bytes) { return format_bytes(static_cast<double>(bytes)); }

bool is_confirmed(std::size_t runs, std::int64_t bytes) {
  std::cout << fmt::format("remove {} run{}, {}? [y/N] ", runs, runs == 1 ? "" : "s", size_text(bytes)) << std::flush;
  std::string answer;
  std::getline(std::cin, answer);
  return answer == "y" || answer == "Y" || answer == "yes";
}

int remove(const RunsCommand& command) {
  if (!command.yes && isatty(STDIN_FILENO) == 0)
    throw UsageError("runs rm asks before it removes anything: expected a terminal, or --yes");
  std::vector<RunRemoval> removals;
  std::int64_t bytes = 0;
  for (std::size_t i = 0; i < command.folders.size(); ++i) {
    const fs::path folder = command.folders[i];
    std::error_code ignored;
    bool repeated = false;
    for (std::size_t j = 0; j < i; ++j) repeated = repeated || fs::equivalent(folder, command.folders[j], ignored);
    if (repeated) continue;
    removals.push_back(prepare_removal(folder, real_file_system()));  // an Error for one removes none
    bytes += removals.back().bytes;
  }
  if (!command.yes) {
    for (const RunRemoval& removal : removals)
      std::cout << fmt::format("{}: {} files, {}\n", printable(removal.run.path().string()), removal.files.size(),
                               size_text(removal.bytes));
    if (!is_confirmed(removals.size(), bytes)) {
      std::cout << "nothing was removed\n";
      return kExitFailure;
    }
  }
  for (const RunRemoval& removal : removals) {
    remove_run(removal, real_file_system());
    const std::string path = printable(removal.run.path().string());
    if (removal.foreign.empty()) {
      std::cout << fmt::format("removed {}, {}\n", path, size_text(removal.bytes));
    } else {
      constexpr std::size_t kMaxNames = 3;
      std::string names;
      for (std::size_t i = 0; i < std::min(removal.foreign.size(), kMaxNames); ++i)
        names += (i == 0 ? "" : ", ") + printable(removal.foreign[i]);
      if (removal.foreign.size() > kMaxNames) names += fmt::format(" and {} more", removal.foreign.size() - kMaxNames);
      std::cout << fmt::format("removed the run's files in {}, {}; the folder stays with what is not the run's: {}\n",
                               path, size_text(removal.bytes), names);
    }
  }
  return 0;
}

}  // namespace

int run_runs(const RunsCommand& command) {
  switch (command.action) {
    case RunsCommand::Action::kList: return list(command);
    case RunsCommand::Action::kRemove: return remove(command);
    case RunsCommand::Action::kCompare: break;
  }
  const std::string &a = command.folders[0], &b = command.folders[1];
  if (command.json) {
    std::cout << comparison_to_json(a, b, real_file_system()).dump(2) << "\n";
  } else {
    std::cout << format_comparison(a, b, real_file_system());
  }
  return 0;
}

}  // namespace gradamp

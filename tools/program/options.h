// SPDX-License-Identifier: MIT
// The program's command line. A setting's value comes from the command line, else from the environment
// (GRADAMP_BATCH_SIZE), else from the file of --config, else it is the default.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <variant>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/tools/settings/settings.h"
#include "gradamp/tools/sweep/sweep.h"

namespace gradamp {

/// The program was called wrongly: exit code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// --help and --version: `text` is all there is to say.
struct ShowText {
  std::string text;
};

/// Settings for a run that has its own, as (name, value): those of the command line and of --config.
struct SettingChanges {
  std::vector<std::pair<std::string, std::string>> changes;

  /// `stored` with the changes, validated.
  RunSettings apply_to(RunSettings stored) const;
};

struct TrainCommand : SettingChanges {
  RunSettings settings;  // validated
  std::string resume;    // a run's folder to resume; `settings` are then not used, and `changes` must change nothing
  std::string branch;    // a run's folder to begin with
  int last_epoch = 0;    // to end after; 0: the strategy's last
  bool quiet = false;
};

struct EvaluateCommand : SettingChanges {
  std::string weights;   // a safetensors file, or:
  std::string run;       // a run's folder, whose checkpoint and settings are taken
  std::string outputs;   // a file for the network's outputs, or empty
  RunSettings settings;  // without a run: validated; with one `changes`
};

struct FetchCommand {
  std::string dataset = "cifar10";
  std::string destination, url, md5;
  bool python = false;
};

struct MakeCommand {
  std::string destination;
  std::uint64_t seed = 1;
  std::int64_t train_images = 50000, test_images = 10000;
};

struct VerifyCommand {
  std::string path;
  std::string dataset = "cifar10";
  std::optional<std::int64_t> train_images, test_images;  // where not given: as official
};

struct SweepCommand {
  std::string file;                      // a sweep's file or a preset's name
  std::vector<SweepOverride> overrides;  // of the command line and the environment
  std::string folder;                    // empty: sweeps/NAME
  int jobs = 1;
  std::vector<std::string> gpus;
  std::optional<int> only;  // a job by its place
  bool dry_run = false, status = false, print = false, quiet = false;
  bool slurm = false;
  std::string sbatch;  // further options of sbatch
};

struct ReportCommand {
  std::vector<std::string> folders;
  std::string destination;  // empty: the first folder's `report`
};

struct InfoCommand {
  int threads = 0;
  bool check = false;           // run the self-check of `device`
  bool settings = false;        // print the page of all settings
  std::string device = "cuda";  // or emulated
};

using Command = std::variant<ShowText, TrainCommand, EvaluateCommand, SweepCommand, ReportCommand, FetchCommand,
                             MakeCommand, VerifyCommand, InfoCommand>;

/// The value of an environment variable, or null.
using Environment = std::function<const char*(const char* name)>;

/// Reads the arguments after the program's name. `columns`: the width of --help. UsageError for what cannot be
/// understood or is out of range; its message is one line.
Command parse_command_line(const std::vector<std::string>& arguments, const Environment& environment,
                           int columns = 100);

}  // namespace gradamp

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
#include "gradamp/tools/emulate/emulate.h"
#include "gradamp/tools/settings/settings.h"
#include "gradamp/tools/sweep/sweep.h"

namespace gradamp {

/// The command line is invalid. The program then exits with code 2.
class UsageError : public Error {
 public:
  using Error::Error;
};

/// The result of --help and --version: print `text`.
struct ShowText {
  std::string text;
};

/// Changes for a run that has stored settings, as (name, value). They come from the command line and --config.
struct SettingChanges {
  std::vector<std::pair<std::string, std::string>> changes;

  /// Returns `stored` with the changes, validated.
  RunSettings apply_to(RunSettings stored) const;
};

/// --slurm and its options, of train and of sweep.
struct SlurmCommand {
  bool slurm = false;
  std::string sbatch;          // further options of sbatch
  std::string slurm_prologue;  // file with commands for the scripts
  int ranks = 1;               // processes of a run
};

struct TrainCommand : SettingChanges, SlurmCommand {
  RunSettings settings;  // validated
  /// Folder of the run to resume, or "last"; `settings` are then unused, and `changes` may only extend the run.
  std::string resume;
  std::string branch;  // folder of the run to branch from
  int last_epoch = 0;  // the run ends after this epoch; 0: the strategy's last
  /// Seconds after which a rank that does not answer the others ends the run (tools/ranks/ranks.h).
  std::int64_t rank_timeout = 60;
  bool quiet = false;
  bool dry_run = false;                // with --slurm: print the script
  std::vector<std::string> arguments;  // as given, after the program's name
};

struct EvaluateCommand : SettingChanges {
  std::string weights;   // a safetensors file; alternative to `run`
  std::string run;       // folder of the run whose checkpoint and settings are used; alternative to `weights`
  bool best = false;     // with `run`: evaluate its best weights by the validation images
  std::string outputs;   // file for the network's outputs, or empty
  RunSettings settings;  // validated; used without `run`, while `changes` are used with it
};

struct PredictCommand : SettingChanges {
  std::string run;                  // folder of the run whose checkpoint and settings are used
  std::vector<std::string> images;  // files; at least one
  bool json = false;
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
  std::optional<std::int64_t> train_images, test_images;  // if not given: the official numbers
};

struct SweepCommand : SlurmCommand {
  std::string file;                      // a sweep's file or a preset's name
  std::vector<SweepOverride> overrides;  // from the command line and the environment
  std::string folder;                    // empty: sweeps/NAME
  int jobs = 1;
  std::vector<std::string> gpus;
  std::optional<int> only;  // index of the only job to run
  bool dry_run = false, status = false, print = false, quiet = false;
  std::optional<int> slurm_throttle;  // the highest number of tasks that run at the same time
  std::vector<std::string> launcher;  // words that begin the command of each run
};

struct ReportCommand {
  std::vector<std::string> folders;
  std::string destination;  // empty: `report` in the first folder
};

struct RunsCommand {
  enum class Action { kList, kCompare, kRemove };
  Action action = Action::kList;
  std::vector<std::string> folders;  // kList: empty means `runs`; kCompare: two runs; kRemove: at least one
  bool json = false, yes = false;
};

struct InfoCommand {
  int threads = 0;
  bool check = false;           // run the self-check of `device`
  bool settings = false;        // print the page of all settings
  std::string device = "cuda";  // "cuda" or "emulated"
};

using Command = std::variant<ShowText, TrainCommand, EvaluateCommand, PredictCommand, SweepCommand, ReportCommand,
                             RunsCommand, FetchCommand, MakeCommand, VerifyCommand, InfoCommand, EmulateOptions>;

/// The value of an environment variable, or null.
using Environment = std::function<const char*(const char* name)>;

/// Parses the arguments after the program's name. `columns` is the width of --help. UsageError with a message of one
/// line if an argument is unknown, malformed or out of range.
Command parse_command_line(const std::vector<std::string>& arguments, const Environment& environment,
                           int columns = 100);

}  // namespace gradamp

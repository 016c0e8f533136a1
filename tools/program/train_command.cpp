// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <ctime>
#include <exception>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include <fmt/chrono.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/program/failure.h"
#include "gradamp/tools/program/signals.h"
#include "gradamp/tools/program/slurm_options.h"
#include "gradamp/tools/ranks/ranks.h"
#include "gradamp/tools/run/cache_folder.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/run/run_extension.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/run/run_list.h"
#include "gradamp/tools/run/training.h"
#include "gradamp/tools/run/training_data.h"
#include "gradamp/tools/settings/setting_table.h"
#include "gradamp/tools/slurm/run_submission.h"

namespace gradamp {

namespace {

/// Makes the paths of files that the run reads absolute.
void make_absolute(RunSettings& settings) {
  for (std::string* const path : {&settings.weights, &settings.data})
    if (!path->empty()) *path = absolute_path(*path).string();
}

}  // namespace

void find_data(RunSettings& settings) {
  make_absolute(settings);
  const DatasetSource& source = dataset_source(settings.dataset);
  if (!source.is_read || !settings.data.empty()) return;
  std::filesystem::path cache;
  std::string no_cache;
  try {
    cache = cache_folder();
  } catch (const Error& error) {
    no_cache = error.what();
  }
  for (const std::string& name : source.cache_folders) {
    if (!no_cache.empty()) break;
    const std::filesystem::path folder = cache / name;
    if (!is_folder(folder)) continue;
    settings.data = folder.string();
    return;
  }
  std::string in_cache;
  if (!source.cache_folders.empty())
    in_cache = no_cache.empty() ? fmt::format(" and {} has none", cache.string()) : " and there is " + no_cache;
  fail("--dataset {}: no --data is given{}; {}give its folder or archive with --data", settings.dataset, in_cache,
       source.how_to_get.empty() ? "" : with_command_name(source.how_to_get, typed_command()) + ", or ");
}

namespace {

/// A new folder runs/NETWORK-DATASET-DATE-TIME. The destructor removes it if it is still empty. Jobs that start in the
/// same second get different folders.
class NewRunFolder {
 public:
  explicit NewRunFolder(const RunSettings& settings) {
    const std::time_t now = std::time(nullptr);
    std::tm local{};
    localtime_r(&now, &local);
    const std::string name = fmt::format("{}-{}-{:%Y%m%d-%H%M%S}", settings.network, settings.dataset, local);
    std::error_code error;
    std::filesystem::create_directories(kRunsFolder, error);
    for (int attempt = 1; !error; ++attempt) {
      path_ = std::filesystem::path(kRunsFolder) / (attempt == 1 ? name : fmt::format("{}-{}", name, attempt));
      if (std::filesystem::create_directory(path_, error)) return;
    }
    fail("the run's folder {} cannot be made: {}; choose another with --run-folder",
         (std::filesystem::path(kRunsFolder) / name).string(), error.message());
  }
  ~NewRunFolder() {
    std::error_code not_empty;
    std::filesystem::remove(path_, not_empty);
    std::filesystem::remove(kRunsFolder, not_empty);
  }
  NewRunFolder(const NewRunFolder&) = delete;
  NewRunFolder& operator=(const NewRunFolder&) = delete;

  std::string path() const { return path_.string(); }

 private:
  std::filesystem::path path_;
};

/// The folder of --resume: "last" is the newest unfinished run, unless a run's folder has that name.
std::string resumed_folder(const std::string& given) {
  if (given != "last" || path_exists(std::filesystem::path(given) / "config.json")) return given;
  std::vector<RunOverview> runs;
  if (path_exists(kRunsFolder)) runs = list_runs(kRunsFolder, real_file_system());
  return newest_unfinished(runs, kRunsFolder).path.string();
}

/// What is given together with --resume: the path of the data ("": none), what is logged, and the settings of the
/// longer run.
struct ResumedSettings {
  std::string data;
  std::optional<std::int64_t> measure_every;
  std::optional<RunSettings> extended;
};

/// UsageError if other settings differ from those of the run. The message names them.
ResumedSettings resumed_settings(const TrainCommand& command, const std::string& folder) {
  if (command.changes.empty()) return {};
  const RunSettings stored = RunFolder::open(folder, real_file_system()).settings();
  // The new phases and the number of epochs are compared with the run's by their plans.
  SettingChanges others;
  std::string strategy;
  int epochs = stored.epochs;
  for (const auto& [name, text] : command.changes) {
    if (name == "strategy" && text != stored.strategy) {
      strategy = text;
    } else if (name == "epochs") {
      RunSettings scratch;
      assign_setting(scratch, *find_setting(name), text);
      if (scratch.epochs != 0) epochs = scratch.epochs;
    } else {
      others.changes.emplace_back(name, text);
    }
  }
  RunSettings given = others.apply_to(stored);
  if (given.device == "auto") given.device = stored.device;  // a run stores resolved values of these
  const bool is_cuda = parse_device(stored.device).kind == DeviceKind::kCuda;
  if (given.convolution == ConvolutionMethod::kAuto && is_cuda) given.convolution = stored.convolution;
  make_absolute(given);
  const std::string differences = describe_differences(stored, given, {SettingKind::kSource, SettingKind::kLogging});
  if (!differences.empty())
    throw UsageError(fmt::format("the run in {} has settings of its own: {}; omit these options, or start a new run",
                                 folder, differences));
  ResumedSettings resumed;
  resumed.data = given.data;
  resumed.measure_every = given.measure_every;
  try {
    if (!strategy.empty() || epochs != stored.epochs) resumed.extended = extended_settings(stored, epochs, strategy);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  return resumed;
}

/// The command as a shell would read it.
std::string command_text(const std::vector<std::string>& arguments) {
  std::string text = typed_command();
  for (const std::string& argument : arguments) text += " " + shell_word(argument);
  return text;
}

/// The first signal that this process received, or else one that another rank received; 0: none. All ranks call it.
int signal_of_ranks(const StopSignals& signals, RankProcess* ranks) {
  if (ranks == nullptr) return signals.received();
  int signal = 0;
  for (const std::string& received : all_gather_texts(*ranks, std::to_string(signals.received())))
    if (signal == 0) signal = std::stoi(received);
  return signal;
}

int train_alone_or_first(const TrainCommand& command, RankProcess* ranks) {
  RunSettings settings = command.settings;
  if (command.resume.empty()) find_data(settings);
  const std::string resumed = command.resume.empty() ? "" : resumed_folder(command.resume);
  const ResumedSettings changed = resumed.empty() ? ResumedSettings() : resumed_settings(command, resumed);
  std::optional<NewRunFolder> new_folder;
  if (command.resume.empty() && settings.run_folder.empty()) settings.run_folder = new_folder.emplace(settings).path();
  const StopSignals signals(kSecondsToStop);
  TrainingOutcome outcome;
  {
    ConsoleOptions options = process_console_options(command.quiet);
    if (ranks != nullptr) options.bar = options.color = false;  // a launcher may pass terminals' output on to a file
    Console console(std::cout, std::cerr, std::move(options));
    TrainingControl control;
    control.stop = &signals.stop();
    control.observer = &console;
    control.last_epoch = command.last_epoch;
    control.data = changed.data;
    control.measure_every = changed.measure_every;
    control.extended = changed.extended;
    control.command = command_text(command.arguments);
    control.ranks = ranks;
    control.local_ranks = ranks != nullptr ? ranks->local_size() : 1;
    control.local_rank = ranks != nullptr ? ranks->local_rank() : 0;
    if (!command.resume.empty()) {
      outcome = resume(resumed, control);
    } else if (!command.branch.empty()) {
      outcome = branch(settings, command.branch, control);
    } else {
      outcome = train(settings, control);
    }
    if (outcome.completed) console.on_finish(outcome);
  }
  const int signal = signal_of_ranks(signals, ranks);
  if (outcome.completed) return 0;
  const std::string go_on =
      "to resume: " + typed_command() + " train --resume " + printable(shell_word(outcome.run_folder.string()));
  if (signal == 0) {
    std::cerr << fmt::format("{}: ended after epoch {} as asked; {}\n", command_name(), outcome.last.epoch, go_on)
              << std::flush;
    return 0;
  }
  std::cerr << fmt::format("{}: stopped by {} in epoch {}; the run is saved, {}\n", command_name(), signal_name(signal),
                           outcome.last.epoch + 1, go_on)
            << std::flush;
  return 128 + signal;
}

/// A rank other than 0, which prints nothing unless it fails.
int train_behind_first(const TrainCommand& command, RankProcess& ranks) {
  const StopSignals signals(kSecondsToStop);
  TrainingControl control;
  control.stop = &signals.stop();
  control.last_epoch = command.last_epoch;
  control.ranks = &ranks;
  control.local_ranks = ranks.local_size();
  control.local_rank = ranks.local_rank();
  train_as_rank(command.resume.empty() ? command.settings : RunSettings(), control);
  signal_of_ranks(signals, &ranks);
  return 0;
}

/// One of several processes. An error of one ends all; rank 0 says what it was, if it can.
int train_as_ranks(const TrainCommand& command) {
  std::unique_ptr<RankProcess> ranks;
  try {
    ranks = connect_ranks(static_cast<double>(command.rank_timeout));
  } catch (const Error&) {
    if (started_ranks().rank == 0) throw;
    throw AlreadyReported{kExitFailure};
  }
  try {
    return ranks->rank() == 0 ? train_alone_or_first(command, ranks.get()) : train_behind_first(command, *ranks);
  } catch (...) {
    Failure failure = failure_of(std::current_exception());
    if (ranks->rank() != 0) {
      ranks->report_failure(failure.message);
      failure.message = ranks->name_of(ranks->rank()) + ": " + failure.message;
    }
    print_failure(failure);
    ranks->abort(failure.exit_code);
    return failure.exit_code;  // never: for compilers that do not see it
  }
}

/// --slurm: submits the run. With --dry-run, prints the script of its job.
int submit_to_slurm(const TrainCommand& command) {
  if (started_ranks().size > 1) fail("--slurm: expected one process, got {}", started_ranks().size);
  if (command.ranks > 1) check_mpi_is_built();
  RunSubmission run{slurm_options(command), command.settings, {}, command.last_epoch, {}};
  find_data(run.settings);
  check_training_data(run.settings);
  std::optional<NewRunFolder> new_folder;
  if (run.settings.run_folder.empty()) run.settings.run_folder = new_folder.emplace(run.settings).path();
  run.settings.run_folder = absolute_path(run.settings.run_folder).string();
  run.settings.epochs = run.settings.resolved_strategy().epochs();
  if (!command.branch.empty()) run.branch = absolute_path(command.branch);
  if (command.rank_timeout != TrainCommand().rank_timeout)
    run.arguments.push_back(fmt::format("--rank-timeout={}", command.rank_timeout));
  if (command.quiet) run.arguments.emplace_back("--quiet");
  if (command.dry_run) {
    check_submission(run);
    std::cout << run_script(run, 0);
  } else {
    submit_run(run);
  }
  return 0;
}

}  // namespace

int run_train(const TrainCommand& command) {
  if (command.slurm) return submit_to_slurm(command);
  return started_ranks().size > 1 ? train_as_ranks(command) : train_alone_or_first(command, nullptr);
}

}  // namespace gradamp

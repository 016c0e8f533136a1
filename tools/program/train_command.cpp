// SPDX-License-Identifier: MIT
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

#include <fmt/chrono.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/program/signals.h"
#include "gradamp/tools/run/cache_folder.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/run/training.h"
#include "gradamp/tools/settings/setting_table.h"

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
       source.how_to_get.empty() ? "" : with_command_name(source.how_to_get) + ", or ");
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
    std::filesystem::create_directories(kRuns, error);
    for (int attempt = 1; !error; ++attempt) {
      path_ = std::filesystem::path(kRuns) / (attempt == 1 ? name : fmt::format("{}-{}", name, attempt));
      if (std::filesystem::create_directory(path_, error)) return;
    }
    fail("the run's folder {} cannot be made: {}; choose another with --run-folder",
         (std::filesystem::path(kRuns) / name).string(), error.message());
  }
  ~NewRunFolder() {
    std::error_code not_empty;
    std::filesystem::remove(path_, not_empty);
    std::filesystem::remove(kRuns, not_empty);
  }
  NewRunFolder(const NewRunFolder&) = delete;
  NewRunFolder& operator=(const NewRunFolder&) = delete;

  std::string path() const { return path_.string(); }

 private:
  static constexpr const char* kRuns = "runs";
  std::filesystem::path path_;
};

/// The settings of the resumed run with those that are given together with --resume: the path of the data and what is
/// logged. Nothing if none is given. UsageError if other settings differ from those of the run. The message names them.
std::optional<RunSettings> check_resumed_settings(const TrainCommand& command) {
  if (command.changes.empty()) return std::nullopt;
  const RunSettings stored = RunFolder::open(command.resume, real_file_system()).settings();
  RunSettings given = command.apply_to(stored);
  if (given.device == "auto") given.device = stored.device;  // a run stores resolved values of these
  if (given.epochs == 0) given.epochs = stored.epochs;
  const bool is_cuda = parse_device(stored.device).kind == DeviceKind::kCuda;
  if (given.convolution == ConvolutionMethod::kAuto && is_cuda) given.convolution = stored.convolution;
  make_absolute(given);
  const std::string differences = describe_differences(stored, given, {SettingKind::kSource, SettingKind::kLogging});
  if (differences.empty()) return given;
  throw UsageError(fmt::format("the run in {} has settings of its own: {}; omit these options, or start a new run",
                               command.resume, differences));
}

/// The command as a shell would read it.
std::string command_text(const std::vector<std::string>& arguments) {
  std::string text = typed_command();
  for (const std::string& argument : arguments) text += " " + shell_word(argument);
  return text;
}

}  // namespace

int run_train(const TrainCommand& command) {
  RunSettings settings = command.settings;
  if (command.resume.empty()) find_data(settings);
  std::optional<RunSettings> resumed;
  if (!command.resume.empty()) resumed = check_resumed_settings(command);
  std::optional<NewRunFolder> new_folder;
  if (command.resume.empty() && settings.run_folder.empty()) settings.run_folder = new_folder.emplace(settings).path();
  const StopSignals signals(kSecondsToStop);
  TrainingOutcome outcome;
  {
    Console console(std::cout, std::cerr, process_console_options(command.quiet));
    TrainingControl control;
    control.stop = &signals.stop();
    control.observer = &console;
    control.last_epoch = command.last_epoch;
    if (resumed) {
      control.data = resumed->data;
      control.measure_every = resumed->measure_every;
    }
    control.command = command_text(command.arguments);
    if (!command.resume.empty()) {
      outcome = resume(command.resume, control);
    } else if (!command.branch.empty()) {
      outcome = branch(settings, command.branch, control);
    } else {
      outcome = train(settings, control);
    }
    if (outcome.completed) console.on_finish(outcome);
  }
  if (outcome.completed) return 0;
  const std::string go_on =
      "to resume: " + command_name() + " train --resume " + printable(shell_word(outcome.run_folder.string()));
  if (signals.received() == 0) {
    std::cerr << fmt::format("{}: ended after epoch {} as asked; {}\n", command_name(), outcome.last.epoch, go_on)
              << std::flush;
    return 0;
  }
  std::cerr << fmt::format("{}: stopped by {} in epoch {}; the run is saved, {}\n", command_name(),
                           signal_name(signals.received()), outcome.last.epoch + 1, go_on)
            << std::flush;
  return 128 + signals.received();
}

}  // namespace gradamp

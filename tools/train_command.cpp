// SPDX-License-Identifier: MIT
#include <array>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <iostream>
#include <optional>
#include <string>
#include <system_error>

#include <fmt/chrono.h>

#include "core/error.h"
#include "tools/commands.h"
#include "tools/console.h"
#include "tools/signals.h"
#include "tools/training.h"

namespace gradamp {

std::filesystem::path cache_folder() {
  // The XDG base directory specification has relative paths ignored.
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache == '/') return std::filesystem::path(cache) / "gradamp";
  const char* home = std::getenv("HOME");
  check(home != nullptr && *home != '\0', "no folder for datasets: expected XDG_CACHE_HOME or HOME in the environment");
  return std::filesystem::path(home) / ".cache" / "gradamp";
}

void find_data(RunSettings& settings) {
  if (!settings.weights.empty()) settings.weights = std::filesystem::absolute(settings.weights).lexically_normal();
  if (settings.dataset == "made") return;
  if (!settings.data.empty()) {
    settings.data = std::filesystem::absolute(settings.data).lexically_normal().string();
    return;
  }
  const bool cifar10 = settings.dataset == "cifar10";
  const std::array<const char*, 2> ten{"cifar-10-batches-bin", "cifar-10-batches-py"};
  const std::array<const char*, 2> hundred{"cifar-100-binary", "cifar-100-python"};
  for (const char* name : cifar10 ? ten : hundred) {
    const std::filesystem::path folder = cache_folder() / name;
    if (!std::filesystem::is_directory(folder)) continue;
    settings.data = folder.string();
    return;
  }
  fail(
      "--dataset {}: no --data is given and {} has none; `gradamp data fetch --dataset {}` downloads it, or give its "
      "folder or archive with --data",
      settings.dataset, cache_folder().string(), cifar10 ? "cifar10" : "cifar100");
}

namespace {

/// A new folder runs/NETWORK-DATASET-DATE-TIME, removed again by the destructor where it stayed empty. Jobs that start
/// in the same second get a folder each.
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

}  // namespace

int run_train(const TrainCommand& command) {
  RunSettings settings = command.settings;
  if (command.resume.empty()) find_data(settings);
  std::optional<NewRunFolder> new_folder;
  if (command.resume.empty() && settings.run_folder.empty()) settings.run_folder = new_folder.emplace(settings).path();
  const StopSignals signals;
  TrainingOutcome outcome;
  {
    Console console(std::cout, std::cerr, process_console_options(command.quiet));
    TrainingControl control;
    control.stop = &signals.stop();
    control.observer = &console;
    control.last_epoch = command.last_epoch;
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
  const std::string go_on = "go on with: gradamp train --resume " + shell_word(outcome.run_folder.string());
  if (signals.received() == 0) {
    std::cerr << fmt::format("gradamp: ended after epoch {} as asked; {}\n", outcome.last.epoch, go_on) << std::flush;
    return 0;
  }
  std::cerr << fmt::format("gradamp: stopped by {} in epoch {}; the run is saved, {}\n",
                           signal_name(signals.received()), outcome.last.epoch + 1, go_on)
            << std::flush;
  return 128 + signals.received();
}

}  // namespace gradamp

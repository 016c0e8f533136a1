// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/training.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include <unistd.h>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/processors.h"
#include "gradamp/core/version.h"
#include "gradamp/data/files/safetensors.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/choices.h"
#include "gradamp/optim/training/rank_exchange.h"
#include "gradamp/optim/training/trainer.h"
#include "gradamp/tools/run/run_backend.h"
#include "gradamp/tools/run/run_checkpoint.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/run/self_check.h"
#include "gradamp/tools/run/training_data.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

constexpr const char* kWeightsFormat = "gradamp weights 1";

FileSystem& file_system_of(const TrainingControl& control) {
  return control.file_system ? *control.file_system : real_file_system();
}

/// The device with this name. "auto" is the GPU if there is one that this build can use, else the CPU.
Device resolve_device(const std::string& name) {
  if (name != "auto") return parse_device(name);
  for (const DeviceStatus& status : device_statuses())
    if (status.device.kind == DeviceKind::kCuda && status.available) return status.device;
  return Device{DeviceKind::kCpu};
}

/// The threads of one of several ranks on this host: OMP_NUM_THREADS, which is per process. Without it, the launcher
/// has given each rank processors of its own, or they share the machine's.
int threads_of_rank(int local_ranks) {
  if (const int threads = threads_from_environment(); threads > 0) return threads;
  const bool has_its_own = std::int64_t{usable_processors()} * local_ranks <= ::sysconf(_SC_NPROCESSORS_CONF);
  return has_its_own ? usable_processors() : std::max(1, usable_processors() / local_ranks);
}

/// The description without the number of threads, which changes no bit.
std::string without_threads(const std::string& description) {
  constexpr std::string_view kThreads = " threads, ";
  const std::size_t end = description.find(kThreads), begin = description.rfind(' ', end == 0 ? 0 : end - 1);
  if (end == std::string::npos || begin == std::string::npos) return description;
  return description.substr(0, begin + 1) + description.substr(end + kThreads.size());
}

}  // namespace

std::unique_ptr<Backend> make_run_backend(const RunSettings& settings, std::vector<std::string>& notes, int local_ranks,
                                          int local_rank) {
  BackendOptions options;
  options.threads = settings.threads;
  if (options.threads == 0 && local_ranks > 1) options.threads = threads_of_rank(local_ranks);
  options.precision = settings.precision;
  options.convolution = settings.convolution;
  const Device device = resolve_device(settings.device);
  if (local_rank > 0) select_gpu_of_rank(device, local_rank);
  for (std::string& note : require_self_check(device, settings.precision)) notes.push_back(std::move(note));
  return make_backend(device, options);
}

std::shared_ptr<Module> make_run_network(Backend& backend, const RunSettings& settings, const DeviceDataset& data,
                                         const StepState& state) {
  const NetworkOptions options{data.classes, static_cast<float>(settings.dropout), state, data.images.shape()[3]};
  std::shared_ptr<Module> network = make_network(settings.network, backend, options);
  try {
    check_image_size(*network, data);
  } catch (const Error& error) {
    fail("--network {} on --dataset {}: {}", settings.network, settings.dataset, error.what());
  }
  return network;
}

namespace {

/// Reads settings.weights. Error if they do not fit the network; if only the head does not, it names --reset-head.
void load_initial_weights(const RunSettings& settings, Module& network, FileSystem& file_system) {
  try {
    load_weights(settings.weights, network, file_system, settings.reset_head ? Head::kKeep : Head::kLoad);
  } catch (const HeadMismatch& error) {
    fail("{}; give weights for these classes, or give --reset-head to start with a new head", error.what());
  }
}

/// Above it, AdamW rarely trains.
constexpr double kMaxAdamWRate = 0.02;

/// "cosine with the peak 0.1 in place of the phases' learning rates, after a warm-up of 5 steps".
std::string schedule_text(const OptimizerOptions& options) {
  std::string text = choice_name(options.schedule);
  if (options.schedule != Schedule::kPhases)
    text += fmt::format(" with the peak {} in place of the phases' learning rates", options.peak_rate);
  if (options.warmup_steps > 0) text += fmt::format(", after a warm-up of {} steps", options.warmup_steps);
  return text;
}

// ---- Ranks: rank 0 decides, and tells the others ----

bool has_ranks(const TrainingControl& control) { return control.ranks != nullptr && control.ranks->size() > 1; }
bool is_first_rank(const TrainingControl& control) { return !has_ranks(control) || control.ranks->rank() == 0; }

constexpr const char* kTrain = "train";
constexpr const char* kNothingToDo = "";
constexpr const char* kNameGpus = "gpus";

/// Error unless the ranks can compute these settings. Rank 0 alone checks it first, so that it is the one to say so.
void check_ranks_fit(const TrainingControl& control, const RunSettings& settings) {
  if (has_ranks(control)) check_ranks(control.ranks->size(), settings.shards);
}

/// By rank 0: kTrain, kNothingToDo, kNameGpus, or the settings of the run as JSON.
void tell_others(const TrainingControl& control, const std::string& what) {
  if (has_ranks(control)) broadcast_text(*control.ranks, what);
}

/// Whether each rank has a GPU of its own. All ranks call it, rank 0 after it has told the others kNameGpus.
bool has_gpu_for_each_rank(const TrainingControl& control) {
  const std::vector<std::string> gpus = all_gather_texts(*control.ranks, gpu_of_rank(control.local_rank));
  const std::set<std::string> different(gpus.begin(), gpus.end());
  return different.size() == gpus.size() && different.count("") == 0;
}

/// The device of a run. Several ranks with "auto" train on GPUs if each has its own, else on the CPU.
Device device_of_run(const std::string& name, const TrainingControl& control) {
  if (name != "auto" || !has_ranks(control)) return resolve_device(name);
  tell_others(control, kNameGpus);
  return Device{has_gpu_for_each_rank(control) ? DeviceKind::kCuda : DeviceKind::kCpu};
}

/// On rank 0, an Error unless the other ranks were started with the settings `given`. Where the data are may differ.
void check_same_settings_given(const TrainingControl& control, const RunSettings& given) {
  if (!has_ranks(control)) return;
  const std::vector<std::string> all = all_gather_texts(*control.ranks, to_json(given).dump());
  if (!is_first_rank(control)) return;
  const RunSettings first = settings_from_json(nlohmann::json::parse(all[0]));
  for (std::size_t r = 1; r < all.size(); ++r) {
    const std::string differences =
        describe_differences(first, settings_from_json(nlohmann::json::parse(all[r])),
                             {SettingKind::kSource, SettingKind::kSpeed, SettingKind::kOutput});
    check(differences.empty(), "{} was started with other settings than {}: {}",
          control.ranks->name_of(static_cast<int>(r)), control.ranks->name_of(0), differences);
  }
}

/// A run in memory: the device, the data, the network and its trainer. It writes the logs of the run's folder.
class Run {
 public:
  /// If `fresh`, reads settings.weights. Otherwise a checkpoint replaces the weights later.
  Run(const RunSettings& settings, const TrainingControl& control, bool fresh)
      : settings_(settings),
        control_(control),
        backend_(make_run_backend(settings, notes_, control.local_ranks, control.local_rank)),
        strategy_(settings.resolved_strategy()) {
    if (settings.convolution == ConvolutionMethod::kAuto) settings_.convolution = backend_->convolution_method();
    auto [data, fingerprint] = load_training_data(*backend_, settings);
    fingerprint_ = std::move(fingerprint);
    const StepState state = make_step_state(*backend_, settings.seed);
    network_ = make_run_network(*backend_, settings, data.train, state);
    initialize(*network_, settings.initialization, settings.seed);
    if (fresh && !settings.weights.empty()) load_initial_weights(settings, *network_, file_system());
    check_ranks_agree();
    trainer_.emplace(*network_, state, std::move(data), options(),
                     is_first_rank(control) ? callbacks() : TrainerCallbacks());
  }

  std::string backend_description() const { return backend_->description(); }
  /// Those that it was given, but for kAuto what the device takes.
  const RunSettings& settings() const { return settings_; }
  /// The facts about this run that config.json stores.
  RunFacts facts() const {
    const TrainingData& data = trainer_->data();
    RunFacts facts;
    facts.command = control_.command;
    facts.normalization = normalization_of(data.test_gather, data.train.images.shape()[3]);
    facts.input = input_facts_of(data.train);
    return facts;
  }
  /// What the images and labels are.
  const std::string& fingerprint() const { return fingerprint_; }
  /// Error if `folder` has the fingerprint of others.
  void check_images(const RunFolder& folder) const {
    check(folder.images().empty() || folder.images() == fingerprint_,
          "{} has other images or labels than those of {}: expected \"{}\", got \"{}\"; name their path with --data",
          settings_.data.empty() ? "the dataset " + settings_.dataset : settings_.data, folder.path().string(),
          folder.images(), fingerprint_);
  }

  std::vector<std::string> description() const {
    const TrainingData& data = trainer_->data();
    std::vector<std::string> lines = {"device    " + backend_->description()};
    lines.insert(lines.end(), notes_.begin(), notes_.end());
    lines.push_back("training  " + data.train.description);
    lines.push_back("testing   " + data.test.description +
                    (data.validation ? "; " + data.validation->description : ""));
    lines.push_back(
        fmt::format("network   {}, {} parameters", settings_.network, trainer_->optimizer().arena().parameter_count()));
    if (settings_.reset_head)
      lines.push_back(
          fmt::format("weights   {}, with a new head: {}", settings_.weights, fmt::join(head_names(*network_), ", ")));
    if (settings_.shards > 1)
      lines.push_back(fmt::format(
          "shards    {} of each batch{}{}", settings_.shards,
          settings_.batch_norm == BatchNormStatistics::kSynchronized ? ", with the batch norms of the whole batch" : "",
          has_ranks(control_) ? fmt::format(", by {} ranks, each with the threads above", control_.ranks->size())
                              : ""));
    lines.push_back(fmt::format("strategy  {} ({} epoch{})", to_string(strategy_), strategy_.epochs(),
                                strategy_.epochs() == 1 ? "" : "s"));
    const OptimizerOptions& optimizer = trainer_->optimizer().options();
    if (has_step_rates(optimizer)) lines.push_back("schedule  " + schedule_text(optimizer));
    if (const std::int64_t every = settings_.measure_every; every > 0)
      lines.push_back(fmt::format("measures  G and G' of every layer, every {}, in measures.jsonl",
                                  every == 1 ? "epoch" : fmt::format("{} epochs", every)));
    for (std::string& warning : strategy_warnings()) lines.push_back(std::move(warning));
    return lines;
  }

  /// The part of a rank other than 0: trains with the others.
  void train_with_rank_0() {
    try {
      trainer_->run(control_.last_epoch);
    } catch (const NotFinite&) {  // rank 0 has found the same, and ends all
    }
  }

  /// Trains to the end or until it is stopped. The logs of `folder` must end at the run's current position.
  TrainingOutcome train(const RunFolder& folder) {
    folder.record_failure("");
    tell_others(control_, kTrain);
    try {
      return train_and_log(folder);
    } catch (const Error& error) {
      folder.record_failure(error.what());
      throw;
    }
  }

  /// Writes the summary of a completed run, and removes what --keep does not keep and the reason of an earlier failure,
  /// which can be of this very summary. It can be repeated after a kill.
  void finish(const RunFolder& folder, const TrainingOutcome& outcome) const {
    const bool only_weights = settings_.keep == KeptFiles::kWeights;
    if (only_weights)
      save_weights(folder.weights(), *network_,
                   {{"format", kWeightsFormat}, {"epoch", std::to_string(position().epoch)}}, file_system());
    folder.write_summary(outcome);
    if (only_weights) folder.discard_checkpoints();
    folder.record_failure("");
  }

  void restore(const std::filesystem::path& checkpoint) {
    const CheckpointFile file(checkpoint, file_system());
    check_same_settings(file, settings_);
    trainer_->load_compared(file);
  }

  /// Restores the state of the trunk's checkpoint as if this run had trained up to it.
  void load_beginning(const std::filesystem::path& checkpoint) {
    const CheckpointFile file(checkpoint, file_system());
    check_beginning(file, settings_);
    trainer_->load_beginning(file);
  }

  /// Writes the logs and the checkpoint that this run would have written by itself up to the trunk's position. Call it
  /// after load_beginning.
  void take_over(const RunFolder& trunk, const RunFolder& folder) {
    folder.copy_epochs(trunk, position().epoch);
    copy_best(trunk, folder);
    save(folder);
    if (settings_.keep == KeptFiles::kAll) folder.keep_epoch(position().epoch, folder.checkpoint());
  }

  const CheckpointPosition& position() const { return trainer_->position(); }
  bool finished() const { return trainer_->finished(); }

 private:
  /// On rank 0, an Error unless all ranks compute the same with the same.
  void check_ranks_agree() const {
    if (!has_ranks(control_)) return;
    const nlohmann::json own = {{"version", GRADAMP_VERSION},
                                {"commit", source_commit()},
                                {"device", without_threads(backend_->description())},
                                {"images and labels", fingerprint_}};
    const std::vector<std::string> all = all_gather_texts(*control_.ranks, own.dump());
    if (!is_first_rank(control_)) return;
    const nlohmann::json first = nlohmann::json::parse(all[0]);
    for (std::size_t r = 1; r < all.size(); ++r) {
      const nlohmann::json other = nlohmann::json::parse(all[r]);
      for (const auto& [name, value] : first.items())
        check(other[name] == value, "{} has another {} than {}: expected '{}', got '{}'",
              control_.ranks->name_of(static_cast<int>(r)), name, control_.ranks->name_of(0), value.get<std::string>(),
              other[name].get<std::string>());
    }
  }

  TrainingOutcome train_and_log(const RunFolder& folder) {
    folder_ = &folder;
    best_accuracy_ = folder.read_outcome().best_validation_accuracy;
    bool whole = false;
    const auto begin = std::chrono::steady_clock::now();
    try {
      whole = trainer_->run(control_.last_epoch);
    } catch (const NotFinite& error) {
      const std::optional<std::filesystem::path> saved = folder.saved_checkpoint();
      fail("{}; nothing was saved since. {}", error.what(),
           saved ? "The last good checkpoint is " + saved->string() : "There is no checkpoint yet");
    }
    if (!whole) save(folder);
    TrainingOutcome outcome = folder.read_outcome();
    if (has_ranks(control_)) {
      outcome.ranks = control_.ranks->size();
      if (settings_.device == to_string(Device{DeviceKind::kCpu}))
        outcome.exchange_share =
            control_.ranks->seconds() / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    outcome.completed = whole && outcome.last.epoch == strategy_.epochs();
    if (outcome.completed) {
      finish(folder, outcome);
    } else {
      folder.write_summary(outcome);
    }
    return outcome;
  }

  FileSystem& file_system() const { return file_system_of(control_); }

  TrainerOptions options() const {
    TrainerOptions options;
    options.batch_size = settings_.batch_size;
    options.shards = settings_.shards;
    options.batch_norm = settings_.batch_norm;
    options.ranks = control_.ranks;
    options.evaluation_batch = settings_.evaluation_batch;
    options.optimizer = settings_.optimizer_options();
    options.loss.label_smoothing = settings_.label_smoothing;
    options.stop = control_.stop;
    options.settings = checkpoint_settings(settings_);
    options.check_device = nullptr;  // make_run_backend has already checked it, and records that in a file
    return options;
  }

  TrainerCallbacks callbacks() {
    TrainerCallbacks callbacks;
    callbacks.on_step = [this](const StepProgress& progress) {
      if (control_.observer) control_.observer->on_step(progress);
    };
    callbacks.on_evaluation = [this](const StepProgress& progress) {
      if (control_.observer) control_.observer->on_evaluation(progress);
    };
    callbacks.on_selection = [this](const SelectionSummary& summary) {
      folder_->append(summary);
      if (control_.observer) control_.observer->on_selection(summary);
    };
    callbacks.on_measure = [this](const MeasureSummary& summary) {
      folder_->append(summary);
      if (control_.observer) control_.observer->on_measure(summary);
    };
    callbacks.on_epoch = [this](const EpochSummary& summary) {
      folder_->append(summary);
      save_best(summary);  // before the checkpoint, after which the epoch is not trained again
      save(*folder_);
      if (settings_.keep == KeptFiles::kAll) folder_->keep_epoch(summary.epoch, folder_->checkpoint());
      if (control_.observer) control_.observer->on_epoch(summary);
    };
    return callbacks;
  }

  void save(const RunFolder& folder) { trainer_->save(folder.checkpoint(), file_system()); }

  /// The largest learning rate of the run.
  double max_rate() const {
    if (settings_.schedule != Schedule::kPhases) return settings_.learning_rate;
    double rate = 0;
    for (const Phase& phase : strategy_.phases) rate = std::max(rate, phase.learning_rate);
    return rate;
  }

  void save_best(const EpochSummary& summary) {
    const std::optional<double>& accuracy = summary.validation_accuracy;
    if (!accuracy || (best_accuracy_ && *accuracy <= *best_accuracy_)) return;
    save_weights(folder_->best_weights(), *network_,
                 {{"format", kWeightsFormat},
                  {"epoch", std::to_string(summary.epoch)},
                  {"validation_accuracy", fmt::format("{}", *accuracy)}},
                 file_system());
    best_accuracy_ = accuracy;
  }

  /// Copies the trunk's best weights, if they are of an epoch that this run shares.
  void copy_best(const RunFolder& trunk, const RunFolder& folder) const {
    const int best_epoch = folder.read_outcome().best_validation_epoch;
    if (best_epoch == 0 || !file_exists(trunk.best_weights(), file_system())) return;
    const std::map<std::string, std::string> metadata =
        read_safetensors(trunk.best_weights(), file_system()).metadata();
    const auto epoch = metadata.find("epoch");
    if (epoch == metadata.end() || epoch->second != std::to_string(best_epoch)) return;
    const std::vector<std::byte> bytes = read_whole_file(trunk.best_weights(), file_system());
    const std::array parts = {std::span<const std::byte>(bytes)};
    write_durably(folder.best_weights(), parts, Keep::kNothing, file_system());
  }

  /// Warnings about an optimizer that does not fit, and about phases whose analysis and selection have no effect.
  std::vector<std::string> strategy_warnings() const {
    std::vector<std::string> warnings;
    const bool adamw = settings_.update_rule == UpdateRule::kAdamW;
    if (adamw && settings_.placement == Placement::kBackprop && settings_.selection != SelectionMethod::kNone)
      warnings.push_back(
          "warning   --placement backprop changes almost nothing with --optimizer adamw, whose update does not depend "
          "on the size of the gradient; --placement update multiplies the update");
    if (adamw && max_rate() > kMaxAdamWRate)
      warnings.push_back(
          fmt::format("warning   the learning rate {} is large for --optimizer adamw, which usually needs about 0.001",
                      max_rate()));
    if (settings_.selection != SelectionMethod::kMeasure) return warnings;
    std::int64_t first = 1;  // of the phase
    bool analyzes = false;
    for (const Phase& phase : strategy_.phases) {
      analyzes = analyzes || phase.amplify;
      if (phase.amplify && phase.end_epoch == first)
        warnings.push_back(fmt::format(
            "warning   the phase of epoch {} amplifies nothing: its first epoch is analyzed, and it has no other{}",
            first,
            strategy_.epochs() < strategy_.least_epochs()
                ? fmt::format("; {} epochs would give it one", strategy_.least_epochs())
                : ""));
      first = std::int64_t{phase.end_epoch} + 1;
    }
    if (analyzes && trainer_->steps_per_epoch() == 1)
      warnings.push_back("warning   an epoch is a single step, after which G and G' are 1 for every layer");
    return warnings;
  }

  RunSettings settings_;
  TrainingControl control_;
  std::vector<std::string> notes_;  // messages of the device's self-check
  std::string fingerprint_;
  std::unique_ptr<Backend> backend_;
  Strategy strategy_;
  std::shared_ptr<Module> network_;
  std::optional<Trainer> trainer_;
  const RunFolder* folder_ = nullptr;    // the folder that train() writes to
  std::optional<double> best_accuracy_;  // on the validation images
};

/// A line about the checkpoint, if it is not the folder's last.
void describe_checkpoint(const std::filesystem::path& used, const RunFolder& folder,
                         std::vector<std::string>& description) {
  if (used == folder.checkpoint()) return;
  description.push_back(fmt::format("warning   {} is missing: continuing from the one before it, {}",
                                    folder.checkpoint().string(), used.filename().string()));
}

void describe_lock(const RunFolder& folder, std::vector<std::string>& description) {
  if (folder.lock_warning()) description.push_back("warning   " + *folder.lock_warning());
}

/// Error if `outputs` cannot be written, or would replace a file of a run or the weights.
void check_outputs(const std::filesystem::path& outputs, const std::filesystem::path& weights) {
  if (outputs.empty()) return;
  check_replaceable(outputs);
  std::error_code ignored;
  check(!std::filesystem::equivalent(outputs, weights, ignored),
        "--outputs {}: that is the file of the weights; give another name", outputs.string());
  const std::filesystem::path folder = outputs.has_parent_path() ? outputs.parent_path() : ".";
  const bool is_of_run = is_run_file(outputs.filename().string()) && !run_files_in(folder, real_file_system()).empty();
  check(!is_of_run, "--outputs {}: that is a file of the run in {}; give another name", outputs.string(),
        folder.string());
}

/// Validates the settings, and fills in those that depend on the machine and the strategy.
RunSettings resolved(const RunSettings& given, const TrainingControl& control) {
  given.validate();
  check(!given.run_folder.empty(), "expected a run folder");
  RunSettings settings = given;
  settings.epochs = given.resolved_strategy().epochs();
  settings.device = to_string(device_of_run(given.device, control));
  return settings;
}

}  // namespace

void train_as_rank(const RunSettings& given, const TrainingControl& control) {
  check_same_settings_given(control, given);
  std::string settings = broadcast_text(*control.ranks, "");
  if (settings == kNameGpus) {
    has_gpu_for_each_rank(control);
    settings = broadcast_text(*control.ranks, "");
  }
  if (settings == kNothingToDo) return;
  Run run(settings_from_json(nlohmann::json::parse(settings)), control, false);
  if (broadcast_text(*control.ranks, "") == kTrain) run.train_with_rank_0();
}

TrainingOutcome train(const RunSettings& given, const TrainingControl& control) {
  check_same_settings_given(control, given);
  const RunSettings settings = resolved(given, control);
  check_ranks_fit(control, settings);
  tell_others(control, to_json(settings).dump());
  Run run(settings, control, true);
  const RunFolder folder = RunFolder::create(run.settings().run_folder, run.settings(), run.backend_description(),
                                             file_system_of(control), 0, run.fingerprint(), run.facts());
  if (control.observer) {
    std::vector<std::string> description = run.description();
    describe_lock(folder, description);
    control.observer->on_start(description);
  }
  return run.train(folder);
}

TrainingOutcome branch(const RunSettings& given, const std::filesystem::path& trunk, const TrainingControl& control) {
  check_same_settings_given(control, given);
  const RunSettings settings = resolved(given, control);
  const RunFolder beginning = RunFolder::open(trunk, file_system_of(control));
  const std::optional<std::filesystem::path> checkpoint = beginning.saved_checkpoint();
  check(checkpoint.has_value(), "{} has no checkpoint to branch from yet", trunk.string());
  check_ranks_fit(control, settings);
  tell_others(control, to_json(settings).dump());
  Run run(settings, control, false);
  check(without_threads(run.backend_description()) == without_threads(beginning.backend_description()),
        "{} began on '{}' and this run is on '{}': expected the same, so that it is the same to the bit",
        trunk.string(), beginning.backend_description(), run.backend_description());
  run.check_images(beginning);
  run.load_beginning(*checkpoint);
  const RunFolder folder =
      RunFolder::create(settings.run_folder, run.settings(), run.backend_description(), file_system_of(control),
                        run.position().epoch, run.fingerprint(), run.facts());
  run.take_over(beginning, folder);
  if (control.observer) {
    std::vector<std::string> description = run.description();
    describe_lock(folder, description);
    describe_checkpoint(*checkpoint, beginning, description);
    description.push_back(fmt::format("branched  after epoch {} of {}", run.position().epoch, trunk.string()));
    control.observer->on_start(description);
  }
  return run.train(folder);
}

TrainingOutcome resume(const std::filesystem::path& run_folder, const TrainingControl& control) {
  check_same_settings_given(control, RunSettings());
  RunFolder folder = RunFolder::open(run_folder, file_system_of(control));
  folder.lock();
  const std::optional<std::filesystem::path> checkpoint = folder.saved_checkpoint();
  const bool is_finished = folder.summarized_epochs() >= folder.settings().epochs;
  if (!checkpoint && is_finished && file_exists(folder.weights(), file_system_of(control))) {
    check(!control.extended,
          "{} has only weights (--keep weights), so the run cannot be extended; start a new run, which "
          "can begin with --weights {}",
          run_folder.string(), folder.weights().string());
    TrainingOutcome outcome = folder.read_outcome();
    outcome.completed = true;
    folder.record_failure("");  // of what came after its last file
    tell_others(control, kNothingToDo);
    return outcome;
  }
  if (!checkpoint) folder.check_unstarted();
  RunSettings settings = folder.settings();
  if (control.extended) {
    settings.epochs = control.extended->epochs;
    settings.strategy = control.extended->strategy;
  }
  if (!control.data.empty()) settings.data = control.data;
  if (control.measure_every) settings.measure_every = *control.measure_every;
  check_ranks_fit(control, settings);
  tell_others(control, to_json(settings).dump());
  Run run(settings, control, !checkpoint);
  run.check_images(folder);
  if (settings.data != folder.settings().data) folder.move_data(settings.data);
  std::vector<std::string> description = run.description();
  if (without_threads(run.backend_description()) != without_threads(folder.backend_description())) {
    description.push_back("warning   the run began on '" + folder.backend_description() +
                          "': from here on it will not be the same to the bit");
  }
  describe_lock(folder, description);
  if (checkpoint) {
    describe_checkpoint(*checkpoint, folder, description);
    run.restore(*checkpoint);
  }
  if (control.extended) {
    description.push_back(fmt::format("extended  from {} to {} epochs", folder.settings().epochs, settings.epochs));
    folder.extend(settings);
  }
  const CheckpointPosition position = run.position();
  description.push_back(fmt::format("resumed   {} epoch {}", position.epoch_finished ? "after" : "in", position.epoch));
  const int finished = position.epoch_finished ? position.epoch : position.epoch - 1;
  // A random selection is made and logged at the start of an epoch. A measured selection is made and logged at its end.
  const std::optional<std::string> warning =
      folder.trim_logs(finished, folder.settings().selection == SelectionMethod::kRandom ? position.epoch : finished);
  if (warning) description.push_back("warning   " + *warning);
  if (checkpoint && position.epoch_finished && position.epoch > 0 && settings.keep == KeptFiles::kAll)
    folder.keep_epoch(position.epoch, *checkpoint);  // the run may have been killed just before
  if (run.finished()) {
    TrainingOutcome outcome = folder.read_outcome();
    outcome.completed = true;
    run.finish(folder, outcome);
    tell_others(control, kNothingToDo);
    return outcome;
  }
  if (settings.measure_every != folder.settings().measure_every) folder.change_measuring(settings.measure_every);
  if (control.observer) control.observer->on_start(description);
  return run.train(folder);
}

Evaluations evaluate(const RunSettings& settings, const std::filesystem::path& weights,
                     const std::filesystem::path& outputs) {
  check_outputs(outputs, weights);
  std::vector<std::string> notes;
  const std::unique_ptr<Backend> backend = make_run_backend(settings, notes);
  const TrainingData data = load_training_data(*backend, settings).data;
  const std::shared_ptr<Module> network =
      make_run_network(*backend, settings, data.train, make_step_state(*backend, 0));
  load_weights(weights, *network, real_file_system());
  const auto evaluator = [&](const DeviceDataset& images) {
    return Evaluator(*network, images, data.test_gather, settings.evaluation_batch);
  };
  Evaluator test = evaluator(data.test);
  Evaluations evaluations{test.run(), std::nullopt, std::move(notes)};
  if (data.validation) evaluations.validation = evaluator(*data.validation).run();
  if (!outputs.empty()) {
    const std::vector<float> values = test.outputs();
    write_safetensors(
        outputs, {{"outputs", DType::kF32, {data.test.count, data.test.classes}, std::as_bytes(std::span(values))}}, {},
        Keep::kNothing, real_file_system());
  }
  return evaluations;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_folder.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <functional>
#include <limits>
#include <random>
#include <set>
#include <string_view>
#include <system_error>
#include <thread>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/numerics.h"
#include "gradamp/core/text.h"
#include "gradamp/core/version.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/tools/run/run_record.h"
#include "gradamp/tools/settings/json_text.h"
#include "gradamp/tools/settings/message_of.h"

namespace gradamp {
namespace {

constexpr const char* kLock = "lock";
constexpr const char* kFailure = "failure.txt";
constexpr std::string_view kEventPrefix = "events.out.tfevents.";

using Json = nlohmann::ordered_json;

Json optional_json(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

void write_text(const std::filesystem::path& path, const std::string& text, FileSystem& file_system) {
  const std::array parts = {std::as_bytes(std::span(text))};
  write_durably(path, parts, Keep::kNothing, file_system);
}

/// The file's text, or nothing if there is no such file.
std::optional<std::string> read_text(const std::filesystem::path& path, FileSystem& file_system) {
  const std::optional<std::vector<std::byte>> bytes = read_if_exists(path, file_system);
  if (!bytes) return std::nullopt;
  return std::string(reinterpret_cast<const char*>(bytes->data()), bytes->size());
}

/// Calls `read` for a part of the file. If it throws, the Error names the file.
template <typename Part, typename Read>
auto read_part(const Part& part, const std::filesystem::path& file, Read read) {
  try {
    return read(part);
  } catch (const std::exception& error) {
    fail("{} is damaged: {}", file.string(), message_of(error));
  }
}

nlohmann::json parsed(const std::string& text, const std::filesystem::path& path) {
  return read_part(text, path, parse_json);
}

/// Calls `use` with each whole line of a log and with the line's JSON. A line without a newline is incomplete, because
/// of a crash, and is left out. Error if a line is damaged.
void for_each_line(const std::filesystem::path& path, const std::string& text,
                   const std::function<void(std::string_view line, const nlohmann::json& value)>& use) {
  std::size_t begin = 0, number = 1;
  for (std::size_t end; (end = text.find('\n', begin)) != std::string::npos; begin = end + 1, ++number) {
    const std::string_view line = std::string_view(text).substr(begin, end - begin);
    nlohmann::json value;
    try {
      value = parse_json(line);
    } catch (const Error& error) {
      fail("{} is damaged in line {}: {}; nothing was changed", path.string(), number, error.what());
    }
    check(value.is_object() && value.contains("epoch") && value["epoch"].is_number_integer() && value["epoch"] >= 0 &&
              value["epoch"] <= std::numeric_limits<int>::max(),
          "{} is damaged in line {}: expected a JSON object with an epoch; nothing was changed", path.string(), number);
    check_schema(value, path);
    use(line, value);
  }
}

std::string new_run_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

EpochSummary read_epoch(const nlohmann::json& line) {
  EpochSummary summary;
  summary.epoch = whole_number<int>(line.at("epoch"));
  summary.epochs = whole_number<int>(line.at("epochs"));
  summary.learning_rate = number_in(line, "learning_rate");
  summary.train_loss = number_in(line, "train_loss");
  summary.train_accuracy = number_in(line, "train_accuracy");
  summary.test_loss = number_in(line, "test_loss");
  summary.test_accuracy = number_in(line, "test_accuracy");
  summary.validation_loss = optional_number_in(line, "validation_loss");
  summary.validation_accuracy = optional_number_in(line, "validation_accuracy");
  summary.seconds = number_in(line, "seconds");
  summary.images_per_second = number_in(line, "images_per_second");
  summary.analyzed = line.at("analyzed");
  summary.amplified = line.at("amplified");
  return summary;
}

LayerReport read_layer(const nlohmann::json& line) {
  const auto measure = [&](const char* field) {
    check(line.contains(field), "it has no '{}'", field);
    return optional_number_in(line, field);
  };
  LayerReport layer;
  layer.name = line.at("layer");
  layer.type = LayerType(line.at("type").get<std::string>());
  layer.count = whole_number<std::int64_t>(line.at("parameters"));
  layer.g = measure("g");
  layer.g_prime = measure("g_prime");
  layer.normalized_g = measure("normalized_g");
  layer.normalized_g_prime = measure("normalized_g_prime");
  layer.selected = line.at("selected");
  layer.factor = static_cast<float>(number_in(line, "factor"));
  return layer;
}

double seconds_since_1970() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

std::vector<Scalar> curves_of(const EpochSummary& summary) {
  std::vector<Scalar> scalars = {
      {"loss/train", summary.train_loss},         {"loss/test", summary.test_loss},
      {"accuracy/train", summary.train_accuracy}, {"accuracy/test", summary.test_accuracy},
      {"learning_rate", summary.learning_rate},   {"images_per_second", summary.images_per_second}};
  if (summary.validation_loss) scalars.push_back({"loss/validation", *summary.validation_loss});
  if (summary.validation_accuracy) scalars.push_back({"accuracy/validation", *summary.validation_accuracy});
  return scalars;
}

MeasuredLayer read_measured_layer(const nlohmann::json& line) {
  MeasuredLayer layer;
  layer.name = line.at("layer");
  layer.type = LayerType(line.at("type").get<std::string>());
  layer.count = whole_number<std::int64_t>(line.at("parameters"));
  layer.g = number_in(line, "g");
  layer.g_prime = number_in(line, "g_prime");
  layer.normalized_g = number_in(line, "normalized_g");
  layer.normalized_g_prime = number_in(line, "normalized_g_prime");
  return layer;
}

std::vector<Scalar> curves_of(const SelectionSummary& summary) {
  std::vector<Scalar> scalars;
  for (const LayerReport& layer : summary.layers) {
    if (layer.g) scalars.push_back({"G/" + layer.name, *layer.g});
    if (layer.g_prime) scalars.push_back({"G_prime/" + layer.name, *layer.g_prime});
    scalars.push_back({"selected/" + layer.name, layer.selected ? 1.0 : 0.0});
  }
  if (summary.noise_floor > 0) scalars.push_back({"noise_floor", summary.noise_floor});
  return scalars;
}

/// One group of curves, which TensorBoard shows after those of accuracy and loss.
std::vector<Scalar> curves_of(const MeasureSummary& summary) {
  std::vector<Scalar> scalars = {{"measured/noise_floor", summary.noise_floor}};
  for (const MeasuredLayer& layer : summary.layers) {
    scalars.push_back({"measured/G/" + layer.name, layer.g});
    scalars.push_back({"measured/G_prime/" + layer.name, layer.g_prime});
  }
  return scalars;
}

}  // namespace

RunFolder::RunFolder(std::filesystem::path path, RunSettings settings, std::string backend_description,
                     std::string run_id, FileSystem& file_system)
    : path_(std::move(path)),
      settings_(std::move(settings)),
      backend_description_(std::move(backend_description)),
      run_id_(std::move(run_id)),
      file_system_(&file_system) {}

namespace {

constexpr std::string_view kEpochPrefix = "checkpoint-epoch-", kEpochSuffix = ".safetensors";

bool is_checkpoint_of_epoch(const std::string& name) {
  if (!name.starts_with(kEpochPrefix) || !name.ends_with(kEpochSuffix)) return false;
  const std::size_t suffix = name.size() - kEpochSuffix.size();
  return suffix > kEpochPrefix.size() && name.find_first_not_of("0123456789", kEpochPrefix.size()) == suffix;
}

}  // namespace

bool is_run_file(const std::string& name) {
  static const std::set<std::string> kNames = {kLock,
                                               "config.json",
                                               "metrics.jsonl",
                                               "layers.jsonl",
                                               "measures.jsonl",
                                               "summary.json",
                                               kFailure,
                                               "weights.safetensors",
                                               "best.safetensors",
                                               "checkpoint.safetensors",
                                               "checkpoint.safetensors.previous"};
  return kNames.contains(name) || name.starts_with(kEventPrefix) || is_checkpoint_of_epoch(name);
}

bool is_made_by_run(const std::string& name) {
  constexpr std::string_view kTemporary = ".gradamp-tmp", kDamaged = "damaged-";
  if (name.ends_with(kTemporary)) return is_run_file(name.substr(0, name.size() - kTemporary.size()));
  if (!name.starts_with(kDamaged)) return is_run_file(name);
  const std::size_t dot = name.find('.');  // damaged-SECONDS.RUN
  return dot != name.npos && name.find_first_not_of("0123456789", kDamaged.size()) == dot &&
         name.find_first_not_of("0123456789abcdef", dot + 1) == name.npos && name.size() == dot + 17;
}

std::vector<std::string> run_files_in(const std::filesystem::path& folder, FileSystem& file_system) {
  std::vector<std::string> names = names_in(folder, file_system);
  std::erase_if(names, [](const std::string& name) { return !is_run_file(name) || name == kLock; });
  return names;
}

RunFolder RunFolder::create(const std::filesystem::path& path, const RunSettings& settings,
                            const std::string& backend_description, FileSystem& file_system, int branched_epochs,
                            const std::string& images, const RunFacts& facts) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  check(!error, "the run's folder {} cannot be made: {}", path.string(), error.message());
  RunFolder folder(path, settings, backend_description, new_run_id(), file_system);
  folder.branched_epochs_ = branched_epochs;
  folder.images_ = images;
  folder.facts_ = with_process_facts(facts);
  folder.lock();
  const std::vector<std::string> present = run_files_in(path, file_system);
  const bool has_config = std::find(present.begin(), present.end(), "config.json") != present.end();
  check(!has_config, "{} already has a run; resume it with --resume {}, or give another --run-folder", path.string(),
        path.string());
  check(present.empty(),
        "{} has files of a run ({}) but no config.json; restore that to resume the run, or give another --run-folder",
        path.string(), fmt::join(present, ", "));
  Json config = {{"schema", kRecordSchema},
                 {"run", folder.run_id_},
                 {"version", GRADAMP_VERSION},
                 {"backend", backend_description},
                 {"numerics", numerics_version(parse_device(settings.device).kind)},
                 {"settings", to_json(settings)},
                 {"kinds", setting_kinds()}};
  if (!images.empty()) config["images"] = images;
  if (branched_epochs > 0) config["branched_epochs"] = branched_epochs;
  write_facts(folder.facts_, config);
  write_text(path / "config.json", record_text(std::move(config), 2) + "\n", file_system);
  return folder;
}

RunFolder RunFolder::open(const std::filesystem::path& path, FileSystem& file_system) {
  const std::filesystem::path config_path = path / "config.json";
  const std::optional<std::string> text = read_text(config_path, file_system);
  check(text.has_value(), "{} holds no run: expected a config.json in it", path.string());
  const nlohmann::json config = parsed(*text, config_path);
  check_schema(config, config_path);
  try {
    RunSettings settings = settings_from_json(config.at("settings"));
    settings.run_folder = path.string();  // the folder may have been moved
    RunFolder folder(path, settings, config.at("backend"), config.at("run"), file_system);
    folder.branched_epochs_ = whole_number<int>(config.value("branched_epochs", nlohmann::json(0)));
    folder.images_ = config.value("images", "");
    folder.facts_ = read_facts(config);
    return folder;
  } catch (const std::exception& error) {
    fail("{} is damaged: {}", config_path.string(), message_of(error));
  }
}

void RunFolder::move_data(const std::string& data) {
  change_settings({{"data", data}});
  settings_.data = data;
}

void RunFolder::change_measuring(std::int64_t measure_every) {
  change_settings({{"measure_every", measure_every}});
  settings_.measure_every = measure_every;
}

/// Writes other values to config.json, and the settings' kinds, which older runs lack if a setting is newer.
void RunFolder::change_settings(const nlohmann::json& values) {
  const std::filesystem::path path = path_ / "config.json";
  const std::optional<std::string> text = read_text(path, *file_system_);
  check(text.has_value(), "{} is missing", path.string());
  Json config = Json::parse(*text);  // open() has read it
  if (!config.contains("kinds")) config["kinds"] = setting_kinds();
  for (const auto& [key, value] : values.items()) {
    config["settings"][key] = value;
    config["kinds"][key] = setting_kinds().at(key);
  }
  write_text(path, config.dump(2) + "\n", *file_system_);
}

void RunFolder::lock() {
  constexpr std::chrono::milliseconds kPause{20};
  lock_ = std::make_shared<FileLock>(path_ / kLock, *file_system_);
  LockState state = lock_->try_acquire();
  for (int retry = 0; state == LockState::kOfOther && retry < 2; ++retry) {  // perhaps only is_locked() in a listing
    std::this_thread::sleep_for(kPause);
    state = lock_->try_acquire();
  }
  switch (state) {
    case LockState::kHeld: break;
    case LockState::kNoLocks: lock_warning_ = lock_->warning(); break;
    case LockState::kOfOther: {
      const std::string holder = lock_->holder();
      fail("{}: {}, is training this run; wait until it ends, or stop it", path_.string(), holder);
    }
  }
}

std::optional<std::filesystem::path> RunFolder::saved_checkpoint() const {
  for (const std::filesystem::path& path : {checkpoint(), previous_of(checkpoint())})
    if (file_exists(path, *file_system_)) return path;
  return std::nullopt;
}

std::filesystem::path RunFolder::checkpoint_of(int epoch) const {
  return path_ / fmt::format("{}{:04}{}", kEpochPrefix, epoch, kEpochSuffix);
}

std::optional<std::filesystem::path> RunFolder::saved_weights() const {
  const std::optional<std::filesystem::path> saved = saved_checkpoint();
  return saved || !file_exists(weights(), *file_system_) ? saved : weights();
}

void RunFolder::keep_epoch(int epoch, const std::filesystem::path& checkpoint) const {
  const std::filesystem::path kept = checkpoint_of(epoch);
  if (file_exists(kept, *file_system_)) return;  // of an epoch that was trained again, with the same bits
  if (file_system_->link(checkpoint.string(), kept.string()) == 0) return;  // a save replaces the other name only
  const std::vector<std::byte> bytes = read_whole_file(checkpoint, *file_system_);  // a file system without links
  const std::array parts = {std::span<const std::byte>(bytes)};
  write_durably(kept, parts, Keep::kNothing, *file_system_);
}

void RunFolder::discard_checkpoints() const {
  for (const std::filesystem::path& path : {previous_of(checkpoint()), checkpoint()})
    remove_durable(path, *file_system_);
}

void RunFolder::check_unstarted() const {
  int last = 0;
  for (const char* name : {"metrics.jsonl", "layers.jsonl", "measures.jsonl"})
    for (const nlohmann::json& line : read_lines(name)) last = std::max(last, line.at("epoch").get<int>());
  const bool has_summary = file_exists(path_ / "summary.json", *file_system_);
  // A run can end without a checkpoint during its first epoch, or while it copies the epochs of another run.
  check(!has_summary && last <= std::max(1, branched_epochs_),
        "{} is missing, and so is {}, although the run has {}; restore one of them, or start a new run in another "
        "folder",
        checkpoint().string(), previous_of(checkpoint()).filename().string(),
        has_summary ? "a summary.json" : fmt::format("logs of {} epochs", last));
}

void RunFolder::discard_unstarted() {
  lock();
  check_unstarted();
  std::vector<std::string> names = run_files_in(path_, *file_system_);
  // config.json last: after a kill in the middle, the folder still has a run that can be discarded.
  std::stable_partition(names.begin(), names.end(), [](const std::string& name) { return name != "config.json"; });
  for (const std::string& name : names) {
    const bool removed = file_system_->unlink((path_ / name).string()) == 0;
    check(removed, "cannot remove {}: {}", (path_ / name).string(), last_cause());
  }
}

void RunFolder::append(const EpochSummary& s) const {
  const Json line = {{"schema", kRecordSchema},
                     {"run", run_id_},
                     {"epoch", s.epoch},
                     {"epochs", s.epochs},
                     {"learning_rate", s.learning_rate},
                     {"train_loss", s.train_loss},
                     {"train_accuracy", s.train_accuracy},
                     {"test_loss", s.test_loss},
                     {"test_accuracy", s.test_accuracy},
                     {"validation_loss", optional_json(s.validation_loss)},
                     {"validation_accuracy", optional_json(s.validation_accuracy)},
                     {"analyzed", s.analyzed},
                     {"amplified", s.amplified},
                     {"seconds", s.seconds},
                     {"images_per_second", s.images_per_second}};
  append_line(path_ / "metrics.jsonl", record_text(line), *file_system_);
  append_events(s.epoch, curves_of(s));
}

void RunFolder::append(const SelectionSummary& summary) const {
  std::vector<std::string> lines;
  for (const LayerReport& layer : summary.layers) {
    const Json line = {{"schema", kRecordSchema},
                       {"run", run_id_},
                       {"epoch", summary.epoch},
                       {"layer", layer.name},
                       {"type", name_of(layer.type)},
                       {"parameters", layer.count},
                       {"g", optional_json(layer.g)},
                       {"g_prime", optional_json(layer.g_prime)},
                       {"normalized_g", optional_json(layer.normalized_g)},
                       {"normalized_g_prime", optional_json(layer.normalized_g_prime)},
                       {"noise_floor", summary.noise_floor},
                       {"selected", layer.selected},
                       {"factor", layer.factor}};
    lines.push_back(record_text(line));
  }
  append_lines(path_ / "layers.jsonl", lines, *file_system_);
  append_events(summary.epoch, curves_of(summary));
}

void RunFolder::append(const MeasureSummary& summary) const {
  std::vector<std::string> lines;
  for (const MeasuredLayer& layer : summary.layers) {
    const Json line = {{"schema", kRecordSchema},
                       {"run", run_id_},
                       {"first_epoch", summary.first_epoch},
                       {"epoch", summary.epoch},
                       {"layer", layer.name},
                       {"type", name_of(layer.type)},
                       {"parameters", layer.count},
                       {"g", layer.g},
                       {"g_prime", layer.g_prime},
                       {"normalized_g", layer.normalized_g},
                       {"normalized_g_prime", layer.normalized_g_prime},
                       {"noise_floor", summary.noise_floor}};
    lines.push_back(record_text(line));
  }
  append_lines(path_ / "measures.jsonl", lines, *file_system_);
  append_events(summary.epoch, curves_of(summary));
}

/// The path of this run's event file, or nothing if there is none yet.
std::optional<std::filesystem::path> RunFolder::event_file() const {
  for (const std::string& name : names_in(path_, *file_system_))
    if (name.starts_with(kEventPrefix) && name.ends_with("." + run_id_)) return path_ / name;
  return std::nullopt;
}

void RunFolder::append_events(int epoch, const std::vector<Scalar>& scalars) const {
  std::optional<std::filesystem::path> file = event_file();
  if (!file) {
    file = path_ / event_file_name(static_cast<std::int64_t>(seconds_since_1970()), run_id_);
    EventFile::create(*file, seconds_since_1970(), *file_system_);
  }
  EventFile::append(*file, epoch, seconds_since_1970(), scalars, *file_system_);
}

void RunFolder::copy_epochs(const RunFolder& other, int last_epoch) const {
  for (const nlohmann::json& line : other.read_lines("metrics.jsonl")) {
    EpochSummary summary = read_part(line, other.path_ / "metrics.jsonl", read_epoch);
    if (summary.epoch > last_epoch) break;
    summary.epochs = settings_.epochs;
    append(summary);
  }
  for (const MeasureSummary& measures : other.read_measures())
    if (measures.epoch <= last_epoch) append(measures);
}

void RunFolder::write_summary(const TrainingOutcome& outcome) const {
  Json selected = Json::array();
  for (const SelectionSummary& selection : outcome.selections) {
    Json names = Json::array();
    for (const LayerReport& layer : selection.layers) {
      if (layer.selected) names.push_back(layer.name);
    }
    selected.push_back({{"epoch", selection.epoch}, {"layers", names}});
  }
  const Json summary = {{"schema", kRecordSchema},
                        {"run", run_id_},
                        {"completed", outcome.completed},
                        {"epochs", outcome.last.epoch},
                        {"test_accuracy", outcome.last.test_accuracy},
                        {"test_loss", outcome.last.test_loss},
                        {"validation_accuracy", optional_json(outcome.last.validation_accuracy)},
                        {"train_accuracy", outcome.last.train_accuracy},
                        {"train_loss", outcome.last.train_loss},
                        {"best_accuracy", outcome.best_accuracy},
                        {"best_epoch", outcome.best_epoch},
                        {"best_validation_accuracy", optional_json(outcome.best_validation_accuracy)},
                        {"best_validation_epoch", outcome.best_validation_epoch},
                        {"seconds", outcome.seconds},
                        {"selections", selected}};
  write_text(path_ / "summary.json", record_text(summary, 2) + "\n", *file_system_);
}

void RunFolder::record_failure(const std::string& reason) const {
  try {
    if (!reason.empty()) return write_text(path_ / kFailure, printable(reason) + "\n", *file_system_);
    remove_durable(path_ / kFailure, *file_system_);
  } catch (const Error&) {
  }
}

std::string RunFolder::read_failure() const {
  const std::string text = read_text(path_ / kFailure, *file_system_).value_or("");
  return text.substr(0, text.find('\n'));
}

void RunFolder::extend(const RunSettings& settings) {
  const std::filesystem::path summary_path = path_ / "summary.json";
  if (const std::optional<std::string> summary = read_text(summary_path, *file_system_)) {
    Json changed = Json::parse(*summary);
    changed["completed"] = false;
    write_text(summary_path, changed.dump(2) + "\n", *file_system_);
  }
  change_settings({{"epochs", settings.epochs}, {"strategy", settings.strategy}});
  settings_.epochs = settings.epochs;
  settings_.strategy = settings.strategy;
}

int RunFolder::summarized_epochs() const {
  const std::filesystem::path path = path_ / "summary.json";
  const std::optional<std::string> text = read_text(path, *file_system_);
  if (!text) return 0;
  const nlohmann::json summary = parsed(*text, path);
  check_schema(summary, path);
  try {
    return whole_number<int>(summary.at("epochs"));
  } catch (const std::exception& error) {
    fail("{} is damaged: {}", path.string(), message_of(error));
  }
}

std::vector<nlohmann::json> RunFolder::read_lines(const char* name) const {
  std::vector<nlohmann::json> lines;
  const std::optional<std::string> text = read_text(path_ / name, *file_system_);
  if (!text) return lines;
  for_each_line(path_ / name, *text, [&](std::string_view, const nlohmann::json& value) { lines.push_back(value); });
  return lines;
}

std::optional<std::string> RunFolder::trim_logs(int last_epoch, int selection_epoch) const {
  const auto trim = [&](const char* name, int last) {
    const std::optional<std::string> text = read_text(path_ / name, *file_system_);
    if (!text) return;
    std::string kept;
    for_each_line(path_ / name, *text, [&](std::string_view line, const nlohmann::json& value) {
      if (value.at("epoch") <= last) kept.append(line) += '\n';
    });
    if (kept != *text) write_text(path_ / name, kept, *file_system_);
  };
  trim("metrics.jsonl", last_epoch);
  trim("layers.jsonl", selection_epoch);
  trim("measures.jsonl", last_epoch);
  std::optional<std::filesystem::path> events = event_file();
  std::optional<std::string> warning;
  try {
    if (events) EventFile::trim(*events, last_epoch, *file_system_);
  } catch (const DamagedEventFile& error) {
    const std::filesystem::path aside = path_ / ("damaged-" + events->filename().string().substr(kEventPrefix.size()));
    const bool renamed = file_system_->rename(events->string(), aside.string()) == 0;
    check(renamed, "cannot rename {} to {}: {}", events->string(), aside.string(), last_cause());
    warning = fmt::format("{}; it is now {}, and its curves were written anew from the other logs", error.what(),
                          aside.filename().string());
    events = std::nullopt;
  }
  if (!events) {
    for (const nlohmann::json& line : read_lines("metrics.jsonl")) {
      const EpochSummary summary = read_part(line, path_ / "metrics.jsonl", read_epoch);
      append_events(summary.epoch, curves_of(summary));
    }
    for (const MeasureSummary& measures : read_measures()) append_events(measures.epoch, curves_of(measures));
  }
  for (const SelectionSummary& selection : read_selections())
    if (!events || selection.epoch > last_epoch) append_events(selection.epoch, curves_of(selection));
  return warning;
}

TrainingOutcome RunFolder::read_outcome() const {
  TrainingOutcome outcome;
  outcome.run_folder = path_;
  for (const nlohmann::json& line : read_lines("metrics.jsonl")) {
    outcome.last = read_part(line, path_ / "metrics.jsonl", read_epoch);
    outcome.seconds += outcome.last.seconds;
    if (outcome.best_epoch == 0 || outcome.last.test_accuracy > outcome.best_accuracy) {
      outcome.best_accuracy = outcome.last.test_accuracy;
      outcome.best_epoch = outcome.last.epoch;
    }
    const std::optional<double>& validation = outcome.last.validation_accuracy;
    if (validation && (!outcome.best_validation_accuracy || *validation > *outcome.best_validation_accuracy)) {
      outcome.best_validation_accuracy = validation;
      outcome.best_validation_epoch = outcome.last.epoch;
    }
  }
  outcome.selections = read_selections();
  return outcome;
}

std::optional<EpochSummary> RunFolder::read_last_epoch() const {
  constexpr std::int64_t kMaxLines = 1 << 14;  // bytes; a line has about 400
  const std::filesystem::path path = path_ / "metrics.jsonl";
  std::optional<FileReader> file = FileReader::if_exists(path, *file_system_);
  if (!file) return std::nullopt;
  const bool is_whole = file->size() <= kMaxLines;
  const std::string text = "\n" + file->read_end(kMaxLines);
  const std::size_t end = text.rfind('\n');  // what is behind it was torn by a crash
  if (end == 0 && is_whole) return std::nullopt;
  const std::size_t begin = end == 0 ? 0 : text.rfind('\n', end - 1);
  check(begin > 0 || is_whole, "{} is damaged: its last line has more than {} bytes", path.string(), kMaxLines);
  const nlohmann::json line = parsed(text.substr(begin + 1, end - begin - 1), path);
  check_schema(line, path);
  return read_part(line, path, read_epoch);
}

std::vector<SelectionSummary> RunFolder::read_selections() const {
  std::vector<SelectionSummary> selections;
  for (const nlohmann::json& line : read_lines("layers.jsonl")) {
    read_part(line, path_ / "layers.jsonl", [&](const nlohmann::json& layer) {
      const int epoch = whole_number<int>(layer.at("epoch"));
      if (selections.empty() || selections.back().epoch != epoch)
        selections.push_back({epoch, number_in(layer, "noise_floor"), {}});
      selections.back().layers.push_back(read_layer(layer));
    });
  }
  return selections;
}

std::vector<MeasureSummary> RunFolder::read_measures() const {
  std::vector<MeasureSummary> windows;
  for (const nlohmann::json& line : read_lines("measures.jsonl")) {
    read_part(line, path_ / "measures.jsonl", [&](const nlohmann::json& layer) {
      const int epoch = whole_number<int>(layer.at("epoch"));
      if (windows.empty() || windows.back().epoch != epoch)
        windows.push_back({whole_number<int>(layer.at("first_epoch")), epoch, number_in(layer, "noise_floor"), {}});
      windows.back().layers.push_back(read_measured_layer(layer));
    });
  }
  return windows;
}

}  // namespace gradamp

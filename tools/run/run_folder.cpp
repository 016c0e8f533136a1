// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_folder.h"

#include <array>
#include <chrono>
#include <cmath>
#include <fstream>
#include <random>
#include <utility>

#include "gradamp/core/numerics.h"
#include "gradamp/core/version.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/tools/settings/json_text.h"
#include "gradamp/tools/settings/message_of.h"

namespace gradamp {
namespace {

constexpr int kSchemaVersion = 1;

using Json = nlohmann::ordered_json;

/// JSON has no infinities and NaNs, so they are written as strings.
Json number(double value) { return std::isfinite(value) ? Json(value) : Json(fmt::format("{}", value)); }

double read_number(const nlohmann::json& value) {
  return value.is_string() ? std::strtod(value.get<std::string>().c_str(), nullptr) : value.get<double>();
}

Json number(const std::optional<double>& value) { return value ? number(*value) : Json(nullptr); }

std::optional<double> read_optional(const nlohmann::json& value) {
  return value.is_null() ? std::nullopt : std::optional(read_number(value));
}

void write_text(const std::filesystem::path& path, const std::string& text, FileSystem& file_system) {
  const std::array parts = {std::as_bytes(std::span(text))};
  write_durably(path, parts, Keep::kNothing, file_system);
}

std::string new_run_id() {
  std::random_device random;
  return fmt::format("{:08x}{:08x}", random(), random());
}

/// An int of a run's file. nlohmann's conversion would cut a larger number.
int int_of(const nlohmann::json& value) {
  const auto number = value.get<std::int64_t>();
  check(value.is_number_integer() && std::in_range<int>(number), "expected a whole number of 32 bits, got {}",
        value_text(value));
  return static_cast<int>(number);
}

/// Calls `read` for a line of the file. If it throws, the Error names the file.
template <typename Line, typename Read>
auto read_line(const Line& line, const std::filesystem::path& file, Read read) {
  try {
    return read(line);
  } catch (const std::exception& error) {
    fail("{} is damaged: {}", file.string(), message_of(error));
  }
}

EpochSummary read_epoch(const nlohmann::json& line) {
  EpochSummary summary;
  summary.epoch = int_of(line.at("epoch"));
  summary.epochs = int_of(line.at("epochs"));
  summary.learning_rate = read_number(line.at("learning_rate"));
  summary.train_loss = read_number(line.at("train_loss"));
  summary.train_accuracy = read_number(line.at("train_accuracy"));
  summary.test_loss = read_number(line.at("test_loss"));
  summary.test_accuracy = read_number(line.at("test_accuracy"));
  summary.validation_loss = read_optional(line.value("validation_loss", nlohmann::json()));
  summary.validation_accuracy = read_optional(line.value("validation_accuracy", nlohmann::json()));
  summary.seconds = read_number(line.at("seconds"));
  summary.images_per_second = read_number(line.at("images_per_second"));
  summary.analyzed = line.at("analyzed");
  summary.amplified = line.at("amplified");
  return summary;
}

LayerReport read_layer(const nlohmann::json& line) {
  LayerReport layer;
  layer.name = line.at("layer");
  layer.type = LayerType(line.at("type").get<std::string>());
  layer.count = line.at("parameters");
  layer.g = read_optional(line.at("g"));
  layer.g_prime = read_optional(line.at("g_prime"));
  layer.normalized_g = read_optional(line.at("normalized_g"));
  layer.normalized_g_prime = read_optional(line.at("normalized_g_prime"));
  layer.selected = line.at("selected");
  layer.factor = line.at("factor");
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

}  // namespace

RunFolder::RunFolder(std::filesystem::path path, RunSettings settings, std::string backend_description,
                     std::string run_id, FileSystem& file_system)
    : path_(std::move(path)),
      settings_(std::move(settings)),
      backend_description_(std::move(backend_description)),
      run_id_(std::move(run_id)),
      file_system_(&file_system) {}

RunFolder RunFolder::create(const std::filesystem::path& path, const RunSettings& settings,
                            const std::string& backend_description, FileSystem& file_system) {
  check(!std::filesystem::exists(path / "config.json"),
        "{} already has a run; resume it with --resume {}, or give another --run-folder", path.string(), path.string());
  std::error_code error;
  std::filesystem::create_directories(path, error);
  check(!error, "the run's folder {} cannot be made: {}", path.string(), error.message());
  RunFolder folder(path, settings, backend_description, new_run_id(), file_system);
  const Json config = {{"schema", kSchemaVersion},
                       {"run", folder.run_id_},
                       {"version", GRADAMP_VERSION},
                       {"backend", backend_description},
                       {"numerics", numerics_version(parse_device(settings.device).kind)},
                       {"settings", to_json(settings)},
                       {"kinds", setting_kinds()}};
  write_text(path / "config.json", config.dump(2) + "\n", file_system);
  return folder;
}

RunFolder RunFolder::open(const std::filesystem::path& path, FileSystem& file_system) {
  const std::filesystem::path config_path = path / "config.json";
  check(std::filesystem::exists(config_path), "{} holds no run: expected a config.json in it", path.string());
  try {
    const auto bytes = read_whole_file(config_path, file_system);
    const auto config = parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    RunSettings settings = settings_from_json(config.at("settings"));
    settings.run_folder = path.string();  // the folder may have been moved
    return {path, settings, config.at("backend"), config.at("run"), file_system};
  } catch (const std::exception& error) {
    fail("{} is damaged: {}", config_path.string(), message_of(error));
  }
}

void RunFolder::append(const EpochSummary& s) const {
  const Json line = {{"schema", kSchemaVersion},
                     {"run", run_id_},
                     {"epoch", s.epoch},
                     {"epochs", s.epochs},
                     {"learning_rate", number(s.learning_rate)},
                     {"train_loss", number(s.train_loss)},
                     {"train_accuracy", number(s.train_accuracy)},
                     {"test_loss", number(s.test_loss)},
                     {"test_accuracy", number(s.test_accuracy)},
                     {"validation_loss", number(s.validation_loss)},
                     {"validation_accuracy", number(s.validation_accuracy)},
                     {"analyzed", s.analyzed},
                     {"amplified", s.amplified},
                     {"seconds", number(s.seconds)},
                     {"images_per_second", number(s.images_per_second)}};
  append_line(path_ / "metrics.jsonl", line.dump(), *file_system_);
  append_events(s.epoch, curves_of(s));
}

void RunFolder::append(const SelectionSummary& summary) const {
  for (const LayerReport& layer : summary.layers) {
    const Json line = {{"schema", kSchemaVersion},
                       {"run", run_id_},
                       {"epoch", summary.epoch},
                       {"layer", layer.name},
                       {"type", name_of(layer.type)},
                       {"parameters", layer.count},
                       {"g", number(layer.g)},
                       {"g_prime", number(layer.g_prime)},
                       {"normalized_g", number(layer.normalized_g)},
                       {"normalized_g_prime", number(layer.normalized_g_prime)},
                       {"noise_floor", number(summary.noise_floor)},
                       {"selected", layer.selected},
                       {"factor", layer.factor}};
    append_line(path_ / "layers.jsonl", line.dump(), *file_system_);
  }
  append_events(summary.epoch, curves_of(summary));
}

/// The path of this run's event file, which may not exist yet.
std::filesystem::path RunFolder::event_file() const {
  for (const auto& entry : std::filesystem::directory_iterator(path_)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("events.out.tfevents.") && name.ends_with("." + run_id_)) return entry.path();
  }
  return path_ / event_file_name(static_cast<std::int64_t>(seconds_since_1970()), run_id_);
}

void RunFolder::append_events(int epoch, const std::vector<Scalar>& scalars) const {
  const std::filesystem::path file = event_file();
  if (!std::filesystem::exists(file)) EventFile::create(file, seconds_since_1970(), *file_system_);
  EventFile::append(file, epoch, seconds_since_1970(), scalars, *file_system_);
}

void RunFolder::copy_epochs(const RunFolder& other, int last_epoch) const {
  for (const nlohmann::json& line : other.read_lines("metrics.jsonl")) {
    EpochSummary summary = read_line(line, other.path_ / "metrics.jsonl", read_epoch);
    if (summary.epoch > last_epoch) break;
    summary.epochs = settings_.epochs;
    append(summary);
  }
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
  const Json summary = {{"schema", kSchemaVersion},
                        {"run", run_id_},
                        {"completed", outcome.completed},
                        {"epochs", outcome.last.epoch},
                        {"test_accuracy", number(outcome.last.test_accuracy)},
                        {"test_loss", number(outcome.last.test_loss)},
                        {"validation_accuracy", number(outcome.last.validation_accuracy)},
                        {"train_accuracy", number(outcome.last.train_accuracy)},
                        {"train_loss", number(outcome.last.train_loss)},
                        {"best_accuracy", number(outcome.best_accuracy)},
                        {"best_epoch", outcome.best_epoch},
                        {"seconds", number(outcome.seconds)},
                        {"selections", selected}};
  write_text(path_ / "summary.json", summary.dump(2) + "\n", *file_system_);
}

int RunFolder::summarized_epochs() const {
  const std::filesystem::path summary = path_ / "summary.json";
  if (!std::filesystem::exists(summary)) return 0;
  try {
    const std::vector<std::byte> bytes = read_whole_file(summary, *file_system_);
    return int_of(parse_json({reinterpret_cast<const char*>(bytes.data()), bytes.size()}).at("epochs"));
  } catch (const std::exception& error) {
    fail("{} is damaged: {}", summary.string(), message_of(error));
  }
}

std::vector<nlohmann::json> RunFolder::read_lines(const char* name) const {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path_ / name);
  for (std::string text; std::getline(file, text);) {
    if (file.eof()) break;  // a line without a newline is incomplete, because of a crash
    try {
      lines.push_back(parse_json(text));
    } catch (const std::exception& error) {
      fail("{} is damaged in line {}: {}", (path_ / name).string(), lines.size() + 1, message_of(error));
    }
  }
  return lines;
}

void RunFolder::trim_logs(int last_epoch, int selection_epoch) const {
  const auto trim = [&](const char* name, int last) {
    if (!std::filesystem::exists(path_ / name)) return;
    std::string kept;
    std::ifstream file(path_ / name);
    for (std::string text; std::getline(file, text) && !file.eof();) {
      const int epoch =
          read_line(text, path_ / name, [](const std::string& line) { return int_of(parse_json(line).at("epoch")); });
      if (epoch <= last) kept += text + "\n";
    }
    write_text(path_ / name, kept, *file_system_);
  };
  trim("metrics.jsonl", last_epoch);
  trim("layers.jsonl", selection_epoch);
  const std::filesystem::path events = event_file();
  if (!std::filesystem::exists(events)) return;
  EventFile::trim(events, last_epoch, *file_system_);
  for (const SelectionSummary& selection : read_selections())
    if (selection.epoch > last_epoch) append_events(selection.epoch, curves_of(selection));
}

TrainingOutcome RunFolder::read_outcome() const {
  TrainingOutcome outcome;
  outcome.run_folder = path_;
  for (const nlohmann::json& line : read_lines("metrics.jsonl")) {
    outcome.last = read_line(line, path_ / "metrics.jsonl", read_epoch);
    outcome.seconds += outcome.last.seconds;
    if (outcome.best_epoch == 0 || outcome.last.test_accuracy > outcome.best_accuracy) {
      outcome.best_accuracy = outcome.last.test_accuracy;
      outcome.best_epoch = outcome.last.epoch;
    }
  }
  outcome.selections = read_selections();
  return outcome;
}

std::vector<SelectionSummary> RunFolder::read_selections() const {
  std::vector<SelectionSummary> selections;
  for (const nlohmann::json& line : read_lines("layers.jsonl")) {
    read_line(line, path_ / "layers.jsonl", [&](const nlohmann::json& layer) {
      const int epoch = int_of(layer.at("epoch"));
      if (selections.empty() || selections.back().epoch != epoch)
        selections.push_back({epoch, read_number(layer.at("noise_floor")), {}});
      selections.back().layers.push_back(read_layer(layer));
    });
  }
  return selections;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/settings.h"

#include <algorithm>
#include <cmath>
#include <type_traits>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/device.h"
#include "gradamp/core/error.h"
#include "gradamp/core/shard.h"
#include "gradamp/core/text.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/choices.h"
#include "gradamp/tools/settings/json_text.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

constexpr int kStepEpochs = 30;

/// Calls `read`. If it throws an Error, prefixes the message with the option.
template <typename Read>
auto for_option(const char* option, Read read) {
  try {
    return read();
  } catch (const Error& error) {
    std::string_view message = error.what();
    const std::string prefix = fmt::format("{}: ", option);
    if (message.starts_with(prefix)) message.remove_prefix(prefix.size());
    fail("--{}: {}", option, message);
  }
}

/// config.json, which is JSON, contains every text.
void check_texts(const RunSettings& settings) {
  for (const Setting& setting : setting_table()) {
    const auto* const member = std::get_if<SettingMember<std::string>>(&setting.member);
    if (member == nullptr) continue;
    const std::string& text = settings.**member;
    check(is_utf8(text), "--{}: expected text in UTF-8, got '{}'", setting.name, shortened(printable(text)));
    check(text.find('\0') == text.npos, "--{}: expected text without the character 0", setting.name);
  }
}

void validate_data(const RunSettings& settings) {
  const std::vector<std::string> datasets = dataset_names();
  check(std::find(datasets.begin(), datasets.end(), current_dataset_name(settings.dataset)) != datasets.end(),
        "--dataset: expected one of {}, got '{}'", fmt::join(datasets, ", "), shortened(settings.dataset));
  check(dataset_source(settings.dataset).is_read || settings.data.empty(),
        "--data: the {} dataset is drawn, not read; choose a --dataset that '{}' holds", settings.dataset,
        shortened(settings.data));
  check(settings.train_images == 0 || settings.validation < settings.train_images,
        "--validation: expected fewer than the {} of --train-images, got {}", settings.train_images,
        settings.validation);
}

void validate_network(const RunSettings& settings) {
  std::vector<std::string> names;
  for (const NetworkInfo& info : networks()) names.push_back(info.name);
  check(std::find(names.begin(), names.end(), settings.network) != names.end(),
        "--network: expected one of {}, got '{}'", fmt::join(names, ", "), shortened(settings.network));
  check(!settings.reset_head || !settings.weights.empty(),
        "--reset-head: expected --weights with it, the file that has all but the head");
}

void validate_training(const RunSettings& settings) {
  for_option("shards", [&] { check_shards(settings.shards, settings.batch_size); });
  check(!settings.nesterov || settings.momentum > 0, "--nesterov: expected a --momentum above 0 with it");
  check(!settings.nesterov || settings.update_rule == UpdateRule::kSgd,
        "--nesterov: --optimizer adamw does not have it");
  const bool phases = settings.schedule == Schedule::kPhases;
  check(settings.warmup_epochs == 0 || phases,
        "--warmup: expected 0 with --schedule {}, got {}; --warmup-steps is a warm-up step by step",
        choice_name(settings.schedule), settings.warmup_epochs);
  check(settings.warmup_epochs == 0 || settings.warmup_steps == 0,
        "--warmup-steps: expected it or --warmup, got {} steps and {} epochs", settings.warmup_steps,
        settings.warmup_epochs);
  check(settings.warmup_steps == 0 || settings.schedule != Schedule::kOneCycle,
        "--warmup-steps: --schedule one-cycle has a warm-up of its own; expected 0, got {}", settings.warmup_steps);
  settings.resolved_strategy();
}

void validate_amplification(const RunSettings& settings) {
  const std::vector<LayerType>& types = settings.random_types;
  check(!types.empty(), "--random-types: expected one of conv, bn, relu, linear at least");
  for (LayerType type : types)
    check(std::count(types.begin(), types.end(), type) == 1, "--random-types: got {} twice", name_of(type));
  if (settings.selection != SelectionMethod::kRandom) return;
  check(settings.placement == Placement::kBackprop ||
            std::find(types.begin(), types.end(), LayerType::kRelu) == types.end(),
        "--random-types: relu has no weights to update; give --placement backprop with it");
  check(settings.reselect_every == 0,
        "--reselect-every: a random selection is made once a phase; expected 0 with --selection random, got {}",
        settings.reselect_every);
}

void validate_run(const RunSettings& settings) {
  if (settings.device != "auto") {
    const Device device = for_option("device", [&] { return parse_device(shortened(settings.device)); });
    check(device.kind != DeviceKind::kCpu || settings.precision != Precision::kTF32,
          "--precision: the device cpu has f32 and bf16, got {}", name_of(settings.precision));
    for_option("conv", [&] { check_method(device.kind, settings.convolution); });
  }
}

/// Whether JSON has a type for a setting of type T. Settings of other types are stored in JSON as their text.
template <typename T>
constexpr bool kJsonHasType =
    std::is_same_v<T, bool> || std::is_integral_v<T> || std::is_floating_point_v<T> || std::is_same_v<T, std::string>;

void read_json(RunSettings& settings, const Setting& setting, const nlohmann::json& value) {
  const auto read = [&]<typename T>(SettingMember<T> member) {
    if constexpr (std::is_same_v<T, bool>) {
      check(value.is_boolean(), "expected true or false, got {}", value_text(value));
      settings.*member = value.get<bool>();
    } else if constexpr (std::is_integral_v<T>) {
      settings.*member = whole_number<T>(value);
    } else if constexpr (std::is_floating_point_v<T>) {
      check(value.is_number(), "expected a number, got {}", value_text(value));
      settings.*member = value.get<T>();
    } else {
      check(value.is_string(), "expected a text, got {}", value_text(value));
      assign_setting(settings, setting, value.get<std::string>());
    }
  };
  std::visit(read, setting.member);
}

/// Error for a single word that names no strategy. Phases, which have colons, are parse_strategy's.
void check_strategy_name(std::string text) {
  std::erase(text, ' ');
  const std::vector<std::string>& names = strategy_names();
  if (text.find(':') != text.npos || std::find(names.begin(), names.end(), text) != names.end()) return;
  const std::string hint = hint_of(text, names, "");
  fail(
      "--strategy: expected {}, or phases end_epoch:learning_rate[:factor] such as '50:0.1, 100:0.1:2, 150:0.01', "
      "got '{}'{}{}",
      fmt::join(names, ", "), shortened(text), hint.empty() ? "" : "; ", hint);
}

}  // namespace

const std::vector<std::string>& strategy_names() {
  static const std::vector<std::string> names = {"step", "params_1", "params_2"};
  return names;
}

void RunSettings::validate() const {
  for (const Setting& setting : setting_table()) check_range(*this, setting);
  check_texts(*this);
  validate_data(*this);
  validate_network(*this);
  validate_training(*this);
  validate_amplification(*this);
  validate_run(*this);
}

Strategy RunSettings::resolved_strategy() const {
  Strategy resolved;
  if (strategy == "step") {
    const int length = epochs == 0 ? kStepEpochs : epochs;
    const int first = std::max(1, static_cast<int>(std::int64_t{length} * 4 / 5));
    resolved.phases.push_back({.end_epoch = first, .learning_rate = learning_rate});
    if (first < length) resolved.phases.push_back({.end_epoch = length, .learning_rate = learning_rate / 10});
  } else {
    check_strategy_name(strategy);
    resolved = for_option("strategy", [&] { return parse_strategy(strategy); });
    if (epochs > 0 && epochs != resolved.epochs()) {
      const int phases = static_cast<int>(resolved.phases.size()), least = resolved.least_epochs();
      check(epochs >= phases, "--epochs: expected at least {}, one for each phase of the strategy{}, got {}", phases,
            least > phases ? fmt::format(" ({} leave each amplifying phase an epoch that is amplified)", least) : "",
            epochs);
      resolved = resolved.scale_to(epochs);
    }
  }
  resolved.reselect_every = reselect_every;
  return resolved;
}

OptimizerOptions RunSettings::optimizer_options() const {
  OptimizerOptions options;
  options.sgd.momentum = static_cast<float>(momentum);
  options.sgd.weight_decay = static_cast<float>(weight_decay);
  options.sgd.nesterov = nesterov;
  options.sgd.granularity = granularity;
  options.strategy = resolved_strategy();
  options.peak_rate = learning_rate;
  options.selection.method = selection;
  options.selection.measure = measure;
  options.selection.selection_case = selection_case;
  options.selection.threshold = threshold;
  options.selection.fraction = random_fraction;
  options.selection.types = random_types;
  options.selection.seed = seed;
  static_cast<OptimizerValues&>(options) = *this;
  return options;
}

int shared_epochs(const RunSettings& a, const RunSettings& b) {
  // Schedule and amplification are compared below, by the plans of the epochs. The output folder has no effect.
  if (settings_key(a, kUnplannedKinds) != settings_key(b, kUnplannedKinds)) return 0;
  if (a.measure_every > 0 && a.granularity != b.granularity) return 0;  // the logs differ from the first epoch on
  const OptimizerOptions first = a.optimizer_options(), second = b.optimizer_options();
  const bool phases = first.schedule == Schedule::kPhases;
  if (first.schedule != second.schedule || first.warmup_steps != second.warmup_steps) return 0;
  if (!phases && (first.peak_rate != second.peak_rate || first.strategy.epochs() != second.strategy.epochs())) return 0;
  std::int64_t epochs = std::min(first.strategy.epochs(), second.strategy.epochs());
  // The shorter run's last epoch ends a measuring window that is still open in the longer run.
  if (a.measure_every > 0 && epochs % a.measure_every != 0 && first.strategy.epochs() != second.strategy.epochs())
    --epochs;
  const auto phase_of = [](const OptimizerOptions& options, const EpochPlan& plan) -> const Phase& {
    return options.strategy.phases[static_cast<std::size_t>(plan.phase)];
  };
  for (std::int64_t epoch = 1; epoch <= epochs;) {
    const EpochPlan x = plan_epoch(first, static_cast<int>(epoch)), y = plan_epoch(second, static_cast<int>(epoch));
    const bool plain = !x.analyzed && !x.amplified && !y.analyzed && !y.amplified;
    if (!plain || x.learning_rate != y.learning_rate) return static_cast<int>(epoch - 1);
    // A phase that begins plain stays plain. If the rates cannot come apart within it, its other epochs are skipped.
    const Phase &p = phase_of(first, x), &q = phase_of(second, y);
    const bool warm = epoch > std::max(first.warmup_epochs, second.warmup_epochs);
    const bool alike =
        (p.learning_rate == q.learning_rate || !phases) && (first.warmup_epochs == second.warmup_epochs || warm);
    epoch = alike ? std::int64_t{std::min(p.end_epoch, q.end_epoch)} + 1 : epoch + 1;
  }
  return static_cast<int>(epochs);
}

nlohmann::json to_json(const RunSettings& settings) {
  nlohmann::json json = nlohmann::json::object();
  for (const Setting& setting : setting_table()) {
    const auto write = [&]<typename T>(SettingMember<T> member) {
      if constexpr (kJsonHasType<T>) {
        json[setting.json_key()] = settings.*member;
      } else {
        json[setting.json_key()] = setting_text(settings, setting);
      }
    };
    std::visit(write, setting.member);
  }
  return json;
}

nlohmann::json setting_kinds() {
  nlohmann::json kinds = nlohmann::json::object();
  for (const Setting& setting : setting_table()) kinds[setting.json_key()] = name_of(setting.kind);
  return kinds;
}

RunSettings settings_from_json(const nlohmann::json& json) {
  check(json.is_object(), "settings: expected an object with a value for every setting, got {}", json.type_name());
  RunSettings settings;
  std::vector<std::string> known;
  for (const Setting& setting : setting_table()) {
    const std::string& key = known.emplace_back(setting.json_key());
    const auto found = json.find(key);
    if (found == json.end() && setting.since != kFirstRelease)
      continue;  // an older file: that release behaved like the default
    check(found != json.end(), "settings: '{}' is missing", key);
    try {
      read_json(settings, setting, *found);
    } catch (const Error& error) {
      fail("settings: {}: {}", key, error.what());
    }
  }
  for (const auto& [key, value] : json.items())
    check(std::find(known.begin(), known.end(), key) != known.end(), "settings: unknown setting '{}'", key);
  return settings;
}

}  // namespace gradamp

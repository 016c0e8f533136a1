// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/settings.h"

#include <cmath>
#include <set>
#include <string>

#include <fmt/ranges.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tests/tools/settings/other_value.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

std::string validation_error(const RunSettings& settings) {
  try {
    settings.validate();
  } catch (const Error& error) {
    return error.what();
  }
  return "(none)";
}

using test::other_value;

/// The error of the default settings after one of them is changed.
std::string error_with(std::string_view name, std::string_view text) {
  RunSettings settings;
  assign_setting(settings, *find_setting(name), text);
  return validation_error(settings);
}

std::string json_error(const nlohmann::json& json) {
  try {
    settings_from_json(json);
  } catch (const Error& error) {
    return error.what();
  }
  return "(none)";
}

/// Settings of which none has its default.
RunSettings unusual_settings() {
  RunSettings s;
  s.dataset = "cifar100-coarse";
  s.data = "/a folder/with \"quotes\" and ümlauts";
  s.partial_data = true;
  s.train_images = 4000000000;
  s.test_images = 77;
  s.validation = 500;
  s.data_seed = 18446744073709551615u;
  s.augment = false;
  s.crop_padding = 3;
  s.flip = false;
  s.network = "vgg19";
  s.initialization = Initialization::kHeNormal;
  s.dropout = 0.1;
  s.weights = "start.safetensors";
  s.epochs = 13;
  s.batch_size = 33;
  s.learning_rate = 0.1 + 0.2;  // not a short decimal
  s.momentum = 1.0 / 3;
  s.nesterov = true;
  s.weight_decay = 1e-300;
  s.strategy = "params_1";
  s.reselect_every = 2;
  s.measure_every = 3;
  s.selection = SelectionMethod::kNone;
  s.measure = kG;
  s.selection_case = SelectionCase::kTwoSided;
  s.threshold = -0.7;
  s.granularity = Granularity::kNeuron;
  s.placement = Placement::kBackprop;
  s.random_fraction = 0.25;
  s.random_types = {LayerType::kRelu, LayerType::kBatchNorm, LayerType::kLinear};
  s.seed = 9007199254740993u;  // no float64
  s.device = "cpu ";
  s.precision = Precision::kBF16;
  s.threads = 3;
  s.run_folder = "runs/x";
  s.evaluation_batch = 11;
  for (const Setting& setting : setting_table()) {  // all settings that were not set above
    if (setting_text(s, setting) == setting_text({}, setting)) assign_setting(s, setting, other_value(setting));
  }
  return s;
}

TEST(Settings, DefaultsAreValid) { EXPECT_EQ(validation_error({}), "(none)"); }

TEST(Settings, JsonRoundTripIsExact) {
  const RunSettings settings = unusual_settings();
  const RunSettings read = settings_from_json(nlohmann::json::parse(to_json(settings).dump()));
  const RunSettings defaults;
  for (const Setting& setting : setting_table()) {
    EXPECT_EQ(setting_text(read, setting), setting_text(settings, setting)) << setting.name;
    EXPECT_NE(setting_text(read, setting), setting_text(defaults, setting)) << setting.name << ": not tested";
  }
  EXPECT_EQ(read.learning_rate, settings.learning_rate);
  EXPECT_EQ(read.momentum, settings.momentum);
  EXPECT_EQ(read.seed, settings.seed);
  EXPECT_EQ(read.random_types, settings.random_types);
}

TEST(Settings, TextRoundTripIsExact) {
  const RunSettings settings = unusual_settings();
  RunSettings read;
  for (const Setting& setting : setting_table()) assign_setting(read, setting, setting_text(settings, setting));
  EXPECT_EQ(to_json(read), to_json(settings));
}

TEST(Settings, JsonHasNaturalTypes) {
  const nlohmann::json json = to_json({});
  EXPECT_EQ(json.at("batch_size"), 128);
  EXPECT_EQ(json.at("augment"), true);
  EXPECT_EQ(json.at("weight_decay"), 5e-4);
  EXPECT_EQ(json.at("measure"), "g-prime");
  EXPECT_EQ(json.at("random_types"), "conv");
  EXPECT_EQ(json.size(), setting_table().size());
}

TEST(Settings, JsonIsReadStrictly) {
  const nlohmann::json good = to_json({});
  nlohmann::json json = good;
  json.erase("momentum");
  EXPECT_EQ(json_error(json), "settings: 'momentum' is missing");
  json = good;
  json["mommentum"] = 0.5;
  EXPECT_EQ(json_error(json), "settings: unknown setting 'mommentum'");
  const auto with = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json changed = good;
    changed[key] = value;
    return json_error(changed);
  };
  EXPECT_EQ(with("epochs", "3"), "settings: epochs: expected a whole number, got \"3\"");
  EXPECT_EQ(with("epochs", 3.5), "settings: epochs: expected a whole number, got 3.5");
  EXPECT_EQ(with("epochs", 3000000000),
            "settings: epochs: expected a whole number from -2147483648 to 2147483647, got 3000000000");
  EXPECT_EQ(with("seed", -1), "settings: seed: expected a whole number from 0 to 18446744073709551615, got -1");
  EXPECT_EQ(with("momentum", nullptr), "settings: momentum: expected a number, got null");
  EXPECT_EQ(with("augment", 1), "settings: augment: expected true or false, got 1");
  EXPECT_EQ(with("case", 1), "settings: case: expected a text, got 1");
  EXPECT_EQ(with("case", "3"), "settings: case: expected one of 1, 2, got '3'");
  EXPECT_EQ(with("precision", "f16"), "settings: precision: expected one of f32, tf32, bf16, got 'f16'");
  EXPECT_EQ(with("momentum", 0), "(none)");  // a whole number is valid for a real setting
  EXPECT_EQ(json_error(nlohmann::json::array()),
            "settings: expected an object with a value for every setting, got array");
}

/// A file of the first release has neither kinds nor later settings.
TEST(Settings, JsonOfTheFirstReleaseIsRead) {
  nlohmann::json json = to_json(unusual_settings());
  for (const Setting& setting : setting_table())
    if (setting.since != kFirstRelease) json.erase(setting.json_key());
  EXPECT_EQ(json.size(), 36u);
  const RunSettings read = settings_from_json(json);
  RunSettings expected = unusual_settings();
  for (const Setting& setting : setting_table())
    if (setting.since != kFirstRelease) assign_setting(expected, setting, setting_text({}, setting));
  EXPECT_EQ(to_json(read), to_json(expected));
}

TEST(Settings, KindsAreWrittenForEverySetting) {
  const nlohmann::json kinds = setting_kinds(), values = to_json({});
  EXPECT_EQ(kinds.size(), values.size());
  for (const auto& [key, value] : values.items()) EXPECT_TRUE(kinds.contains(key)) << key;
  EXPECT_EQ(kinds.at("batch_size"), "training");
  EXPECT_EQ(kinds.at("run_folder"), "output");
  EXPECT_EQ(kinds.at("reselect_every"), "measured");
}

TEST(Settings, DifferencesAreNamedWithBothValues) {
  RunSettings one, other;
  one.selection = other.selection = SelectionMethod::kRandom;
  EXPECT_EQ(describe_differences(one, other), "");
  other.seed = 2;
  other.flip = false;
  other.data = "/a";
  other.threads = 3;
  other.threshold = 7;  // does not affect a random selection
  EXPECT_EQ(describe_differences(one, other),
            "expected --data (empty), --flip, --seed 1, --threads 0, got --data /a, --no-flip, --seed 2, --threads 3");
  EXPECT_EQ(describe_differences(one, other, {SettingKind::kSpeed, SettingKind::kSource}),
            "expected --flip, --seed 1, got --no-flip, --seed 2");
  copy_settings(one, other, {SettingKind::kTraining, SettingKind::kSource});
  EXPECT_EQ(describe_differences(one, other), "expected --threads 0, got --threads 3");
  EXPECT_EQ(settings_key(one, {SettingKind::kTraining}), settings_key(other, {SettingKind::kTraining}));
  EXPECT_NE(settings_key(one, {SettingKind::kSpeed}), settings_key(other, {SettingKind::kSpeed}));
  one.selection = SelectionMethod::kMeasure;
  EXPECT_EQ(describe_differences(one, other, {SettingKind::kSpeed}),
            "expected --selection measure, --threshold 1, got --selection random, --threshold 7");
}

TEST(Settings, ChoicesAreTheUnit) {
  EXPECT_EQ(find_setting("selection")->unit(), "measure|random|none");
  EXPECT_EQ(find_setting("precision")->unit(), "f32|tf32|bf16");
  EXPECT_EQ(find_setting("epochs")->unit(), "EPOCHS");
  EXPECT_EQ(find_setting("flip")->unit(), "");
}

TEST(Settings, NamesAreUniqueAndKebabCase) {
  std::set<std::string_view> names;
  for (const Setting& setting : setting_table()) {
    EXPECT_TRUE(names.insert(setting.name).second) << setting.name;
    EXPECT_EQ(setting.name.find_first_not_of("abcdefghijklmnopqrstuvwxyz0123456789-"), std::string_view::npos)
        << setting.name;
    EXPECT_EQ(find_setting(setting.name)->name, setting.name);
  }
  EXPECT_EQ(find_setting("batch_size"), nullptr);
  EXPECT_EQ(find_setting("batch-size")->json_key(), "batch_size");
  EXPECT_EQ(find_setting("batch-size")->variable(), "GRADAMP_BATCH_SIZE");
}

TEST(Settings, RangeErrorsNameTheOption) {
  EXPECT_EQ(error_with("batch-size", "0"), "--batch-size: expected 1 to 2147483647, got 0");
  EXPECT_EQ(error_with("batch-size", "3000000000"), "--batch-size: expected 1 to 2147483647, got 3000000000");
  EXPECT_EQ(error_with("random-fraction", "0"), "--random-fraction: expected a number in (0, 1], got 0");
  EXPECT_EQ(error_with("learning-rate", "0"), "--learning-rate: expected a number above 0, got 0");
  EXPECT_EQ(error_with("weight-decay", "-1"), "--weight-decay: expected a number of at least 0, got -1");
  EXPECT_EQ(error_with("threshold", "inf"), "--threshold: expected a finite number, got inf");
  EXPECT_EQ(error_with("dataset", "imagenet"),
            fmt::format("--dataset: expected one of {}, got 'imagenet'", fmt::join(dataset_names(), ", ")));
  EXPECT_EQ(error_with("epochs", "-1"), "--epochs: expected at least 0, got -1");
  EXPECT_EQ(error_with("momentum", "1"), "--momentum: expected a number in [0, 1), got 1");
  EXPECT_EQ(error_with("device", "gpu"), "--device: expected a device (cpu, cuda or emulated), got 'gpu'");
  const char* bad[][2] = {{"data", "/somewhere"},     {"train-images", "-1"},   {"test-images", "-1"},
                          {"validation", "-1"},       {"crop-padding", "-1"},   {"crop-padding", "16385"},
                          {"network", "resnet21"},    {"dropout", "1"},         {"dropout", "-0.1"},
                          {"dropout", "nan"},         {"learning-rate", "0"},   {"learning-rate", "inf"},
                          {"momentum", "-0.1"},       {"momentum", "nan"},      {"weight-decay", "-1"},
                          {"weight-decay", "inf"},    {"strategy", "params_3"}, {"strategy", "5:0.1, 3:0.1"},
                          {"reselect-every", "-1"},   {"threshold", "nan"},     {"random-fraction", "0"},
                          {"random-fraction", "1.5"}, {"threads", "-1"},        {"random-types", "conv,conv"},
                          {"evaluation-batch", "0"},  {"shards", "0"},          {"shards", "3"},
                          {"cutout", "-1"},           {"cutout", "16385"},      {"label-smoothing", "1"},
                          {"label-smoothing", "-0.1"}};
  for (const auto& [name, text] : bad) {
    const std::string error = error_with(name, text);
    EXPECT_EQ(error.rfind(std::string("--") + name + ": ", 0), 0u) << name << " " << text << " gave " << error;
    EXPECT_EQ(error.find('\n'), std::string::npos);
  }
}

TEST(Settings, NumbersOutsideTheirRangeAreRefused) {
  int checked = 0;
  const auto expect_refused = [&](const Setting& setting, double value) {
    const std::string text = fmt::format("{}", value);
    EXPECT_EQ(error_with(setting.name, text),
              fmt::format("--{}: expected {}, got {}", setting.name, setting.range_text(), text));
    ++checked;
  };
  for (const Setting& setting : setting_table()) {
    if (std::isfinite(setting.range.min))
      expect_refused(setting, setting.range.excludes_min ? setting.range.min : setting.range.min - 1);
    if (std::isfinite(setting.range.max) && setting.range.max < 1e9)
      expect_refused(setting, setting.range.excludes_max ? setting.range.max : setting.range.max + 1);
  }
  EXPECT_GE(checked, 18);
}

TEST(Settings, CombinationsThatDoNotGoTogether) {
  RunSettings settings;
  settings.train_images = 100;
  settings.validation = 100;
  EXPECT_EQ(validation_error(settings), "--validation: expected fewer than the 100 of --train-images, got 100");
  settings = {};
  settings.nesterov = true;
  settings.momentum = 0;
  EXPECT_EQ(validation_error(settings), "--nesterov: expected a --momentum above 0 with it");
  settings = {};
  settings.reset_head = true;
  EXPECT_EQ(validation_error(settings), "--reset-head: expected --weights with it, the file that has all but the head");
  settings.weights = "start.safetensors";
  EXPECT_EQ(validation_error(settings), "(none)");
  settings = {};
  settings.strategy = "params_1";
  settings.epochs = 3;
  EXPECT_EQ(
      validation_error(settings),
      "--epochs: expected at least 4, one for each phase of the strategy (6 leave each amplifying phase an epoch that "
      "is amplified), got 3");
  settings = {};
  settings.strategy = "params1";
  EXPECT_EQ(
      validation_error(settings),
      "--strategy: expected step, params_1, params_2, or phases end_epoch:learning_rate[:factor] such as '50:0.1, "
      "100:0.1:2, 150:0.01', got 'params1'; did you mean 'params_1'?");
  settings.strategy = "often";
  EXPECT_THAT(validation_error(settings), testing::EndsWith("got 'often'"));
  settings.strategy = " params_1 ";
  EXPECT_EQ(validation_error(settings), "(none)");
  settings = {};
  settings.update_rule = UpdateRule::kAdamW;
  EXPECT_EQ(validation_error(settings), "(none)");
  settings.nesterov = true;
  EXPECT_EQ(validation_error(settings), "--nesterov: --optimizer adamw does not have it");
  settings = {};
  settings.schedule = Schedule::kCosine;
  settings.warmup_steps = 100;
  EXPECT_EQ(validation_error(settings), "(none)");
  settings.warmup_epochs = 2;
  EXPECT_EQ(validation_error(settings),
            "--warmup: expected 0 with --schedule cosine, got 2; --warmup-steps is a warm-up step by step");
  settings.schedule = Schedule::kPhases;
  EXPECT_EQ(validation_error(settings), "--warmup-steps: expected it or --warmup, got 100 steps and 2 epochs");
  settings.warmup_epochs = 0;
  EXPECT_EQ(validation_error(settings), "(none)");
  settings.schedule = Schedule::kOneCycle;
  EXPECT_EQ(validation_error(settings),
            "--warmup-steps: --schedule one-cycle has a warm-up of its own; expected 0, got 100");
  settings = {};
  settings.selection = SelectionMethod::kRandom;
  settings.random_types = {LayerType::kRelu};
  EXPECT_NE(validation_error(settings).find("--placement backprop"), std::string::npos);
  settings.placement = Placement::kBackprop;
  EXPECT_EQ(validation_error(settings), "(none)");
  settings.reselect_every = 2;
  EXPECT_EQ(validation_error(settings).rfind("--reselect-every: ", 0), 0u);
}

TEST(Settings, StepStrategyDividesTheRateForTheLastFifth) {
  RunSettings settings;
  settings.learning_rate = 0.2;
  settings.epochs = 10;
  EXPECT_EQ(settings.resolved_strategy(), (Strategy{{{8, 0.2, false, 1}, {10, 0.02, false, 1}}}));
  settings.epochs = 0;
  EXPECT_EQ(settings.resolved_strategy().epochs(), 30);
  EXPECT_EQ(settings.resolved_strategy().phases.front().end_epoch, 24);
  settings.epochs = 1;
  EXPECT_EQ(settings.resolved_strategy(), (Strategy{{{1, 0.2, false, 1}}}));
  settings.epochs = 2;
  EXPECT_EQ(settings.resolved_strategy(), (Strategy{{{1, 0.2, false, 1}, {2, 0.02, false, 1}}}));
}

TEST(Settings, PresetsScaleToTheEpochs) {
  RunSettings settings;
  settings.strategy = "params_1";
  settings.reselect_every = 5;
  Strategy expected = params_1();
  expected.reselect_every = 5;
  EXPECT_EQ(settings.resolved_strategy(), expected);
  settings.epochs = 30;
  EXPECT_EQ(settings.resolved_strategy(),
            (Strategy{{{10, 0.1, false, 1}, {20, 0.1, true, 2}, {26, 0.01, true, 2}, {30, 0.01, false, 1}}, 5}));
}

TEST(Settings, OptimizerOptionsCarryEverySetting) {
  const RunSettings settings = unusual_settings();
  const OptimizerOptions options = settings.optimizer_options();
  EXPECT_EQ(options.sgd.momentum, static_cast<float>(settings.momentum));
  EXPECT_EQ(options.sgd.weight_decay, static_cast<float>(settings.weight_decay));
  EXPECT_TRUE(options.sgd.nesterov);
  EXPECT_EQ(options.sgd.granularity, Granularity::kNeuron);
  EXPECT_EQ(options.strategy, settings.resolved_strategy());
  EXPECT_EQ(options.selection.method, SelectionMethod::kNone);
  EXPECT_EQ(options.selection.measure, kG);
  EXPECT_EQ(options.selection.selection_case, SelectionCase::kTwoSided);
  EXPECT_EQ(options.selection.threshold, settings.threshold);
  EXPECT_EQ(options.selection.fraction, settings.random_fraction);
  EXPECT_EQ(options.selection.types, settings.random_types);
  EXPECT_EQ(options.selection.seed, settings.seed);
  EXPECT_EQ(options.placement, Placement::kBackprop);
  EXPECT_EQ(options.schedule, Schedule::kCosine);
  EXPECT_EQ(options.warmup_steps, settings.warmup_steps);
  EXPECT_EQ(options.peak_rate, settings.learning_rate);
  EXPECT_EQ(options.update_rule, UpdateRule::kAdamW);
  EXPECT_EQ(options.beta1, settings.beta1);
  EXPECT_EQ(options.beta2, settings.beta2);
  EXPECT_EQ(options.epsilon, settings.epsilon);
  EXPECT_FALSE(options.decay_norm_bias);
  EXPECT_EQ(options.clip_norm, settings.clip_norm);
}

TEST(Settings, RunsShareTheirEpochsBeforeTheFirstAmplification) {
  RunSettings a;
  a.strategy = "params_1";
  RunSettings b = a;
  EXPECT_EQ(shared_epochs(a, b), 50);
  b.measure = kG;
  b.selection_case = SelectionCase::kTwoSided;
  b.threshold = 2.5;
  b.granularity = Granularity::kNeuron;
  b.run_folder = "elsewhere";
  EXPECT_EQ(shared_epochs(a, b), 50);
  b.selection = SelectionMethod::kRandom;
  b.placement = Placement::kBackprop;
  EXPECT_EQ(shared_epochs(a, b), 50);
  a.selection = SelectionMethod::kNone;
  EXPECT_EQ(shared_epochs(a, b), 50);
  b = a;
  EXPECT_EQ(shared_epochs(a, b), 150);  // neither ever amplifies
  b.strategy = "30:0.1, 150:0.01:2";
  EXPECT_EQ(shared_epochs(a, b), 30);
  b.strategy = "150:0.2";
  EXPECT_EQ(shared_epochs(a, b), 0);
  for (const Setting& setting : setting_table()) {
    if (setting.is_one_of({SettingKind::kSchedule, SettingKind::kAmplification, SettingKind::kMeasured,
                           SettingKind::kRandom, SettingKind::kOutput}))
      continue;
    RunSettings other = a;
    assign_setting(other, setting, setting_text(unusual_settings(), setting));
    EXPECT_LT(shared_epochs(a, other), 150) << setting.name;
  }
}

TEST(Settings, RunsWithASchedulePerStepShareEpochsOnlyIfItIsTheSame) {
  RunSettings a;
  a.strategy = "params_1";
  a.schedule = Schedule::kCosine;
  RunSettings b = a;
  b.strategy = "50:7, 100:8:2, 130:9:2, 150:1";  // the rates of the phases are not used
  EXPECT_EQ(shared_epochs(a, b), 50);
  b.strategy = "30:7, 150:8:2";
  EXPECT_EQ(shared_epochs(a, b), 30);
  b.strategy = "50:7, 151:8:2";
  EXPECT_EQ(shared_epochs(a, b), 0) << "of another length";
  b = a;
  b.learning_rate = 0.2;
  EXPECT_EQ(shared_epochs(a, b), 0);
  b = a;
  b.schedule = Schedule::kPhases;
  EXPECT_EQ(shared_epochs(a, b), 0);
  b = a;
  b.warmup_steps = 3;
  EXPECT_EQ(shared_epochs(a, b), 0);
  a.schedule = b.schedule = Schedule::kPhases;
  EXPECT_EQ(shared_epochs(a, b), 0);
  a.warmup_steps = 3;
  EXPECT_EQ(shared_epochs(a, b), 50);
}

TEST(Settings, ARunOfAnEarlierReleaseHasThePhasesSchedule) {
  nlohmann::json json = to_json({});
  for (const Setting& setting : setting_table())
    if (setting.since != kFirstRelease) json.erase(setting.json_key());
  const RunSettings settings = settings_from_json(json);
  EXPECT_EQ(settings.schedule, Schedule::kPhases);
  EXPECT_EQ(settings.warmup_steps, 0);
  EXPECT_EQ(to_json(settings), to_json({}));
}

TEST(Settings, RunsThatLogOtherMeasuresShareNoEpochs) {
  RunSettings a;
  a.strategy = "4:0.1, 10:0.1:2";
  a.measure_every = 3;
  RunSettings b = a;
  b.selection = SelectionMethod::kNone;
  EXPECT_EQ(shared_epochs(a, b), 4);  // inside a window
  b.measure_every = 0;
  EXPECT_EQ(shared_epochs(a, b), 0);
  b = a;
  b.granularity = Granularity::kNeuron;
  EXPECT_EQ(shared_epochs(a, b), 0);
  a.measure_every = b.measure_every = 0;
  EXPECT_EQ(shared_epochs(a, b), 4);
  // The window of epochs 4 to 6 ends with the shorter run.
  a.strategy = "4:0.1";
  b.strategy = "8:0.1";
  b.granularity = a.granularity;
  EXPECT_EQ(shared_epochs(a, b), 4);
  a.measure_every = b.measure_every = 3;
  EXPECT_EQ(shared_epochs(a, b), 3);
  a.measure_every = b.measure_every = 2;
  EXPECT_EQ(shared_epochs(a, b), 4);
}

}  // namespace
}  // namespace gradamp

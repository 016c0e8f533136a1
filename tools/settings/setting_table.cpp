// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/setting_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <numeric>
#include <type_traits>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/shard.h"
#include "gradamp/core/text.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/optim/choices.h"

namespace gradamp {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// A number as TOML can have it in the form that std::from_chars reads: without + and without _ between digits, and 0x,
/// 0o and 0b in decimal. Another text is returned unchanged.
std::string plain_number(const std::string& text) {
  constexpr std::pair<std::string_view, int> kBases[] = {{"0x", 16}, {"0o", 8}, {"0b", 2}};
  std::string digits;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool between = i > 0 && i + 1 < text.size() && std::isxdigit(static_cast<unsigned char>(text[i - 1])) != 0 &&
                         std::isxdigit(static_cast<unsigned char>(text[i + 1])) != 0;
    if (text[i] != '_' || !between) digits += text[i];
  }
  if (digits.starts_with('+') && digits.size() > 1 && (is_digit(digits[1]) || digits[1] == '.')) digits.erase(0, 1);
  for (const auto& [prefix, base] : kBases) {
    if (!digits.starts_with(prefix)) continue;
    std::uint64_t value = 0;
    const char *const begin = digits.data() + prefix.size(), *const end = digits.data() + digits.size();
    const auto [stop, error] = std::from_chars(begin, end, value, base);
    return stop == end && error == std::errc() ? fmt::format("{}", value) : text;
  }
  const bool number =
      digits.find_first_not_of("0123456789+-.eE") == digits.npos && std::any_of(digits.begin(), digits.end(), is_digit);
  return number ? digits : text;
}

template <typename T>
void read_value(T& value, std::string_view given) {
  if constexpr (std::is_enum_v<T>) {
    value = choice_of<T>(given);
  } else {
    const std::string text = plain_number(std::string(given));
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = end == text.data() + text.size() && !text.empty();
    const char* kind = std::is_floating_point_v<T> ? "a number" : "a whole number";
    if (whole && error == std::errc::result_out_of_range) {
      if constexpr (std::is_floating_point_v<T>)
        fail("expected a number that float64 can hold, got {}", shortened(given));
      else
        fail("expected a whole number from {} to {}, got {}", std::numeric_limits<T>::min(),
             std::numeric_limits<T>::max(), shortened(given));
    }
    check(whole && error == std::errc(), "expected {}, got '{}'", kind, shortened(given));
  }
}

void read_value(bool& value, std::string_view text) {
  constexpr std::array<std::string_view, 4> kTrue{"true", "on", "yes", "1"}, kFalse{"false", "off", "no", "0"};
  value = std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end();
  check(value || std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end(), "expected true or false, got '{}'",
        shortened(text));
}

void read_value(std::string& value, std::string_view text) { value = text; }

void read_value(std::vector<LayerType>& value, std::string_view text) {
  std::vector<LayerType> types;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    std::string_view word = text.substr(begin, end - begin);
    word.remove_prefix(std::min(word.find_first_not_of(' '), word.size()));
    word = word.substr(0, word.find_last_not_of(' ') + 1);
    types.emplace_back(word);
    begin = end + 1;
  }
  value = std::move(types);
}

template <typename T>
std::string text_of(const T& value) {
  if constexpr (std::is_enum_v<T>) {
    return choice_name(value);
  } else {
    return fmt::format("{}", value);
  }
}

std::string text_of(const std::vector<LayerType>& types) {
  std::string text;
  for (LayerType type : types) {
    if (!text.empty()) text += ',';
    text += name_of(type);
  }
  return text;
}

constexpr double kUnlimited = std::numeric_limits<double>::infinity();
constexpr SettingRange kAtLeast0{0, kUnlimited}, kAtLeast1{1, kUnlimited};
constexpr SettingRange kAbove0{.min = 0, .max = kUnlimited, .excludes_min = true};
constexpr SettingRange kBelow1{.min = 0, .max = 1, .excludes_max = true};
constexpr SettingRange kFraction{.min = 0, .max = 1, .excludes_min = true};
constexpr double kMaxBatch = std::numeric_limits<std::int32_t>::max(), kMaxThreads = 1024;

// clang-format off
const std::array kTable{
    Setting{"dataset", "Data", SettingKind::kImages, "NAME", "what to train on",
            &RunSettings::dataset},
    Setting{"data", "Data", SettingKind::kSource, "PATH", "folder or archive of CIFAR; without it, where `{program} data fetch` puts it",
            &RunSettings::data},
    Setting{"partial-data", "Data", SettingKind::kImages, "", "accept a part of CIFAR: without some of data_batch_2 to 5, with shortened files, or with some of the classes",
            &RunSettings::partial_data},
    Setting{"train-images", "Data", SettingKind::kImages, "IMAGES", "use only the first N training images; 0: all (synthetic: 10000)",
            &RunSettings::train_images, kAtLeast0},
    Setting{"test-images", "Data", SettingKind::kImages, "IMAGES", "use only the first N test images; 0: all (synthetic: 2000)",
            &RunSettings::test_images, kAtLeast0},
    Setting{"validation", "Data", SettingKind::kImages, "IMAGES",
            "hold out the last N training images, and evaluate on them as well",
            &RunSettings::validation, kAtLeast0},
    Setting{"data-seed", "Data", SettingKind::kImages, "NUMBER", "seed of the synthetic dataset", &RunSettings::data_seed},
    Setting{"augment", "Data", SettingKind::kTraining, "", "crop and flip the training images at random", &RunSettings::augment},
    Setting{"crop-padding", "Data", SettingKind::kTraining, "PIXELS", "zero pixels added on each side before a random crop", &RunSettings::crop_padding, {0, kMaxImageExtent}},
    Setting{"flip", "Data", SettingKind::kTraining, "", "flip half of the augmented images horizontally", &RunSettings::flip},
    Setting{"cutout", "Data", SettingKind::kTraining, "PIXELS", "side of a square at a random position that becomes the mean in each training image, with or without --augment; 0: none",
            &RunSettings::cutout, {0, kMaxImageExtent}, "0.2.0"},

    Setting{"network", "Network", SettingKind::kModel, "NAME", "network to train; `{program} info` lists all", &RunSettings::network},
    Setting{"init", "Network", SettingKind::kTraining, "", "distribution of the initial weights",
            &RunSettings::initialization},
    Setting{"dropout", "Network", SettingKind::kTraining, "PROBABILITY", "probability of a zero before the classifier", &RunSettings::dropout, kBelow1},
    Setting{"weights", "Network", SettingKind::kTraining, "FILE", "safetensors file with the initial weights; without it, they are drawn from the seed",
            &RunSettings::weights},
    Setting{"reset-head", "Network", SettingKind::kTraining, "", "draw the last linear layer from the seed although there are weights, whose head may be for another number of classes",
            &RunSettings::reset_head, {}, "0.2.0"},

    Setting{"epochs", "Training", SettingKind::kSchedule, "EPOCHS", "length of the run; phases are scaled to it; 0: the strategy's own (step: 30)",
            &RunSettings::epochs, kAtLeast0},
    Setting{"batch-size", "Training", SettingKind::kTraining, "IMAGES", "images in a step", &RunSettings::batch_size, {1, kMaxBatch}},
    Setting{"shards", "Training", SettingKind::kTraining, "NUMBER", "parts of each batch, a power of two, whose gradients are summed; the processes that mpirun or srun starts share them",
            &RunSettings::shards, {1, kMaxShards}, "0.2.0"},
    Setting{"batch-norm", "Training", SettingKind::kTraining, "", "statistics of batch norms in training, with --shards: each shard's own, or those of the whole batch",
            &RunSettings::batch_norm, {}, "0.2.0"},
    Setting{"learning-rate", "Training", SettingKind::kSchedule, "RATE", "learning rate of the strategy step, other strategies have their own; with another --schedule than phases its peak",
            &RunSettings::learning_rate, kAbove0},
    Setting{"schedule", "Training", SettingKind::kSchedule, "", "learning rate: the one of the strategy's phases; or per step, along a half cosine from --learning-rate to 0 over the run, or one cycle up to it and down (PyTorch's CosineAnnealingLR and OneCycleLR); phases still amplify",
            &RunSettings::schedule, {}, "0.2.0"},
    Setting{"warmup", "Training", SettingKind::kSchedule, "EPOCHS", "increase the learning rate linearly, epoch by epoch, up to the strategy's; 0: no warm-up",
            &RunSettings::warmup_epochs, kAtLeast0, "0.2.0"},
    Setting{"warmup-steps", "Training", SettingKind::kSchedule, "STEPS", "the same step by step, over the run's first N steps; also with --schedule cosine; 0: no warm-up",
            &RunSettings::warmup_steps, kAtLeast0, "0.2.0"},
    Setting{"optimizer", "Training", SettingKind::kTraining, "", "SGD with momentum, or AdamW, which usually needs a learning rate of about 0.001; a layer's factor multiplies its gradient in SGD, its update in AdamW",
            &RunSettings::update_rule, {}, "0.2.0"},
    Setting{"momentum", "Training", SettingKind::kTraining, "NUMBER", "momentum of SGD", &RunSettings::momentum, kBelow1},
    Setting{"nesterov", "Training", SettingKind::kTraining, "", "use Nesterov momentum", &RunSettings::nesterov},
    Setting{"beta1", "Training", SettingKind::kTraining, "NUMBER", "AdamW: how much of the mean gradient a step keeps", &RunSettings::beta1, kBelow1, "0.2.0"},
    Setting{"beta2", "Training", SettingKind::kTraining, "NUMBER", "AdamW: how much of the mean squared gradient a step keeps", &RunSettings::beta2, kBelow1, "0.2.0"},
    Setting{"epsilon", "Training", SettingKind::kTraining, "NUMBER", "AdamW: added to the root of the mean squared gradient", &RunSettings::epsilon, {1e-30, kUnlimited}, "0.2.0"},
    Setting{"weight-decay", "Training", SettingKind::kTraining, "NUMBER", "added to the gradient (AdamW: to the update), times the weight; never amplified",
            &RunSettings::weight_decay, kAtLeast0},
    Setting{"decay-norm-bias", "Training", SettingKind::kTraining, "", "weight decay also of batch norms and of all biases", &RunSettings::decay_norm_bias, {}, "0.2.0"},
    Setting{"clip-norm", "Training", SettingKind::kTraining, "NORM", "largest norm of all gradients together, larger ones are scaled down to it before they are amplified; 0: no clipping",
            &RunSettings::clip_norm, kAtLeast0, "0.2.0"},
    Setting{"label-smoothing", "Training", SettingKind::kTraining, "NUMBER",
            "share of the target that all classes divide equally, in the training loss; test and validation losses stay plain cross-entropy",
            &RunSettings::label_smoothing, kBelow1, "0.2.0"},
    Setting{"strategy", "Training", SettingKind::kSchedule, "PHASES",
            "step (the learning rate, a tenth of it for the last fifth, no amplification), params_1, params_2, or phases "
            "END_EPOCH:LEARNING_RATE[:FACTOR] such as '3:0.1, 10:0.1:2, 12:0.01'; those with a factor amplify",
            &RunSettings::strategy},
    Setting{"reselect-every", "Training", SettingKind::kMeasured, "EPOCHS", "select again after every N epochs of a phase; 0: once per phase",
            &RunSettings::reselect_every, kAtLeast0},

    Setting{"selection", "Amplification", SettingKind::kAmplification, "", "how layers are selected in amplifying phases",
            &RunSettings::selection},
    Setting{"measure", "Amplification", SettingKind::kMeasured, "", "how to measure the steadiness of a layer's gradients",
            &RunSettings::measure},
    Setting{"case", "Amplification", SettingKind::kMeasured, "",
            "select layers whose normalized measure (1) or its absolute value (2) is above the threshold",
            &RunSettings::selection_case},
    Setting{"threshold", "Amplification", SettingKind::kMeasured, "DEVIATIONS", "threshold of the normalized measure", &RunSettings::threshold},
    Setting{"granularity", "Amplification", SettingKind::kMeasured, "", "sum gradients per weight or per neuron",
            &RunSettings::granularity},
    Setting{"placement", "Amplification", SettingKind::kAmplification, "",
            "amplify a layer's update, or the gradient that flows back through it", &RunSettings::placement},
    Setting{"random-fraction", "Amplification", SettingKind::kRandom, "FRACTION", "share of the layers of these types that is drawn, for --selection random",
            &RunSettings::random_fraction, kFraction},
    Setting{"random-types", "Amplification", SettingKind::kRandom, "TYPE,...", "conv, bn, relu (with --placement backprop) and linear",
            &RunSettings::random_types},
    Setting{"measure-every", "Amplification", SettingKind::kLogging, "EPOCHS",
            "log G and G' of every layer over windows of N epochs, with or without amplification; 0: only at selections",
            &RunSettings::measure_every, kAtLeast0, "0.2.0"},

    Setting{"seed", "Run", SettingKind::kTraining, "NUMBER", "seed of initial weights, order, augmentation, cutout, dropout and random selection",
            &RunSettings::seed},
    Setting{"device", "Run", SettingKind::kDevice, "NAME",
            "cpu, cuda, emulated (the CUDA kernels on the CPU, slowly), or auto: cuda if there is a GPU, else cpu",
            &RunSettings::device},
    Setting{"precision", "Run", SettingKind::kModel, "",
            "precision of convolutions and, for bf16, of activations; the device cpu has f32 and bf16", &RunSettings::precision},
    Setting{"conv", "Run", SettingKind::kDevice, "",
            "algorithm of convolutions; the devices cuda and emulated have naive, mma and, for bf16, hopper (compute capability 9.0 only), the device cpu direct and winograd", &RunSettings::convolution, {}, "0.2.0"},
    Setting{"threads", "Run", SettingKind::kSpeed, "THREADS", "CPU threads; 0: OMP_NUM_THREADS, else the processors that affinity and CPU quota allow", &RunSettings::threads, {0, kMaxThreads}},
    Setting{"run-folder", "Run", SettingKind::kOutput, "FOLDER", "folder for the run's files; without it, runs/NETWORK-DATASET-DATE-TIME",
            &RunSettings::run_folder},
    Setting{"keep", "Run", SettingKind::kOutput, "",
            "what stays in the run's folder: last: the last checkpoint and the one before; all: also that of every epoch; "
            "weights: of a finished run only the weights, so that it cannot be extended",
            &RunSettings::keep, {}, "0.2.0"},
    Setting{"evaluation-batch", "Run", SettingKind::kSpeed, "IMAGES", "images evaluated at once; affects only speed and memory",
            &RunSettings::evaluation_batch, kAtLeast1},
};
// clang-format on

/// The path with the home folder in place of ~, as shells do it at the beginning of a word.
std::string with_home(std::string_view path) {
  if (path != "~" && !path.starts_with("~/")) return std::string(path);
  const char* const home = std::getenv("HOME");
  check(home != nullptr && *home != '\0', "~ is the home folder: expected HOME in the environment");
  return home + std::string(path.substr(1));
}

/// The number of insertions, deletions, replacements and swaps of neighbors that turn `a` into `b`.
std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::vector<std::size_t>> distance(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) distance[i][0] = i;
  for (std::size_t j = 0; j <= b.size(); ++j) distance[0][j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = distance[i - 1][j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      distance[i][j] = std::min({distance[i - 1][j] + 1, distance[i][j - 1] + 1, replaced});
      if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
        distance[i][j] = std::min(distance[i][j], distance[i - 2][j - 2] + 1);
    }
  }
  return distance[a.size()][b.size()];
}

}  // namespace

std::string_view name_of(SettingKind kind) {
  switch (kind) {
    case SettingKind::kImages: return "images";
    case SettingKind::kSource: return "source";
    case SettingKind::kModel: return "model";
    case SettingKind::kTraining: return "training";
    case SettingKind::kSchedule: return "schedule";
    case SettingKind::kAmplification: return "amplification";
    case SettingKind::kMeasured: return "measured";
    case SettingKind::kRandom: return "random";
    case SettingKind::kDevice: return "device";
    case SettingKind::kSpeed: return "speed";
    case SettingKind::kOutput: return "output";
    case SettingKind::kLogging: return "logging";
  }
  fail("expected a kind of setting, got {}", static_cast<int>(kind));
}

bool SettingRange::contains(double value) const {
  if (!std::isfinite(value)) return false;
  return (excludes_min ? value > min : value >= min) && (excludes_max ? value < max : value <= max);
}

bool Setting::is_number() const {
  return std::visit([]<typename T>(SettingMember<T>) { return std::is_arithmetic_v<T> && !std::is_same_v<T, bool>; },
                    member);
}

bool Setting::is_one_of(SettingKinds kinds) const { return std::find(kinds.begin(), kinds.end(), kind) != kinds.end(); }

std::string Setting::json_key() const {
  std::string key(name);
  std::replace(key.begin(), key.end(), '-', '_');
  return key;
}

std::string Setting::variable() const {
  std::string variable = "GRADAMP_" + json_key();
  for (char& c : variable)
    if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
  return variable;
}

std::string Setting::unit() const {
  return std::visit(
      [&]<typename T>(SettingMember<T>) {
        if constexpr (std::is_enum_v<T>) return choice_names<T>("|");
        return std::string(unit_name);
      },
      member);
}

std::string Setting::range_text() const {
  if (!is_number()) return "";
  const bool real = std::holds_alternative<SettingMember<double>>(member);
  const bool has_min = std::isfinite(range.min), has_max = std::isfinite(range.max);
  if (!has_min && !has_max) return real ? "a finite number" : "";
  if (!real) return has_max ? fmt::format("{} to {:.0f}", range.min, range.max) : fmt::format("at least {}", range.min);
  if (!has_max) return fmt::format("a number {} {}", range.excludes_min ? "above" : "of at least", range.min);
  return fmt::format("a number in {}{}, {}{}", range.excludes_min ? '(' : '[', range.min, range.max,
                     range.excludes_max ? ')' : ']');
}

std::span<const Setting> setting_table() { return kTable; }

const Setting* find_setting(std::string_view name) {
  const auto found = std::find_if(kTable.begin(), kTable.end(), [&](const Setting& s) { return s.name == name; });
  return found == kTable.end() ? nullptr : &*found;
}

std::string setting_text(const RunSettings& settings, const Setting& setting) {
  return std::visit([&](auto member) { return text_of(settings.*member); }, setting.member);
}

std::vector<std::string> setting_arguments(const RunSettings& settings) {
  const RunSettings defaults;
  std::vector<std::string> arguments;
  for (const Setting& setting : setting_table()) {
    const std::string text = setting_text(settings, setting);
    if (text == setting_text(defaults, setting)) continue;
    const std::string name(setting.name);
    arguments.push_back(setting.is_switch() ? (text == "true" ? "--" : "--no-") + name : "--" + name + "=" + text);
  }
  return arguments;
}

void assign_setting(RunSettings& settings, const Setting& setting, std::string_view text) {
  const bool is_path = setting.unit_name == "PATH" || setting.unit_name == "FILE" || setting.unit_name == "FOLDER";
  const std::string value = is_path ? with_home(text) : std::string(text);
  std::visit([&](auto member) { read_value(settings.*member, value); }, setting.member);
  settings.dataset = current_dataset_name(settings.dataset);  // also in files of earlier releases
}

void check_range(const RunSettings& settings, const Setting& setting) {
  const auto check_number = [&]<typename T>(SettingMember<T> at) {
    if constexpr (std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
      check(setting.range.contains(static_cast<double>(settings.*at)), "--{}: expected {}, got {}", setting.name,
            setting.range_text(), settings.*at);
  };
  std::visit(check_number, setting.member);
}

void copy_settings(const RunSettings& from, RunSettings& to, SettingKinds kinds) {
  for (const Setting& setting : kTable)
    if (setting.is_one_of(kinds)) std::visit([&](auto at) { to.*at = from.*at; }, setting.member);
}

std::string settings_key(const RunSettings& settings, SettingKinds kinds) {
  std::string key;
  for (const Setting& setting : kTable)
    if (setting.is_one_of(kinds)) {
      const std::string text = setting_text(settings, setting);
      key += fmt::format("{}:{}\n", text.size(), text);  // with its length, since a text can have any character
    }
  return key;
}

bool makes_difference(SettingKind kind, SelectionMethod method) {
  switch (kind) {
    case SettingKind::kAmplification: return method != SelectionMethod::kNone;
    case SettingKind::kMeasured: return method == SelectionMethod::kMeasure;
    case SettingKind::kRandom: return method == SelectionMethod::kRandom;
    default: return true;
  }
}

std::string describe_differences(const RunSettings& expected, const RunSettings& got, SettingKinds except) {
  const auto option = [](const Setting& setting, const std::string& value) {
    if (setting.is_switch()) return fmt::format("--{}{}", value == "true" ? "" : "no-", setting.name);
    return fmt::format("--{} {}", setting.name, value.empty() ? "(empty)" : value);
  };
  std::vector<std::string> before, now;
  for (const Setting& setting : kTable) {
    const std::string one = setting_text(expected, setting), other = setting_text(got, setting);
    if (one == other || setting.is_one_of(except)) continue;
    if (!makes_difference(setting.kind, expected.selection) && !makes_difference(setting.kind, got.selection)) continue;
    before.push_back(option(setting, one));
    now.push_back(option(setting, other));
  }
  if (before.empty()) return "";
  return fmt::format("expected {}, got {}", fmt::join(before, ", "), fmt::join(now, ", "));
}

std::string nearest_word(std::string_view word, std::span<const std::string> candidates) {
  std::string nearest;
  constexpr std::size_t kMaxWord = 100;  // a longer word is no misspelling, and the distance takes quadratic time
  if (word.size() > kMaxWord) return nearest;
  std::size_t least = std::max<std::size_t>(2, word.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const std::size_t distance = edit_distance(word, candidate);
    if (distance < least) {
      least = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string hint_of(std::string_view word, std::span<const std::string> candidates, const std::string& otherwise) {
  const std::string near = nearest_word(word, candidates);
  return near.empty() ? otherwise : fmt::format("did you mean '{}'?", near);
}

std::string_view setting_called(std::string_view word) {
  struct OtherName {
    std::string_view other, name;
  };
  static constexpr OtherName kOtherNames[] = {{"lr", "learning-rate"}, {"wd", "weight-decay"}, {"bs", "batch-size"},
                                              {"batch", "batch-size"}, {"arch", "network"},    {"model", "network"},
                                              {"net", "network"},      {"optim", "optimizer"}, {"dtype", "precision"},
                                              {"gpu", "device"},       {"workers", "threads"}, {"output", "run-folder"},
                                              {"factor", "strategy"},  {"phases", "strategy"}};
  for (const auto& [other, name] : kOtherNames)
    if (word == other) return name;
  return {};
}

std::string setting_hint(std::string_view word) {
  if (const std::string_view name = setting_called(word); !name.empty()) return fmt::format("did you mean '{}'?", name);
  std::vector<std::string> names;
  for (const Setting& setting : kTable) names.emplace_back(setting.name);
  return hint_of(word, names, fmt::format("`{} train --help` lists them", typed_command()));
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/setting_table.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <limits>
#include <numeric>
#include <type_traits>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

template <typename T>
struct Choice {
  std::string_view name;
  T value;
};

template <typename T>
constexpr std::array<Choice<T>, 0> kChoices{};
template <>
constexpr std::array kChoices<Initialization>{Choice<Initialization>{"pytorch", Initialization::kPyTorch},
                                              Choice<Initialization>{"he-normal", Initialization::kHeNormal}};
template <>
constexpr std::array kChoices<SelectionMethod>{Choice<SelectionMethod>{"measure", SelectionMethod::kMeasure},
                                               Choice<SelectionMethod>{"random", SelectionMethod::kRandom},
                                               Choice<SelectionMethod>{"none", SelectionMethod::kNone}};
template <>
constexpr std::array kChoices<LayerMeasure>{Choice<LayerMeasure>{"g", kG}, Choice<LayerMeasure>{"g-prime", kGPrime}};
template <>
constexpr std::array kChoices<SelectionCase>{Choice<SelectionCase>{"1", SelectionCase::kOneSided},
                                             Choice<SelectionCase>{"2", SelectionCase::kTwoSided}};
template <>
constexpr std::array kChoices<Granularity>{Choice<Granularity>{"weight", Granularity::kWeight},
                                           Choice<Granularity>{"neuron", Granularity::kNeuron}};
template <>
constexpr std::array kChoices<Placement>{Choice<Placement>{"update", Placement::kUpdate},
                                         Choice<Placement>{"backprop", Placement::kBackprop}};
template <>
constexpr std::array kChoices<Precision>{Choice<Precision>{"f32", Precision::kF32},
                                         Choice<Precision>{"tf32", Precision::kTF32},
                                         Choice<Precision>{"bf16", Precision::kBF16}};

template <typename T>
void read_value(T& value, std::string_view text) {
  if constexpr (std::is_enum_v<T>) {
    const auto found = std::find_if(kChoices<T>.begin(), kChoices<T>.end(),
                                    [&](const Choice<T>& choice) { return choice.name == text; });
    if (found == kChoices<T>.end()) {
      std::string names;
      for (const Choice<T>& choice : kChoices<T>) names += (names.empty() ? "" : ", ") + std::string(choice.name);
      fail("expected one of {}, got '{}'", names, text);
    }
    value = found->value;
  } else {
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = end == text.data() + text.size() && !text.empty();
    const char* kind = std::is_floating_point_v<T> ? "a number" : "a whole number";
    if (whole && error == std::errc::result_out_of_range) {
      if constexpr (std::is_floating_point_v<T>)
        fail("expected a number that float64 can hold, got {}", text);
      else
        fail("expected a whole number from {} to {}, got {}", std::numeric_limits<T>::min(),
             std::numeric_limits<T>::max(), text);
    }
    check(whole && error == std::errc(), "expected {}, got '{}'", kind, text);
  }
}

void read_value(bool& value, std::string_view text) {
  constexpr std::array<std::string_view, 4> kTrue{"true", "on", "yes", "1"}, kFalse{"false", "off", "no", "0"};
  value = std::find(kTrue.begin(), kTrue.end(), text) != kTrue.end();
  check(value || std::find(kFalse.begin(), kFalse.end(), text) != kFalse.end(), "expected true or false, got '{}'",
        text);
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
    for (const Choice<T>& choice : kChoices<T>)
      if (choice.value == value) return std::string(choice.name);
    fail("a setting has a value without a name: {}", static_cast<int>(value));
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

// clang-format off
const std::array kTable{
    Setting{"dataset", "Data", "NAME", "what to train on: made (drawn by the program), cifar10, cifar100 or cifar100-coarse",
            &RunSettings::dataset},
    Setting{"data", "Data", "PATH", "folder or archive of CIFAR; without it, where `gradamp data fetch` puts it",
            &RunSettings::data},
    Setting{"partial-data", "Data", "", "train on a part of CIFAR: CIFAR-10 without some of data_batch_2 to 5, CIFAR-100 with fewer records",
            &RunSettings::partial_data},
    Setting{"train-images", "Data", "IMAGES", "train on the first so many; 0: all (made: 10000)",
            &RunSettings::train_images},
    Setting{"test-images", "Data", "IMAGES", "test on the first so many; 0: all (made: 2000)",
            &RunSettings::test_images},
    Setting{"validation", "Data", "IMAGES",
            "hold so many back from the end of the training images and evaluate on them as well",
            &RunSettings::validation},
    Setting{"data-seed", "Data", "NUMBER", "of the made dataset", &RunSettings::data_seed},
    Setting{"augment", "Data", "", "crop and flip the training images at random", &RunSettings::augment},
    Setting{"crop-padding", "Data", "PIXELS", "zeros around an image that is cropped", &RunSettings::crop_padding},
    Setting{"flip", "Data", "", "flip half of the augmented images left to right", &RunSettings::flip},

    Setting{"network", "Network", "NAME", "what to train; `gradamp info` lists the networks", &RunSettings::network},
    Setting{"init", "Network", "pytorch|he-normal", "distribution of the initial weights",
            &RunSettings::initialization},
    Setting{"dropout", "Network", "PROBABILITY", "of a zero before the classifier", &RunSettings::dropout},
    Setting{"weights", "Network", "FILE", "safetensors file to start from; without it, drawn from the seed",
            &RunSettings::weights},

    Setting{"epochs", "Training", "EPOCHS", "length of the run; phases are scaled to it; 0: the strategy's own (step: 30)",
            &RunSettings::epochs},
    Setting{"batch-size", "Training", "IMAGES", "images in a step", &RunSettings::batch_size},
    Setting{"learning-rate", "Training", "RATE", "of the strategy step; the other strategies bring their own",
            &RunSettings::learning_rate},
    Setting{"momentum", "Training", "NUMBER", "of SGD, in [0, 1)", &RunSettings::momentum},
    Setting{"nesterov", "Training", "", "Nesterov's form of the momentum", &RunSettings::nesterov},
    Setting{"weight-decay", "Training", "NUMBER", "added to the gradient, times the weight; never amplified",
            &RunSettings::weight_decay},
    Setting{"strategy", "Training", "PHASES",
            "step (the learning rate, a tenth of it for the last fifth, no amplification), params_1, params_2, or phases "
            "END_EPOCH:LEARNING_RATE[:FACTOR] such as '3:0.1, 10:0.1:2, 12:0.01'; those with a factor amplify",
            &RunSettings::strategy},
    Setting{"reselect-every", "Training", "EPOCHS", "select again so often within a phase; 0: once a phase",
            &RunSettings::reselect_every},

    Setting{"selection", "Amplification", "measure|random|none", "how layers are selected in amplifying phases",
            &RunSettings::selection},
    Setting{"measure", "Amplification", "g|g-prime", "of how steadily a layer's gradients point one way",
            &RunSettings::measure},
    Setting{"case", "Amplification", "1|2",
            "select where the normalised measure is above the threshold (1), or its absolute value is (2)",
            &RunSettings::selection_case},
    Setting{"threshold", "Amplification", "DEVIATIONS", "of the normalised measure", &RunSettings::threshold},
    Setting{"granularity", "Amplification", "weight|neuron", "whether gradients are summed for each weight or neuron",
            &RunSettings::granularity},
    Setting{"placement", "Amplification", "update|backprop",
            "amplify a layer's update, or the gradient that flows back through it", &RunSettings::placement},
    Setting{"random-fraction", "Amplification", "FRACTION", "of the layers of the types below, for --selection random",
            &RunSettings::random_fraction},
    Setting{"random-types", "Amplification", "TYPE,...", "conv, bn, relu (with --placement backprop) and linear",
            &RunSettings::random_types},

    Setting{"seed", "Run", "NUMBER", "of initial weights, order, augmentation, dropout and random selection",
            &RunSettings::seed},
    Setting{"device", "Run", "NAME",
            "cpu, cuda, emulated (the CUDA kernels on the CPU, slowly), or auto: cuda where there is a GPU, else cpu",
            &RunSettings::device},
    Setting{"precision", "Run", "f32|tf32|bf16",
            "of convolutions and, for bf16, of activations; the device cpu has f32 only", &RunSettings::precision},
    Setting{"threads", "Run", "THREADS", "of the CPU; 0: OMP_NUM_THREADS, else every core", &RunSettings::threads},
    Setting{"run-folder", "Run", "FOLDER", "for the run's files; without it, runs/NETWORK-DATASET-DATE-TIME",
            &RunSettings::run_folder},
    Setting{"evaluation-batch", "Run", "IMAGES", "images evaluated at once; changes speed and memory only",
            &RunSettings::evaluation_batch},
};
// clang-format on

/// Insertions, deletions, replacements and swaps of neighbours that turn `a` into `b`.
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

std::span<const Setting> setting_table() { return kTable; }

const Setting* find_setting(std::string_view name) {
  const auto found = std::find_if(kTable.begin(), kTable.end(), [&](const Setting& s) { return s.name == name; });
  return found == kTable.end() ? nullptr : &*found;
}

std::string setting_text(const RunSettings& settings, const Setting& setting) {
  return std::visit([&](auto member) { return text_of(settings.*member); }, setting.member);
}

void assign_setting(RunSettings& settings, const Setting& setting, std::string_view text) {
  std::visit([&](auto member) { read_value(settings.*member, text); }, setting.member);
}

std::string nearest_word(std::string_view word, std::span<const std::string> candidates) {
  std::string nearest;
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

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// The names of enumeration values that users choose from: on the command line, in files and in messages. These names
// are defined only here.
#pragma once

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "gradamp/core/convolution_method.h"
#include "gradamp/core/dtype.h"
#include "gradamp/core/error.h"
#include "gradamp/core/shard.h"
#include "gradamp/core/text.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/optim/optimizer.h"

namespace gradamp {

template <typename T>
struct Choice {
  std::string_view name;
  T value;
};

/// Every value of T that users can choose, in the order in which messages list them. Defined for the types below only.
template <typename T>
inline constexpr std::array<Choice<T>, 0> kChoices{};
template <>
inline constexpr std::array kChoices<Initialization>{Choice<Initialization>{"pytorch", Initialization::kPyTorch},
                                                     Choice<Initialization>{"he-normal", Initialization::kHeNormal}};
template <>
inline constexpr std::array kChoices<SelectionMethod>{Choice<SelectionMethod>{"measure", SelectionMethod::kMeasure},
                                                      Choice<SelectionMethod>{"random", SelectionMethod::kRandom},
                                                      Choice<SelectionMethod>{"none", SelectionMethod::kNone}};
template <>
inline constexpr std::array kChoices<LayerMeasure>{Choice<LayerMeasure>{"g", kG},
                                                   Choice<LayerMeasure>{"g-prime", kGPrime}};
template <>
inline constexpr std::array kChoices<SelectionCase>{Choice<SelectionCase>{"1", SelectionCase::kOneSided},
                                                    Choice<SelectionCase>{"2", SelectionCase::kTwoSided}};
template <>
inline constexpr std::array kChoices<Granularity>{Choice<Granularity>{"weight", Granularity::kWeight},
                                                  Choice<Granularity>{"neuron", Granularity::kNeuron}};
template <>
inline constexpr std::array kChoices<Placement>{Choice<Placement>{"update", Placement::kUpdate},
                                                Choice<Placement>{"backprop", Placement::kBackprop}};
template <>
inline constexpr std::array kChoices<UpdateRule>{Choice<UpdateRule>{"sgd", UpdateRule::kSgd},
                                                 Choice<UpdateRule>{"adamw", UpdateRule::kAdamW}};
template <>
inline constexpr std::array kChoices<Schedule>{Choice<Schedule>{"phases", Schedule::kPhases},
                                               Choice<Schedule>{"cosine", Schedule::kCosine},
                                               Choice<Schedule>{"one-cycle", Schedule::kOneCycle}};
template <>
inline constexpr std::array kChoices<BatchNormStatistics>{
    Choice<BatchNormStatistics>{"local", BatchNormStatistics::kLocal},
    Choice<BatchNormStatistics>{"synchronized", BatchNormStatistics::kSynchronized}};
template <>
inline constexpr std::array kChoices<Precision>{Choice<Precision>{name_of(Precision::kF32), Precision::kF32},
                                                Choice<Precision>{name_of(Precision::kTF32), Precision::kTF32},
                                                Choice<Precision>{name_of(Precision::kBF16), Precision::kBF16}};

template <>
inline constexpr std::array kChoices<ConvolutionMethod> = [] {
  std::array<Choice<ConvolutionMethod>, std::size(kConvolutionMethods)> choices;
  for (std::size_t i = 0; i < choices.size(); ++i)
    choices[i] = {name_of(kConvolutionMethods[i]), kConvolutionMethods[i]};
  return choices;
}();

/// The name of `value`. Error if it has no name.
template <typename T>
std::string choice_name(T value) {
  static_assert(!kChoices<T>.empty(), "expected an enumeration with an entry in kChoices");
  for (const Choice<T>& choice : kChoices<T>)
    if (choice.value == value) return std::string(choice.name);
  fail("expected a value with a name, got {}", static_cast<int>(value));
}

/// The names of all values of T, with `separator` between them: "update|backprop".
template <typename T>
std::string choice_names(std::string_view separator) {
  std::string names;
  for (const Choice<T>& choice : kChoices<T>)
    names += (names.empty() ? "" : std::string(separator)) + std::string(choice.name);
  return names;
}

/// The value with the name `name`. If there is none, the Error lists all names.
template <typename T>
T choice_of(std::string_view name) {
  const auto found = std::find_if(kChoices<T>.begin(), kChoices<T>.end(),
                                  [&](const Choice<T>& choice) { return choice.name == name; });
  check(found != kChoices<T>.end(), "expected one of {}, got '{}'", choice_names<T>(", "), shortened(name));
  return found->value;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Chooses a value of a setting that differs from its default, so that a new setting is tested without further test
// code.
#pragma once

#include <string>
#include <type_traits>
#include <variant>

#include "gradamp/optim/choices.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp::test {

/// A text that assign_setting accepts: for a number, another number (in the range, if it is a floating-point number);
/// for a switch, the other state; for choices, the first that is not the default; else a word.
inline std::string other_value(const Setting& setting) {
  const RunSettings defaults;
  const auto other = [&]<typename T>(SettingMember<T> member) -> std::string {
    const T value = defaults.*member;
    if constexpr (std::is_same_v<T, bool>) {
      return value ? "false" : "true";
    } else if constexpr (std::is_integral_v<T>) {
      return fmt::format("{}", value + 1);
    } else if constexpr (std::is_floating_point_v<T>) {
      const double within = 0.5 * value + 0.3;
      return fmt::format("{}", setting.range.contains(within) ? within : value + 1);
    } else if constexpr (std::is_enum_v<T>) {
      for (const Choice<T>& choice : kChoices<T>)
        if (choice.value != value) return std::string(choice.name);
      return "";
    } else {
      return "other";
    }
  };
  return std::visit(other, setting.member);
}

}  // namespace gradamp::test

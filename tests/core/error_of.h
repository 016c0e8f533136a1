// SPDX-License-Identifier: MIT
// The message of an expected error.
#pragma once

#include <string>

#include "gradamp/core/error.h"

namespace gradamp::test {

/// The message of the Error that `action` throws; empty if it throws none.
template <typename Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

}  // namespace gradamp::test

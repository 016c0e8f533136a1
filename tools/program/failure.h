// SPDX-License-Identifier: MIT
// How the program ends with an error.
#pragma once

#include <exception>
#include <string>

namespace gradamp {

struct Failure {
  std::string message;
  int exit_code = 1;
};

/// Thrown by a rank other than 0 for an error that rank 0 has too, and reports.
struct AlreadyReported {
  int exit_code = 1;
};

/// What an exception means for the user.
Failure failure_of(const std::exception_ptr& exception);
/// One line on standard error, which begins with the program's name. Returns the exit code.
int print_failure(const Failure& failure);

}  // namespace gradamp

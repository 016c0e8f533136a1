// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/failure.h"

#include <iostream>
#include <new>

#include "gradamp/core/command_name.h"
#include "gradamp/core/text.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/settings/message_of.h"

namespace gradamp {
namespace {

constexpr std::size_t kMaxMessage = 4000;  // bytes

}  // namespace

Failure failure_of(const std::exception_ptr& exception) {
  try {
    std::rethrow_exception(exception);
  } catch (const UsageError& error) {
    return {error.what(), kExitUsage};
  } catch (const std::bad_alloc&) {
    return {"out of memory; a smaller --batch-size or network needs less", kExitFailure};
  } catch (const std::exception& error) {
    return {message_of(error), kExitFailure};
  }
}

int print_failure(const Failure& failure) {
  // At once: other ranks may write to the same stream.
  std::cerr << printable(command_name()) + ": " + printable(shortened(failure.message, kMaxMessage)) + "\n"
            << std::flush;
  return failure.exit_code;
}

}  // namespace gradamp

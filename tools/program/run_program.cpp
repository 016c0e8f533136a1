// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/run_program.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <new>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/text.h"
#include "gradamp/data/download/archive.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/settings/message_of.h"

namespace gradamp {
namespace {

constexpr std::size_t kMaxMessage = 4000;  // bytes
constexpr int kMaxHelpColumns = 110, kMinHelpColumns = 60, kHelpColumns = 100;

int help_columns() {
  const int columns = terminal_columns(STDOUT_FILENO);
  return columns == 0 ? kHelpColumns : std::clamp(columns, kMinHelpColumns, kMaxHelpColumns);
}

int run_command(const Command& command) {
  const auto run = [](const auto& chosen) {
    using Chosen = std::decay_t<decltype(chosen)>;
    if constexpr (std::is_same_v<Chosen, TrainCommand>) return run_train(chosen);
    if constexpr (std::is_same_v<Chosen, EvaluateCommand>) return run_evaluate(chosen);
    if constexpr (std::is_same_v<Chosen, PredictCommand>) return run_predict(chosen);
    if constexpr (std::is_same_v<Chosen, SweepCommand>) return run_sweep_command(chosen);
    if constexpr (std::is_same_v<Chosen, ReportCommand>) return run_report(chosen);
    if constexpr (std::is_same_v<Chosen, RunsCommand>) return run_runs(chosen);
    if constexpr (std::is_same_v<Chosen, FetchCommand>) return run_fetch(chosen);
    if constexpr (std::is_same_v<Chosen, MakeCommand>) return run_make(chosen);
    if constexpr (std::is_same_v<Chosen, VerifyCommand>) return run_verify(chosen);
    if constexpr (std::is_same_v<Chosen, InfoCommand>) return run_info(chosen);
    if constexpr (std::is_same_v<Chosen, EmulateOptions>) return emulate(chosen, find_emulator());
    if constexpr (std::is_same_v<Chosen, ShowText>) std::cout << chosen.text;
    return 0;
  };
  return std::visit(run, command);
}

int report(const char* message, int exit_code) {
  std::cerr << printable(command_name()) << ": " << printable(shortened(message, kMaxMessage)) << std::endl;
  return exit_code;
}

}  // namespace

int run_program(int argc, char** argv) {
  if (argc > 0) {
    set_command_name(std::filesystem::path(argv[0]).filename().string());
    set_typed_command(argv[0]);
  }
  try {
    std::signal(SIGXFSZ, SIG_IGN);  // a write past the limit of a file's size then fails, and is reported
    use_libarchive();
    const std::vector<std::string> arguments(argv + std::min(argc, 1), argv + argc);
    const auto environment = [](const char* name) -> const char* { return std::getenv(name); };
    const int exit_code = run_command(parse_command_line(arguments, environment, help_columns()));
    if (!std::cout.flush() && exit_code == 0) return report("cannot write to standard output", kExitFailure);
    return exit_code;
  } catch (const UsageError& error) {
    return report(error.what(), kExitUsage);
  } catch (const std::bad_alloc&) {
    return report("out of memory; a smaller --batch-size or network needs less", kExitFailure);
  } catch (const std::exception& error) {
    return report(message_of(error).c_str(), kExitFailure);
  }
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/run_program.h"

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <iostream>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/data/download/archive.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/program/failure.h"
#include "gradamp/tools/ranks/ranks.h"
#include "gradamp/tools/run/console.h"

namespace gradamp {
namespace {

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

/// Of several ranks, all read the same command line, and one says what is wrong with it.
Command parse_as_rank(const std::vector<std::string>& arguments) {
  try {
    const auto environment = [](const char* name) -> const char* { return std::getenv(name); };
    Command command = parse_command_line(arguments, environment, help_columns());
    const bool is_for_one = !std::holds_alternative<TrainCommand>(command) &&
                            !std::holds_alternative<InfoCommand>(command) && !std::holds_alternative<ShowText>(command);
    if (started_ranks().size > 1 && is_for_one)
      throw UsageError(fmt::format(
          "a launcher (mpirun, srun) started {} processes of this command, and only `{} train` is computed by several",
          started_ranks().size, command_name()));
    return command;
  } catch (...) {
    if (started_ranks().rank == 0) throw;
    throw AlreadyReported{failure_of(std::current_exception()).exit_code};
  }
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
    const int exit_code = run_command(parse_as_rank(arguments));
    if (!std::cout.flush() && exit_code == 0) return print_failure({"cannot write to standard output", kExitFailure});
    return exit_code;
  } catch (const AlreadyReported& error) {
    return error.exit_code;
  } catch (...) {
    return print_failure(failure_of(std::current_exception()));
  }
}

}  // namespace gradamp

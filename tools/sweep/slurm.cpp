// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/slurm.h"

#include <array>
#include <cstdio>
#include <iostream>
#include <sstream>
#include <string_view>
#include <system_error>

#include <sys/wait.h>

#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/tools/run/console.h"

namespace gradamp {
namespace {

/// The script that `bash` runs for each task. It starts the program in the background, because a shell does not handle
/// signals while it waits for a foreground process. If a task was stopped and Slurm still reports it as running, it is
/// near its time limit or will be preempted, so the script requeues it. A canceled task is not reported as running, and
/// is not requeued.
constexpr const char* kScript = R"(#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array={tasks}
#SBATCH --output={log}/%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
run= stopping=
stop() {{
  stopping=yes
  [ -z "$run" ] || kill -USR1 "$run"
}}
trap stop USR1 TERM
{program} sweep {file} --folder {folder_word} --only "$SLURM_ARRAY_TASK_ID"{overrides} &
run=$!
[ -z "$stopping" ] || stop  # it was asked before there was a run
code=129
while [ "$code" -gt 128 ] && kill -0 "$run" 2>/dev/null; do  # a signal ends the wait, not the run
  wait "$run"
  code=$?
done
wait "$run"
code=$?
run=
task="${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
if [ "$code" = 138 ] || [ "$code" = 143 ]; then  # stopped and saved
  state=$(squeue --noheader --format=%T --job="$task")
  [ "$state" != RUNNING ] || scontrol requeue "$task"
fi
exit "$code"
)";

/// Quotes a word for a line #SBATCH. In a file name sbatch replaces %A by the job's number, so a % is written as %%.
std::string sbatch_word(const std::string& text, bool is_path) {
  std::string word = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') word += '\\';
    if (c == '%' && is_path) word += '%';
    word += c;
  }
  return word + "\"";
}

/// The numbers as ranges, such as "0-3,7".
std::string ranges_of(const std::vector<std::size_t>& numbers) {
  std::string text;
  for (std::size_t i = 0; i < numbers.size();) {
    std::size_t last = i;
    while (last + 1 < numbers.size() && numbers[last + 1] == numbers[last] + 1) ++last;
    text += text.empty() ? "" : ",";
    text += last == i ? fmt::format("{}", numbers[i]) : fmt::format("{}-{}", numbers[i], numbers[last]);
    i = last + 1;
  }
  return text;
}

std::string overrides_text(const std::vector<SweepOverride>& overrides) {
  std::string text;
  for (const SweepOverride& given : overrides) text += " " + shell_word("--" + given.key + "=" + given.value);
  return text;
}

std::filesystem::path own_program() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  check(!error, "this program's own path, /proc/self/exe, cannot be read: {}", error.message());
  return program;
}

/// Writes the script and a copy of the sweep's file. Returns the script's path.
std::filesystem::path write_script(const SweepFolder& folder, const SlurmOptions& options, const char* name,
                                   const std::vector<std::size_t>& tasks) {
  const std::filesystem::path slurm = folder.path() / "slurm", path = slurm / (std::string(name) + ".sh");
  std::error_code error;
  std::filesystem::create_directories(slurm, error);
  check(!error, "the folder {} cannot be made: {}", slurm.string(), error.message());
  // A task is the number of a run in this version of the file. sweep.toml may have changed when the task begins, so the
  // tasks read a copy.
  const std::uint32_t checksum = crc32c(std::as_bytes(std::span(options.text)));
  const std::filesystem::path copy = slurm / fmt::format("sweep-{:08x}.toml", checksum);
  const std::array copied = {std::as_bytes(std::span(options.text))};
  write_durably(copy, copied, Keep::kNothing);
  const std::string text = fmt::format(
      kScript, fmt::arg("name", sbatch_word("gradamp-" + folder.path().filename().string() + "-" + name, false)),
      fmt::arg("tasks", ranges_of(tasks)), fmt::arg("log", sbatch_word((folder.path() / "slurm").string(), true)),
      fmt::arg("program", shell_word(own_program().string())), fmt::arg("file", shell_word(copy.string())),
      fmt::arg("folder_word", shell_word(folder.path().string())),
      fmt::arg("overrides", overrides_text(options.overrides)));
  const std::array parts = {std::as_bytes(std::span(text))};
  write_durably(path, parts, Keep::kNothing);
  return path;
}

/// Whether `line` names a job. sbatch prints "12" or "12;cluster".
bool is_job(std::string_view line) {
  const std::string_view number = line.substr(0, line.find(';'));
  return !number.empty() && number.find_first_not_of("0123456789") == number.npos;
}

/// Submits a job and returns its number. Other output of sbatch, such as a warning, is printed to standard error.
std::string submit(const std::string& arguments) {
  const std::string command = "sbatch --parsable " + arguments + " 2>&1";
  FILE* const pipe = ::popen(command.c_str(), "r");
  check(pipe != nullptr, "sbatch cannot be run");
  std::string output;
  std::array<char, 256> part{};
  while (std::fgets(part.data(), static_cast<int>(part.size()), pipe) != nullptr) output += part.data();
  const int status = ::pclose(pipe);
  std::string job, line, said;
  for (std::istringstream lines(output); std::getline(lines, line);) {
    if (is_job(line)) {
      job = line.substr(0, line.find(';'));
    } else if (!line.empty()) {
      said += (said.empty() ? "" : "; ") + line;
    }
  }
  constexpr int kNotFound = 127;
  check(!WIFEXITED(status) || WEXITSTATUS(status) != kNotFound, "there is no sbatch on the PATH: is Slurm here? ({})",
        said);
  check(WIFEXITED(status) && WEXITSTATUS(status) == 0 && !job.empty(), "sbatch failed: {}",
        said.empty() ? "it said nothing" : said);
  if (!said.empty()) std::cerr << printable(said) << "\n";
  return job;
}

}  // namespace

void check_slurm_folder(const SweepFolder& folder) {
  const std::string path = folder.path().string();
  check(is_utf8(path) && printable(path) == path,
        "--slurm: expected a folder whose path has no line break or other control character, which a line #SBATCH of "
        "its scripts cannot hold, got '{}'; name another --folder",
        printable(path));
}

void submit_to_slurm(const SweepFolder& folder, const SlurmOptions& options) {
  check_slurm_folder(folder);
  std::vector<std::size_t> beginnings, cells;
  const std::vector<JobReport> reports = folder.reports();
  for (std::size_t i = 0; i < reports.size(); ++i)
    if (reports[i].state != JobState::kDone && folder.is_needed(i))
      (folder.jobs()[i].is_cell ? cells : beginnings).push_back(i);
  const std::string further = options.sbatch.empty() ? "" : options.sbatch + " ";
  std::string dependency;
  if (!beginnings.empty()) {
    const std::string script = shell_word(write_script(folder, options, "beginnings", beginnings).string());
    const std::string job = submit(further + script);
    std::cout << fmt::format("job {}: {} shared beginnings\n", job, beginnings.size());
    dependency = "--dependency=afterany:" + job + " ";
  }
  if (!cells.empty()) {
    const std::string script = shell_word(write_script(folder, options, "cells", cells).string());
    std::cout << fmt::format("job {}: {} cells\n", submit(further + dependency + script), cells.size());
  }
  if (beginnings.empty() && cells.empty()) std::cout << "all cells are done\n";
}

}  // namespace gradamp

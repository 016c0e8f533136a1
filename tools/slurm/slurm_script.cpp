// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/slurm_script.h"

#include <system_error>

#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/durable_file.h"

namespace gradamp {
namespace {

/// It starts the program in the background, because a shell does not handle signals while it waits for a foreground
/// process. If a task was stopped and Slurm still reports it as running (SIGNALING while it sends the warning), it is
/// near its time limit or will be preempted, so the script requeues it. A canceled task is not reported as running, and
/// is not requeued. The prologue is for `module load` and the like. Its array `launcher` begins the command that runs
/// the program, in a container for example. srun ends its tasks at SIGTERM and passes SIGUSR1 on to them, so only that
/// is sent.
constexpr const char* kScript = R"script(#!/bin/bash
#SBATCH --job-name={name}
#SBATCH --array={tasks}
#SBATCH --output={log}/%A_%a.log
#SBATCH --open-mode=append
#SBATCH --requeue
#SBATCH --signal=B:USR1@120
{time}{ranks}gradamp_run= gradamp_stopping=
gradamp_stop() {{
  gradamp_stopping=yes
  [ -z "$gradamp_run" ] || kill -USR1 "$gradamp_run"
}}
trap gradamp_stop USR1 TERM
launcher=()
{prologue}set +eu  # if the prologue set them; the exit codes below are expected
{launcher}{before}{command} &
gradamp_run=$!
[ -z "$gradamp_stopping" ] || gradamp_stop  # it was asked before there was a run
gradamp_code=129
while [ "$gradamp_code" -gt 128 ] && kill -0 "$gradamp_run" 2>/dev/null; do  # a signal ends the wait, not the run
  wait "$gradamp_run"
  gradamp_code=$?
done
wait "$gradamp_run"
gradamp_code=$?
gradamp_run=
gradamp_task="${{SLURM_ARRAY_JOB_ID}}_${{SLURM_ARRAY_TASK_ID}}"
if [ "$gradamp_code" = 138 ] || [ "$gradamp_code" = 143 ]; then  # stopped and saved
  case $(squeue --noheader --format=%T --job="$gradamp_task") in
    RUNNING|SIGNALING) scontrol requeue "$gradamp_task" ;;
  esac
fi
exit "$gradamp_code"
)script";

/// srun starts the ranks. From Slurm 22.05 on it does not take the processors of a task from the job. Without
/// --cpus-per-task a task has one.
constexpr const char* kRanks = R"script(launcher=(srun --ntasks={} --mpi="${{SLURM_MPI_TYPE:-pmix}}" \
  ${{SLURM_CPUS_PER_TASK:+--cpus-per-task="$SLURM_CPUS_PER_TASK"}} "${{launcher[@]}}")
export OMP_NUM_THREADS="${{OMP_NUM_THREADS:-${{SLURM_CPUS_PER_TASK:-1}}}}"  # of each rank
)script";

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

}  // namespace

std::string script_text(const SlurmScript& script, const SlurmOptions& options) {
  const bool has_ranks = options.ranks > 1;
  return fmt::format(kScript, fmt::arg("name", sbatch_word(script.name, false)), fmt::arg("tasks", script.tasks),
                     fmt::arg("log", sbatch_word(script.logs.string(), true)),
                     fmt::arg("time", script.minutes > 0 ? fmt::format("#SBATCH --time={}\n", script.minutes) : ""),
                     fmt::arg("ranks", has_ranks ? fmt::format("#SBATCH --ntasks={}\n", options.ranks) : ""),
                     fmt::arg("prologue", options.prologue),
                     fmt::arg("launcher", has_ranks ? fmt::format(kRanks, options.ranks) : ""),
                     fmt::arg("before", script.before_command), fmt::arg("command", script.command));
}

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

std::filesystem::path own_program() {
  std::error_code error;
  const std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", error);
  check(!error, "this program's own path, /proc/self/exe, cannot be read: {}", error.message());
  return program;
}

void check_slurm_folder(const std::filesystem::path& folder, const char* option) {
  const std::string path = folder.string();
  check(is_utf8(path) && printable(path) == path,
        "--slurm: expected a folder whose path has no line break or other control character, which a line #SBATCH of "
        "its scripts cannot hold, got '{}'; name another {}",
        printable(path), option);
}

std::string read_prologue(const std::filesystem::path& file) {
  constexpr std::int64_t kMaxBytes = std::int64_t{1} << 20;
  std::string text;
  try {
    text = read_text(file, kMaxBytes);
  } catch (const Error& error) {
    fail("--slurm-prologue: {}", error.what());
  }
  check(text.find('\0') == text.npos && text.find('\r') == text.npos,
        "--slurm-prologue: expected commands of bash with Unix line ends, got a carriage return or a NUL in {}",
        file.string());
  check(("\n" + text).find("\n#SBATCH") == std::string::npos,
        "--slurm-prologue: expected no line #SBATCH, which Slurm would ignore there, in {}; give it with --sbatch",
        file.string());
  return text + "\n\n";  // two, because a backslash can end the last line
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/slurm_queue.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdio>
#include <set>
#include <sstream>
#include <string_view>
#include <utility>

#include <fmt/ranges.h>
#include <sys/wait.h>

#include "gradamp/core/error.h"
#include "gradamp/tools/run/console.h"

namespace gradamp {
namespace {

constexpr int kCommandNotFound = 127;
constexpr std::size_t kDefaultMaxArraySize = 1001;

std::vector<std::string> split_at(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) parts.push_back(part);
  return parts;
}

/// The text after the first `separator`; empty if there is none.
std::string text_after(const std::string& text, char separator) {
  const std::size_t found = text.find(separator);
  return found == text.npos ? "" : text.substr(found + 1);
}

/// The number that the whole text is; none for anything else.
template <typename T>
std::optional<T> parsed_number(std::string_view text) {
  T number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

/// One line of squeue or sacct.
struct QueueLine {
  std::string job, state, script;
  std::size_t task = 0;
};

/// The lines "12|3|PENDING|/FOLDER/cells-2.sh" in the output of squeue.
std::vector<QueueLine> read_queue(const std::string& output) {
  std::vector<QueueLine> lines;
  for (const std::string& text : split_at(output, '\n')) {
    const std::size_t first = text.find('|'), second = text.find('|', first + 1), third = text.find('|', second + 1);
    if (first == text.npos || second == text.npos || third == text.npos) continue;
    const auto task = parsed_number<std::size_t>(std::string_view(text).substr(first + 1, second - first - 1));
    if (!task) continue;  // not a task of an array
    lines.push_back(
        {text.substr(0, first), text.substr(second + 1, third - second - 1), text.substr(third + 1), *task});
  }
  return lines;
}

/// What squeue says of all jobs of these users. Error if it fails: then nothing is known.
std::vector<QueueLine> ask_squeue(const std::string& cluster, const std::set<unsigned>& users) {
  // These variables would hide jobs.
  std::string command =
      "unset SQUEUE_ACCOUNT SQUEUE_LICENSES SQUEUE_NAMES SQUEUE_PARTITION SQUEUE_QOS SQUEUE_STATES SQUEUE_USERS; "
      "squeue --noheader --array --states=all --format='%F|%K|%T|%o' ";
  command += fmt::format("--user={}", fmt::join(users, ","));
  if (!cluster.empty()) command += " " + shell_word("--clusters=" + cluster);
  const CommandResult result = run_command(command);
  check(result.exit_code != kCommandNotFound,
        "there is no squeue on the PATH, which tells what is queued and running ({})", one_line(result.output));
  check(result.exit_code == 0, "squeue failed, which tells what is queued and running: {}", one_line(result.output));
  return read_queue(result.output);
}

/// Keeps of two tasks of one run the active one, else the later one.
void add_task(std::map<std::string, SlurmTask>& tasks, const std::string& run, SlurmTask task) {
  SlurmTask& kept = tasks[run];
  if (kept.id.empty() || kept.phase == SlurmTask::kEnded || task.phase == SlurmTask::kRunning) kept = std::move(task);
}

SlurmTask task_of(const Submission& submission, const SubmittedRun& run, const std::string& state) {
  return {submission.job, fmt::format("{}_{}", submission.job, run.task), phase_of(state), state, run.settings};
}

/// Finds the job of a submission that was interrupted. `queue` lists it by its script, if there is one.
void find_job(SlurmRecord& record, const Submission& submission, const std::filesystem::path& scripts,
              const std::vector<QueueLine>& queue) {
  const std::string script = submission.script, path = (scripts / script).string();
  const auto found =
      std::find_if(queue.begin(), queue.end(), [&](const QueueLine& line) { return line.script == path; });
  if (found == queue.end()) {
    record.abandon(script);
  } else {
    record.set_job(script, found->job, "");
  }
}

}  // namespace

CommandResult run_command(const std::string& command) {
  FILE* const pipe = ::popen(("{ " + command + "; } 2>&1").c_str(), "r");
  check(pipe != nullptr, "no command can be run: {}", command);
  CommandResult result;
  std::array<char, 4096> part{};
  while (std::fgets(part.data(), static_cast<int>(part.size()), pipe) != nullptr) result.output += part.data();
  const int status = ::pclose(pipe);
  result.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

std::string one_line(const std::string& output) {
  std::string said;
  for (const std::string& line : split_at(output, '\n'))
    if (!line.empty()) said += (said.empty() ? "" : "; ") + line;
  return said.empty() ? "it printed nothing" : said;
}

SlurmTask::Phase phase_of(const std::string& state) {
  // Slurm lists a task that it requeues as COMPLETING, too.
  static const std::set<std::string> running = {"RUNNING", "COMPLETING", "CONFIGURING", "SUSPENDED",
                                                "STOPPED", "SIGNALING",  "RESIZING",    "STAGE_OUT"};
  static const std::set<std::string> ended = {"COMPLETED", "CANCELLED", "FAILED",        "TIMEOUT",  "NODE_FAIL",
                                              "PREEMPTED", "BOOT_FAIL", "OUT_OF_MEMORY", "DEADLINE", "REVOKED"};
  if (running.contains(state)) return SlurmTask::kRunning;
  return ended.contains(state) ? SlurmTask::kEnded : SlurmTask::kQueued;
}

std::map<std::string, SlurmTask> find_tasks(SlurmRecord& record, const std::filesystem::path& scripts, bool writes) {
  std::map<std::string, std::set<unsigned>> users;  // of each cluster
  for (const Submission& submission : record.submissions())
    if (!submission.is_abandoned) users[submission.cluster].insert(submission.user);
  std::map<std::string, SlurmTask> tasks;
  for (const auto& [cluster, ids] : users) {
    const std::vector<QueueLine> queue = ask_squeue(cluster, ids);
    std::map<std::pair<std::string, std::size_t>, const QueueLine*> lines;
    for (const QueueLine& line : queue) lines.emplace(std::pair(line.job, line.task), &line);
    for (const Submission& submission : record.submissions()) {
      if (submission.cluster != cluster || submission.is_abandoned) continue;
      if (submission.job.empty()) {
        if (!writes) continue;
        find_job(record, submission, scripts, queue);
      }
      for (const SubmittedRun& run : submission.runs)
        if (const auto line = lines.find({submission.job, run.task}); line != lines.end())
          add_task(tasks, run.name, task_of(submission, run, line->second->state));
    }
  }
  return tasks;
}

void add_accounted_tasks(const SlurmRecord& record, std::map<std::string, SlurmTask>& tasks) {
  std::map<std::string, std::set<std::string>> jobs;  // of each cluster
  for (const Submission& submission : record.submissions())
    for (const SubmittedRun& run : submission.runs)
      if (!submission.job.empty() && !tasks.contains(run.name)) jobs[submission.cluster].insert(submission.job);
  std::map<std::string, SlurmTask> found;
  for (const auto& [cluster, numbers] : jobs) {
    std::string command = fmt::format("sacct --noheader --parsable2 --allocations --format=JobID,State --jobs={}",
                                      fmt::join(numbers, ","));
    if (!cluster.empty()) command += " " + shell_word("--clusters=" + cluster);
    const CommandResult result = run_command(command);
    if (result.exit_code != 0) continue;
    std::map<std::string, std::string> states;  // "12_3": "CANCELLED"
    for (const std::string& line : split_at(result.output, '\n')) {
      const std::string state = text_after(line, '|');
      states[line.substr(0, line.find('|'))] = state.substr(0, state.find(' '));  // "CANCELLED by 1000"
    }
    for (const Submission& submission : record.submissions())
      for (const SubmittedRun& run : submission.runs)
        if (const auto state = states.find(fmt::format("{}_{}", submission.job, run.task));
            state != states.end() && submission.cluster == cluster && phase_of(state->second) == SlurmTask::kEnded)
          add_task(found, run.name, task_of(submission, run, state->second));
  }
  tasks.merge(found);
}

std::size_t max_array_size() {
  const CommandResult result = run_command("scontrol show config");
  return max_array_size_in(result.exit_code == 0 ? result.output : "");
}

std::size_t max_array_size_in(const std::string& configuration) {
  std::size_t size = kDefaultMaxArraySize;
  for (const std::string& line : split_at(configuration, '\n')) {
    if (!line.starts_with("MaxArraySize ")) continue;
    const std::string value = text_after(line, '=');
    const std::size_t begin = std::min(value.find_first_not_of(' '), value.size());
    size = parsed_number<std::size_t>(value.substr(begin)).value_or(kDefaultMaxArraySize);
  }
  const std::string key = "max_array_tasks=";
  if (const std::size_t found = configuration.find(key); found != configuration.npos) {
    const std::size_t begin = found + key.size(), end = configuration.find_first_not_of("0123456789", begin);
    size = std::min(size, parsed_number<std::size_t>(configuration.substr(begin, end - begin)).value_or(size));
  }
  return std::max<std::size_t>(1, size);
}

std::optional<std::string> sbatch_option(const std::string& options, const std::string& name, char letter) {
  std::vector<std::string> words;  // without the quotes
  char quote = 0;
  bool is_word = false;
  for (const char c : options) {
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      is_word = false;
      continue;
    }
    if (!std::exchange(is_word, true)) words.emplace_back();
    if (quote == 0 && (c == '\'' || c == '"')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else {
      words.back() += c;
    }
  }
  std::optional<std::string> value;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const bool is_letter = letter != 0 && words[i].size() >= 2 && words[i][0] == '-' && words[i][1] == letter;
    if (words[i].starts_with(name + "=")) {
      value = words[i].substr(name.size() + 1);
    } else if (is_letter && words[i].size() > 2) {
      value = words[i].substr(2);
    } else if ((words[i] == name || is_letter) && i + 1 < words.size()) {
      value = words[++i];
    }
  }
  return value;
}

namespace {

/// Slurm's "30:00", "1:00:00" or "2-00:00:00" in minutes; none for "infinite".
std::optional<std::int64_t> minutes_of(const std::string& limit) {
  const std::size_t dash = limit.find('-');
  std::int64_t days = 0, seconds = 0;
  if (dash != limit.npos) {
    const auto number = parsed_number<std::int64_t>(limit.substr(0, dash));
    if (!number) return std::nullopt;
    days = *number;
  }
  for (const std::string& part : split_at(dash == limit.npos ? limit : limit.substr(dash + 1), ':')) {
    const auto number = parsed_number<std::int64_t>(part);
    if (!number) return std::nullopt;
    seconds = seconds * 60 + *number;
  }
  return days * 24 * 60 + seconds / 60;
}

}  // namespace

std::optional<std::int64_t> partition_minutes_in(const std::string& partitions, const std::string& names) {
  const std::vector<std::string> wanted = split_at(names, ',');
  std::optional<std::int64_t> most;
  for (const std::string& line : split_at(partitions, '\n')) {
    const std::size_t bar = line.find('|');
    if (bar == line.npos) continue;
    std::string name = line.substr(0, bar);
    const bool is_default = name.ends_with('*');
    if (is_default) name.pop_back();
    if (names.empty() ? !is_default : std::find(wanted.begin(), wanted.end(), name) == wanted.end()) continue;
    const std::optional<std::int64_t> minutes = minutes_of(line.substr(bar + 1));
    if (!minutes) return std::nullopt;
    most = std::max(most.value_or(0), *minutes);
  }
  return most;
}

}  // namespace gradamp

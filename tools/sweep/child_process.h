// SPDX-License-Identifier: MIT
// Programs that run beside this one.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

namespace gradamp {

/// What to run: this program again, with other arguments.
struct ProcessRequest {
  /// Its arguments after the program's name, asked for when the log's lock is held; none: there is nothing to do.
  std::function<std::optional<std::vector<std::string>>()> arguments;
  std::map<std::string, std::string> environment;  // added to this process's, without its GRADAMP_ variables
  std::filesystem::path log;                       // gets its standard output and error, in place of what was there
};

/// A child process. It holds a lock on its log for as long as it lives, even where this process dies, and is asked to
/// stop (SIGTERM) when this process dies.
class ChildProcess {
 public:
  /// Starts it; none where another process holds the log's lock or there is nothing to do. Error where it cannot be
  /// started.
  static std::optional<ChildProcess> start(const ProcessRequest& request);

  /// Whether a process that was started with this log is at work.
  static bool is_at_work(const std::filesystem::path& log);

  /// Its exit code once it has ended, or 128 + the signal that ended it. Does not wait.
  std::optional<int> exit_code();
  void send(int signal) const;

 private:
  explicit ChildProcess(pid_t process) : process_(process) {}

  pid_t process_;
};

}  // namespace gradamp

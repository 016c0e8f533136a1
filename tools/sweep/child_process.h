// SPDX-License-Identifier: MIT
// Child processes that run this program concurrently.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <sys/types.h>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// The parameters of a child process, which runs this program with other arguments.
struct ProcessRequest {
  /// Returns the arguments after the program's name, or none if there is nothing to do. Called while the log's lock is
  /// held.
  std::function<std::optional<std::vector<std::string>>()> arguments;
  std::vector<std::string> launcher = {};          // words that begin the command, as those of mpirun; may be empty
  std::map<std::string, std::string> environment;  // added to this process's environment without GRADAMP_ variables
  std::filesystem::path log;                       // overwritten with the child's standard output and error
};

/// A child process. It holds a lock on its log during its whole lifetime, even if this process dies. If this process
/// dies, the child is asked to stop.
class ChildProcess {
 public:
  /// Starts the child. Returns none if another process holds the log's lock or there is nothing to do. Error if the
  /// child cannot be started.
  static std::optional<ChildProcess> start(const ProcessRequest& request);

  /// Whether a process that was started with this log is running. Error if that cannot be told.
  static bool is_at_work(const std::filesystem::path& log, FileSystem& file_system = real_file_system());

  /// The exit code, or 128 + the signal that ended the child, or none if it is still running. Does not wait.
  std::optional<int> exit_code();
  /// Asks the child to finish its step, to save and to end: SIGTERM, or SIGUSR1 if it has a launcher. Those of several
  /// processes, mpirun and srun, pass SIGUSR1 on, and end their processes soon after SIGTERM.
  void stop() const;
  /// Ends the child and the processes of its group: SIGKILL.
  void kill() const;

 private:
  ChildProcess(pid_t process, int stop_signal) : process_(process), stop_signal_(stop_signal) {}

  pid_t process_;
  int stop_signal_;
};

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/child_process.h"

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <string_view>

#include <fcntl.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/tools/slurm/slurm_script.h"

extern char** environ;

namespace gradamp {
namespace {

constexpr int kCannotStart = 127;

/// A file descriptor. The destructor closes it.
class Descriptor {
 public:
  explicit Descriptor(int descriptor) : descriptor_(descriptor) {}
  ~Descriptor() {
    if (descriptor_ >= 0) ::close(descriptor_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  int get() const { return descriptor_; }

 private:
  int descriptor_;
};

std::vector<std::string> environment_of(const ProcessRequest& request) {
  std::vector<std::string> variables;
  for (char** variable = environ; *variable != nullptr; ++variable) {
    const std::string_view text = *variable;
    const std::string name(text.substr(0, text.find('=')));
    if (name.starts_with("GRADAMP_") || request.environment.contains(name)) continue;
    variables.emplace_back(text);
  }
  for (const auto& [name, value] : request.environment) variables.push_back(name + "=" + value);
  return variables;
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

/// Turns the child into the program. It runs between fork and exec, so it may only make system calls.
[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment, int log, pid_t parent,
                         int stop_signal) {
  for (const int signal : {SIGINT, SIGTERM, SIGUSR1, SIGHUP}) {  // until exec, the parent's handlers would receive them
    struct sigaction action = {};
    if (::sigaction(signal, nullptr, &action) == 0 && action.sa_handler != SIG_IGN) ::signal(signal, SIG_DFL);
  }
  ::prctl(PR_SET_PDEATHSIG, stop_signal);
  if (::getppid() != parent) ::_exit(kCannotStart);  // the parent has already died
  ::setpgid(0, 0);  // a terminal's Control-C then reaches only the parent, which decides what to forward
  const int nothing = ::open("/dev/null", O_RDONLY);
  ::dup2(nothing, STDIN_FILENO);
  ::dup2(log, STDOUT_FILENO);  // the copies share the lock and remain open, while exec closes `log`
  ::dup2(log, STDERR_FILENO);
  ::execve(program, arguments, environment);
  ::_exit(kCannotStart);
}

}  // namespace

std::optional<ChildProcess> ChildProcess::start(const ProcessRequest& request) {
  const Descriptor log(::open(request.log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  check(log.get() >= 0, "cannot write {}: {}", request.log.string(), std::strerror(errno));
  // Without locks only this process knows of the child; the child warns that its run's folder cannot be locked.
  if (::flock(log.get(), LOCK_EX | LOCK_NB) != 0 && !means_no_locks(errno)) {
    check(errno == EWOULDBLOCK, "cannot lock {}: {}", request.log.string(), std::strerror(errno));
    return std::nullopt;
  }
  const std::optional<std::vector<std::string>> asked = request.arguments();
  if (!asked) return std::nullopt;
  check(::ftruncate(log.get(), 0) == 0, "cannot write {}: {}", request.log.string(), std::strerror(errno));
  std::vector<std::string> arguments = *asked, environment = environment_of(request);
  const bool has_launcher = !request.launcher.empty();
  if (has_launcher) {
    arguments.insert(arguments.begin(), own_program().string());
    arguments.insert(arguments.begin(), request.launcher.begin(), request.launcher.end());
    arguments.insert(arguments.begin(), "env");  // which finds the launcher on the PATH
  } else {
    arguments.insert(arguments.begin(), command_name());  // the program's messages begin with this name
  }
  const std::vector<char*> argument_pointers = pointers_to(arguments), variable_pointers = pointers_to(environment);
  const pid_t parent = ::getpid(), child = ::fork();
  check(child >= 0, "cannot start a process: {}", std::strerror(errno));
  const int stop_signal = has_launcher ? SIGUSR1 : SIGTERM;
  if (child == 0)
    become(has_launcher ? "/usr/bin/env" : "/proc/self/exe", argument_pointers.data(), variable_pointers.data(),
           log.get(), parent, stop_signal);
  return ChildProcess(child, stop_signal);
}

bool ChildProcess::is_at_work(const std::filesystem::path& log, FileSystem& file_system) {
  return is_locked(log, file_system);
}

std::optional<int> ChildProcess::exit_code() {
  int status = 0;
  const pid_t ended = ::waitpid(process_, &status, WNOHANG);
  if (ended == 0 || (ended < 0 && errno == EINTR)) return std::nullopt;
  check(ended == process_, "lost sight of process {}: {}", process_, std::strerror(errno));
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

void ChildProcess::stop() const { ::kill(process_, stop_signal_); }

void ChildProcess::kill() const {
  ::kill(-process_, SIGKILL);
  ::kill(process_, SIGKILL);  // the child that has no group yet
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/emulate.h"

#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"
#include "gradamp/tools/emulate/missing_names.h"
#include "gradamp/tools/emulate/program_sources.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

/// A folder that is removed with all that is in it.
class WorkFolder {
 public:
  WorkFolder() {
    std::string name = (fs::temp_directory_path() / "gradamp-emulate-XXXXXX").string();
    check(mkdtemp(name.data()) != nullptr, "{}: cannot be created: {}", name, std::strerror(errno));
    path_ = name;
  }
  ~WorkFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  WorkFolder(const WorkFolder&) = delete;
  WorkFolder& operator=(const WorkFolder&) = delete;
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

/// SIGINT and SIGQUIT of the terminal are for the program that runs: this one lives on to remove its folder.
class IgnoredSignals {
 public:
  IgnoredSignals() : interrupt_(std::signal(SIGINT, SIG_IGN)), quit_(std::signal(SIGQUIT, SIG_IGN)) {}
  ~IgnoredSignals() { restore(); }
  IgnoredSignals(const IgnoredSignals&) = delete;
  IgnoredSignals& operator=(const IgnoredSignals&) = delete;
  void restore() const {
    std::signal(SIGINT, interrupt_);
    std::signal(SIGQUIT, quit_);
  }

 private:
  void (*interrupt_)(int);
  void (*quit_)(int);
};

/// Runs a program and returns its exit code, or 128 and the number of the signal that ended it. `errors`: a file for
/// its standard error, or empty.
int run(const std::vector<std::string>& words, const fs::path& errors = {}) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::cout.flush();
  const IgnoredSignals ignored;
  const pid_t child = fork();
  check(child >= 0, "{}: cannot be started: {}", words[0], std::strerror(errno));
  if (child == 0) {
    ignored.restore();
    if (!errors.empty()) dup2(open(errors.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
    execvp(arguments[0], arguments.data());
    std::fprintf(stderr, "gradamp emulate: %s: cannot be started: %s\n", arguments[0], std::strerror(errno));
    _exit(127);
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/// A rule for make or ninja, so that a changed header compiles the program again.
void write_dependencies(const fs::path& path, const fs::path& program, const std::vector<fs::path>& sources) {
  const auto escaped = [](const fs::path& file) {
    std::string name;
    for (const char c : file.string()) name += (c == ' ' || c == '#' ? "\\" : c == '$' ? "$" : "") + std::string(1, c);
    return name;
  };
  std::ofstream file(path);
  file << escaped(program) << ':';
  for (const fs::path& source : sources) file << ' ' << escaped(source);
  file << '\n';
  check(static_cast<bool>(file.flush()), "{}: cannot be written", path.string());
}

std::string text_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

/// The compiler's errors, and what the emulator has instead of the names that it lacks.
void report_errors(const std::string& errors, const EmulatorInstallation& installation) {
  std::cerr << errors;
  std::cerr << explain_missing_names(errors, installation.header_folder) << std::flush;
}

}  // namespace

int emulate(const EmulateOptions& options, const EmulatorInstallation& installation) {
  if (!options.ignored.empty())
    std::cerr << fmt::format("gradamp emulate: these options of nvcc have no effect here: {}\n",
                             fmt::join(options.ignored, " "));
  ProgramSources sources(options.include_folders);
  for (const fs::path& file : options.files) sources.add(file);
  const WorkFolder folder;
  const auto written = sources.translate_into(folder.path());

  std::vector<std::string> compile = installation.compiler;
  const auto append = [](std::vector<std::string>& to, const std::vector<std::string>& words) {
    to.insert(to.end(), words.begin(), words.end());
  };
  append(compile, {"-x", "c++"});
  append(compile, installation.compile_options);
  compile.emplace_back(options.debug ? "-O0" : "-O1");
  if (options.race) append(compile, installation.race_options);
  for (const std::string& definition : options.definitions) compile.push_back("-D" + definition);
  for (const std::string& include : options.include_folders) compile.push_back("-I" + include);
  for (const fs::path& file : options.files) compile.push_back("-I" + fs::absolute(file).parent_path().string());
  append(compile, options.compile_options);
  compile.emplace_back("-c");

  // -fsanitize=thread must not reach the linker, which would add ThreadSanitizer: so files are compiled apart.
  std::vector<std::string> link = installation.compiler;
  const fs::path errors = folder.path() / "errors";
  for (const fs::path& file : options.files) {
    const fs::path source = written.at(fs::weakly_canonical(file)), object = source.string() + ".o";
    std::vector<std::string> command = compile;
    append(command, {source.string(), "-o", object.string()});
    const int exit_code = run(command, errors);
    const std::string text = text_of(errors);
    if (exit_code != 0) {
      report_errors(text, installation);
      return 1;
    }
    std::cerr << text;
    link.push_back(object.string());
  }
  append(link, installation.link_options);
  append(link, options.link_options);
  const fs::path program = options.output.empty() ? folder.path() / "program" : options.output;
  append(link, {"-o", program.string()});
  const int link_exit_code = run(link, errors);
  const std::string text = text_of(errors);
  if (link_exit_code != 0) {
    report_errors(text, installation);
    return 1;
  }
  std::cerr << text;
  if (!options.dependencies.empty()) write_dependencies(options.dependencies, options.output, sources.files());
  if (!options.output.empty()) return 0;

  setenv("GRADAMP_EMULATION_ORDER", options.order.c_str(), 1);
  setenv("GRADAMP_EMULATION_SEED", std::to_string(options.seed).c_str(), 1);
  std::vector<std::string> words = {program.string()};
  append(words, options.arguments);
  const int exit_code = run(words);
  if (exit_code > 128 && exit_code < 128 + NSIG)
    std::cerr << "gradamp emulate: the program was ended by a signal: " << strsignal(exit_code - 128) << std::endl;
  return exit_code;
}

}  // namespace gradamp

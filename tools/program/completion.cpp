// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/completion.h"

#include <algorithm>
#include <cctype>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/nets/networks.h"
#include "gradamp/tools/sweep/sweep.h"

namespace gradamp {
namespace {

struct CompletedOption {
  std::string name;  // "--network"
  std::string help;  // its beginning, without characters that a shell interprets
  bool takes_value = false, takes_path = false;
  std::vector<std::string> values;
};

struct CompletedCommand {
  std::string words;  // "data fetch"; "" for the program itself
  std::string help;
  std::vector<CompletedOption> options;
  std::vector<std::string> commands;   // below it
  std::vector<std::string> arguments;  // known values of its argument
};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

std::vector<std::string> values_of(const std::string& option, const std::string& unit) {
  if (option == "--network") {
    std::vector<std::string> names;
    for (const NetworkInfo& info : networks()) names.push_back(info.name);
    return names;
  }
  if (option == "--dataset") return dataset_names();
  if (option == "--device") return {"auto", "cpu", "cuda", "emulated"};
  if (option == "--strategy") return strategy_names();
  if (option == "--resume") return {"last"};
  return unit.find('|') == unit.npos ? std::vector<std::string>() : split(unit, '|');
}

/// The first clause, as plain words.
std::string short_help(const std::string& help) {
  constexpr std::size_t kMaxHelp = 60;
  std::string text = help.substr(0, std::min(help.find_first_of(";:("), help.find(", ")));
  std::erase_if(text, [](unsigned char c) { return std::isalnum(c) == 0 && c != ' ' && c != '-' && c != ','; });
  if (text.size() > kMaxHelp) text.resize(text.rfind(' ', kMaxHelp));
  while (text.ends_with(' ') || text.ends_with(',')) text.pop_back();
  return text;
}

CompletedCommand completed(const CLI::App& app, const std::string& words) {
  CompletedCommand command{words, short_help(app.get_description()), {}, {}, {}};
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) {
      const std::string unit = option->get_type_size() == 0 ? "" : option->get_option_text();
      CompletedOption& added = command.options.emplace_back();
      added.name = "--" + name;
      added.help = short_help(option->get_description());
      added.takes_value = option->get_type_size() != 0;
      added.takes_path = unit == "FILE" || unit == "FOLDER" || unit == "PATH";
      added.values = values_of(added.name, unit);
    }
  }
  for (const CLI::App* below : app.get_subcommands({})) command.commands.push_back(below->get_name());
  if (words == "sweep") command.arguments = sweep_preset_names();
  if (words == "completion") command.arguments = completion_shells();
  return command;
}

void collect(const CLI::App& app, const std::string& words, std::vector<CompletedCommand>& commands) {
  commands.push_back(completed(app, words));
  for (const CLI::App* below : app.get_subcommands({}))
    collect(*below, words.empty() ? below->get_name() : words + " " + below->get_name(), commands);
}

/// A pattern for `case` that matches "COMMAND WORD" if WORD is a command below COMMAND.
std::string command_pattern(const std::vector<CompletedCommand>& commands) {
  std::vector<std::string> patterns;
  for (const CompletedCommand& command : commands)
    for (const std::string& below : command.commands) patterns.push_back("\"" + command.words + " " + below + "\"");
  return fmt::format("{}", fmt::join(patterns, " | "));
}

/// The case of `"$command:$option"` for every option that takes a value. `words` and `paths` are the shell's commands.
template <typename Words>
std::string value_cases(const std::vector<CompletedCommand>& commands, Words words, const char* paths) {
  std::string text;
  for (const CompletedCommand& command : commands)
    for (const CompletedOption& option : command.options) {
      if (!option.takes_value) continue;
      text += fmt::format("    \"{}:{}\") {}; return ;;\n", command.words, option.name,
                          option.values.empty() ? (option.takes_path ? paths : ":")
                          : option.takes_path   ? fmt::format("{}; {}", words(option.values), paths)
                                                : words(option.values));
    }
  return text;
}

std::string bash_script(const std::string& name, const std::vector<CompletedCommand>& commands) {
  const auto words = [](const std::vector<std::string>& values) {
    return fmt::format("COMPREPLY=($(compgen -W \"{}\" -- \"$current\"))", fmt::join(values, " "));
  };
  std::string text = fmt::format(R"(# Completion of {0} in bash: `. <({0} completion bash)`, for example in ~/.bashrc.
_{0}() {{
  local current=${{COMP_WORDS[COMP_CWORD]}} option=${{COMP_WORDS[COMP_CWORD-1]}} command="" words="" i
  if [ "$current" = "=" ]; then current=""  # bash splits --option=value
  elif [ "$option" = "=" ]; then option=${{COMP_WORDS[COMP_CWORD-2]}}; fi
  for ((i = 1; i < COMP_CWORD; ++i)); do
    case "$command ${{COMP_WORDS[i]}}" in
      {1}) command="${{command:+$command }}${{COMP_WORDS[i]}}" ;;
    esac
  done
  COMPREPLY=()
  case "$command:$option" in
)",
                                 name, command_pattern(commands));
  text += value_cases(commands, words, "compopt -o default");
  text += "  esac\n  case \"$command\" in\n";
  for (const CompletedCommand& command : commands) {
    std::vector<std::string> all = command.commands;
    all.insert(all.end(), command.arguments.begin(), command.arguments.end());
    for (const CompletedOption& option : command.options) all.push_back(option.name);
    text += fmt::format("    \"{}\") words=\"{}\" ;;\n", command.words, fmt::join(all, " "));
  }
  text += fmt::format(R"(  esac
  COMPREPLY=($(compgen -W "$words" -- "$current"))
  if [ -n "$command" ] && [ "${{current#-}}" = "$current" ]; then compopt -o default; fi
}}
complete -F _{0} {0}
)",
                      name);
  return text;
}

std::string zsh_script(const std::string& name, const std::vector<CompletedCommand>& commands) {
  const auto words = [](const std::vector<std::string>& values) {
    return fmt::format("compadd -- {}", fmt::join(values, " "));
  };
  std::string text = fmt::format(R"(#compdef {0}
# Completion of {0} in zsh: `. <({0} completion zsh)` in ~/.zshrc, after compinit.
_{0}() {{
  local option=${{words[CURRENT-1]}} command="" i
  local -a options
  if [[ $PREFIX == --*=* ]]; then
    option=${{PREFIX%%=*}}
    compset -P '*='
  fi
  for ((i = 2; i < CURRENT; ++i)); do
    case "$command ${{words[i]}}" in
      ({1}) command="${{command:+$command }}${{words[i]}}" ;;
    esac
  done
  case "$command:$option" in
)",
                                 name, command_pattern(commands));
  text += value_cases(commands, words, "_files");
  text += "  esac\n  case \"$command\" in\n";
  for (const CompletedCommand& command : commands) {
    text += fmt::format("    \"{}\")\n      options=(", command.words);
    for (const CompletedOption& option : command.options) text += fmt::format(" '{}:{}'", option.name, option.help);
    std::vector<std::string> plain = command.commands;
    plain.insert(plain.end(), command.arguments.begin(), command.arguments.end());
    text += fmt::format(" )\n      {} ;;\n", plain.empty() ? ":" : words(plain));
  }
  text += fmt::format(R"(  esac
  if [[ $PREFIX == -* ]]; then _describe -o option options
  elif [[ -n $command ]]; then _files; fi
}}
compdef _{0} {0}
)",
                      name);
  return text;
}

std::string fish_script(const std::string& name, const std::vector<CompletedCommand>& commands) {
  std::vector<std::string> known;
  for (const CompletedCommand& command : commands)
    if (!command.words.empty()) known.push_back("'" + command.words + "'");
  std::string text =
      fmt::format(R"(# Completion of {0} in fish: `{0} completion fish > ~/.config/fish/completions/{0}.fish`.
function __{0}_in --description 'whether this is the command of the line'
  set -l command ''
  for word in (commandline -opc)[2..]
    set -l longer (string trim "$command $word")
    if contains -- $longer {1}
      set command $longer
    end
  end
  test "$command" = "$argv[1]"
end
)",
                  name, fmt::join(known, " "));
  for (const CompletedCommand& command : commands) {
    const std::string start = fmt::format("complete -c {0} -n '__{0}_in \"{1}\"'", name, command.words);
    for (const std::string& below : command.commands) {
      const std::string longer = command.words.empty() ? below : command.words + " " + below;
      const auto found = std::find_if(commands.begin(), commands.end(),
                                      [&](const CompletedCommand& other) { return other.words == longer; });
      text += fmt::format("{} -f -a '{}' -d '{}'\n", start, below, found->help);
    }
    if (!command.arguments.empty()) text += fmt::format("{} -a '{}'\n", start, fmt::join(command.arguments, " "));
    for (const CompletedOption& option : command.options) {
      text += fmt::format("{} -l {}", start, option.name.substr(2));
      if (option.takes_value) text += option.takes_path ? " -r" : " -x";
      if (!option.values.empty()) text += fmt::format(" -a '{}'", fmt::join(option.values, " "));
      text += fmt::format(" -d '{}'\n", option.help);
    }
  }
  return text;
}

}  // namespace

const std::vector<std::string>& completion_shells() {
  static const std::vector<std::string> kShells = {"bash", "zsh", "fish"};
  return kShells;
}

std::string completion_script(const std::string& shell, const CLI::App& app) {
  std::vector<CompletedCommand> commands;
  collect(app, "", commands);
  if (shell == "bash") return bash_script(app.get_name(), commands);
  if (shell == "zsh") return zsh_script(app.get_name(), commands);
  if (shell == "fish") return fish_script(app.get_name(), commands);
  fail("expected one of the shells {}, got '{}'", fmt::join(completion_shells(), ", "), shell);
}

}  // namespace gradamp

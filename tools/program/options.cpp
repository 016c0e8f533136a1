// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/options.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <sstream>
#include <utility>

#include <fmt/ranges.h>
#include <CLI/CLI.hpp>

#include "gradamp/core/command_name.h"
#include "gradamp/core/text.h"
#include "gradamp/core/version.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tools/emulate/nvcc_options.h"
#include "gradamp/tools/program/completion.h"
#include "gradamp/tools/program/help_examples.h"
#include "gradamp/tools/program/help_formatter.h"
#include "gradamp/tools/program/slurm_options.h"
#include "gradamp/tools/settings/config_file.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

constexpr std::int64_t kMaxImages =
    std::numeric_limits<std::int32_t>::max();  // in a split; sizes in bytes then have 64 bits

constexpr std::int64_t kMaxConfigBytes = std::int64_t{1} << 20;

template <typename... Args>
[[noreturn]] void fail_usage(fmt::format_string<Args...> format, Args&&... args) {
  throw UsageError(fmt::format(format, std::forward<Args>(args)...));
}

/// A setting's value from one source. `source` names it in messages ("--epochs", "run.toml:3: epochs").
struct Assignment {
  const Setting* setting;
  std::string text;
  std::string source;
};

void assign(RunSettings& settings, const Assignment& assignment) {
  try {
    assign_setting(settings, *assignment.setting, assignment.text);
  } catch (const Error& error) {
    fail_usage("{}: {}", assignment.source, error.what());
  }
}

/// Returns the settings if they are valid. Otherwise throws UsageError. If the invalid value does not come from the
/// command line, the message names its source.
RunSettings validated(const RunSettings& settings, const std::vector<Assignment>& assignments = {}) {
  try {
    settings.validate();
  } catch (const Error& error) {
    const std::string message = error.what();
    std::string source;
    for (const Assignment& assignment : assignments)
      if (message.starts_with(fmt::format("--{}:", assignment.setting->name))) source = assignment.source;
    throw UsageError(source.empty() || source.starts_with("--") ? message : message + " (" + source + ")");
  }
  return settings;
}

std::vector<Assignment> from_environment(const Environment& environment) {
  std::vector<Assignment> assignments;
  for (const Setting& setting : setting_table()) {
    const std::string variable = setting.variable();
    const char* text = environment(variable.c_str());
    if (text != nullptr && *text != '\0') assignments.push_back({&setting, text, variable});
  }
  return assignments;
}

std::vector<Assignment> from_file(const std::string& path) {
  std::istringstream file;
  try {
    file.str(read_text(path, kMaxConfigBytes));
  } catch (const Error& error) {
    fail_usage("--config: {}", error.what());
  }
  std::vector<std::string> headings;
  for (const Setting& setting : setting_table()) {
    std::string heading(setting.group);
    std::transform(heading.begin(), heading.end(), heading.begin(), [](unsigned char c) { return std::tolower(c); });
    if (headings.empty() || headings.back() != heading) headings.push_back(heading);
  }
  Config file_content;
  try {
    file_content = read_config(file, path, headings);
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
  std::vector<Assignment> assignments;
  for (const ConfigEntry& entry : file_content.entries) {
    const Setting* setting = find_setting(entry.key);
    if (setting == nullptr)
      fail_usage("{}:{}: unknown key '{}'; {}", path, entry.line, shortened(entry.key), setting_hint(entry.key));
    assignments.push_back({setting, entry.value, fmt::format("{}:{}: {}", path, entry.line, entry.key)});
  }
  return assignments;
}

/// The text of --help: the meaning, and the valid numbers if not all are valid. For --dataset it lists the names in the
/// registry, including the datasets that the program registered itself.
std::string help_of(const Setting& setting) {
  const std::string range = setting.range_text();
  const std::string help = with_command_name(setting.help) + (range.empty() ? "" : "; " + range);
  if (setting.name != "dataset") return help;
  std::vector<std::string> names;
  for (const std::string& name : dataset_names())
    names.push_back(dataset_source(name).is_read ? name : name + " (drawn by the program)");
  return fmt::format("{}: {}", help, fmt::join(names, ", "));
}

/// The command line options that set settings. After parsing, it knows which of them were given.
class SettingOptions {
 public:
  /// Adds options for the settings of the kinds `wanted`, or for all settings if `wanted` is empty.
  explicit SettingOptions(CLI::App& command, SettingKinds wanted = {}) {
    const RunSettings defaults;
    for (const Setting& setting : setting_table()) {
      if (wanted.size() > 0 && !setting.is_one_of(wanted)) continue;
      const std::string name(setting.name), help = help_of(setting);
      CLI::Option* option = nullptr;
      if (setting.is_switch()) {
        option = command.add_flag("--" + name + ",!--no-" + name, help);
      } else {
        option = command.add_option("--" + name, help)->option_text(setting.unit())->type_size(1);
      }
      const std::string value = setting_text(defaults, setting);
      option->default_str(setting.is_switch() ? (value == "true" ? "on" : "off") : value);
      option->group(std::string(setting.group))->take_last();
      options_.emplace_back(&setting, option);
    }
  }

  /// The values that were given on the command line.
  std::vector<Assignment> given() const {
    std::vector<Assignment> assignments;
    for (const auto& [setting, option] : options_)
      if (option->count() > 0)
        assignments.push_back({setting, option->results().back(), "--" + std::string(setting->name)});
    return assignments;
  }

  RunSettings resolve(const std::string& config, const Environment& environment) const {
    std::vector<Assignment> assignments;  // the last one per setting takes effect
    if (!config.empty()) assignments = from_file(config);
    for (Assignment& assignment : from_environment(environment)) assignments.push_back(std::move(assignment));
    for (Assignment& assignment : given()) assignments.push_back(std::move(assignment));
    RunSettings settings;
    for (const Assignment& assignment : assignments) assign(settings, assignment);
    return validated(settings, assignments);
  }

 private:
  std::vector<std::pair<const Setting*, CLI::Option*>> options_;
};

/// The commands, and the variables that their options set.
struct Program {
  CLI::App app{
      "Trains CIFAR networks with intelligent gradient amplification: layers whose gradients point "
      "steadily one way are updated by more."};
  CLI::App *train = nullptr, *evaluate = nullptr, *sweep = nullptr, *report = nullptr, *data = nullptr, *info = nullptr,
           *emulate = nullptr, *help = nullptr, *completion = nullptr;
  CLI::App *predict = nullptr, *runs = nullptr, *compare = nullptr, *remove = nullptr;
  CLI::App *fetch = nullptr, *make = nullptr, *verify = nullptr;
  std::unique_ptr<SettingOptions> train_settings, evaluate_settings, predict_settings, sweep_settings;
  std::string config;
  bool version = false;
  TrainCommand train_command;
  EvaluateCommand evaluate_command;
  PredictCommand predict_command;
  SweepCommand sweep_command;
  std::string gpus;
  ReportCommand report_command;
  RunsCommand runs_command;
  std::string shell;
  FetchCommand fetch_command;
  std::string kind = "binary";
  MakeCommand make_command;
  VerifyCommand verify_command;
  InfoCommand info_command;
  EmulateOptions emulate_options;
  std::vector<std::string> emulated_files;
  std::string emulated_output, emulated_dependencies;
};

CLI::Option* add_text(CLI::App& command, const char* name, std::string& value, const char* unit, const char* help,
                      const char* group) {
  CLI::Option* option = command.add_option(name, value, help)->option_text(unit)->group(group)->take_last();
  if (!value.empty()) option->default_str(value);
  return option;
}

/// Adds an option for a number. `T` is an integer type or an optional of one.
template <typename T>
CLI::Option* add_number(CLI::App& command, const char* name, T& value, const char* unit, const char* help) {
  const auto whole = [](const std::string& text) -> std::string {  // CLI11 would take -1 for an unsigned number
    typename decltype(std::optional(T{}))::value_type number{};
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error == std::errc() && end == text.data() + text.size()) return "";
    return fmt::format("expected a whole number in range, got '{}'", shortened(text));
  };
  return command.add_option(name, value, help)->option_text(unit)->take_last()->check(whole);
}

void add_slurm(CLI::App& command, SlurmCommand& slurm, const char* help) {
  command.add_flag("--slurm", slurm.slurm, help)->group("Slurm");
  add_text(command, "--sbatch", slurm.sbatch, "OPTIONS",
           "of sbatch for --slurm: '--partition=gpu --gres=gpu:1 --time=60'", "Slurm");
  add_text(command, "--slurm-prologue", slurm.slurm_prologue, "FILE",
           "commands of bash for --slurm that each task runs first, such as `module load`; if they set the array "
           "launcher, it begins the program's command: launcher=(apptainer exec --nv IMAGE)",
           "Slurm");
  add_number(command, "--ranks", slurm.ranks, "NUMBER",
             "of processes that train each run with --slurm, which share its --shards; srun starts them")
      ->group("Slurm");
}

void add_train(Program& program) {
  CLI::App& train = *program.train;
  program.train_settings = std::make_unique<SettingOptions>(train);
  add_text(train, "--config", program.config, "FILE", "settings in TOML, or as lines `key = value`", "Run");
  add_text(train, "--resume", program.train_command.resume, "FOLDER",
           "resume the run in this folder with its own settings, or `last`, the newest unfinished one in runs/; others "
           "that are given must be equal, except --data, if the data were moved, and --epochs, which extends the run",
           "Run");
  add_text(train, "--branch", program.train_command.branch, "FOLDER",
           "take the epochs that this run has in common with the run in this folder from there", "Run");
  add_number(train, "--until", program.train_command.last_epoch, "EPOCH", "stop after this epoch; --resume continues")
      ->group("Run");
  add_number(train, "--rank-timeout", program.train_command.rank_timeout, "SECONDS",
             "end a run of several processes if one of them does not answer for this time, 1 or more")
      ->group("Run");
  train.add_flag("--quiet", program.train_command.quiet, "print the summary only")->group("Run");
  add_slurm(train, program.train_command, "submit the run to Slurm; its job is requeued before its time limit");
  train.add_flag("--dry-run", program.train_command.dry_run, "with --slurm: print the script, and submit nothing")
      ->group("Slurm");
  train.footer(
      "With MPI, `mpirun -n 4` in front of the command trains one run with four processes, which share --shards 8.\n\n"
      "Every setting is also an environment variable (GRADAMP_BATCH_SIZE) and a key of the file given with --config "
      "(batch-size = 128; a switch is true or false), but not --config, --resume, --branch, --until, --rank-timeout, "
      "--quiet and those of Slurm, which are of one call. The command line wins over the environment, that over the "
      "file. A switch is turned off with --no-NAME. SIGINT, SIGTERM and SIGUSR1 finish the step, save and end the run "
      "with exit code 130, 143 or 138 (mpirun has its own for SIGINT and SIGTERM); a second SIGINT or SIGTERM ends it "
      "at once, and so does a first SIGTERM after 10 seconds without progress.");
}

void add_evaluate(Program& program) {
  CLI::App& evaluate = *program.evaluate;
  EvaluateCommand& command = program.evaluate_command;
  add_text(evaluate, "--run", command.run, "FOLDER", "evaluate the last checkpoint of this run, with its settings",
           "What to evaluate");
  add_text(evaluate, "--weights", command.weights, "FILE",
           "evaluate this safetensors file, ours or PyTorch's, on --network and --dataset", "What to evaluate");
  evaluate
      .add_flag("--best", command.best,
                "with --run: the weights of the epoch with the highest accuracy on the held-out images")
      ->group("What to evaluate");
  add_text(evaluate, "--outputs", command.outputs, "FILE",
           "write what the network gives for the test images, before the softmax, as safetensors", "What to evaluate");
  static constexpr SettingKinds kKinds = {SettingKind::kImages, SettingKind::kSource, SettingKind::kModel,
                                          SettingKind::kDevice, SettingKind::kSpeed};
  program.evaluate_settings = std::make_unique<SettingOptions>(evaluate, kKinds);
  add_text(evaluate, "--config", program.config, "FILE", "settings as for train", "Run");
  evaluate.footer(
      "With --run, what is given on the command line changes the run's settings; the environment does not. Images are "
      "normalized by the training images' mean and deviation, so those are read too.");
}

void add_predict(Program& program) {
  CLI::App& predict = *program.predict;
  predict.add_option("folder", program.predict_command.run, "a run's folder, whose last checkpoint is used");
  predict.add_option("image", program.predict_command.images, "PNG or JPEG files")->default_str("");
  predict.add_flag("--json", program.predict_command.json, "print the probabilities of all classes as JSON")
      ->group("Options");
  static constexpr SettingKinds kKinds = {SettingKind::kSource, SettingKind::kDevice, SettingKind::kSpeed};
  program.predict_settings = std::make_unique<SettingOptions>(predict, kKinds);
  predict.footer(
      "Each image is resized to the size of the run's images, as a whole: an axis that shrinks is averaged by area, "
      "one that grows is interpolated linearly. It is normalized as the training images were; those are read only for "
      "a run of an earlier release, whose config.json lacks the numbers. Transparent pixels count as white; a JPEG's "
      "orientation is ignored. If an image cannot be read, the others are still predicted and the exit code is 1.");
}

void add_sweep(Program& program) {
  CLI::App& sweep = *program.sweep;
  SweepCommand& command = program.sweep_command;
  std::string presets;
  for (const std::string& name : sweep_preset_names()) presets += (presets.empty() ? "" : ", ") + name;
  sweep.add_option("file", command.file, "the sweep's file, or a preset: " + presets);
  add_text(sweep, "--folder", command.folder, "FOLDER", "for the sweep's files; without it, sweeps/NAME", "Sweep");
  add_number(sweep, "--jobs", command.jobs, "RUNS",
             "that are trained at a time; without it, 1, or one per GPU of --gpus")
      ->group("Sweep");
  add_text(sweep, "--gpus", program.gpus, "NUMBER,...",
           "GPUs for the runs, as in CUDA_VISIBLE_DEVICES; with a higher --jobs several runs share a GPU", "Sweep");
  sweep.add_flag("--dry-run", command.dry_run, "list the cells and estimate the time from a measured step")
      ->group("Sweep");
  sweep.add_flag("--status", command.status, "say how far the sweep is")->group("Sweep");
  add_number(sweep, "--only", command.only, "NUMBER",
             "train this run of the sweep alone, numbered as --status lists them")
      ->group("Sweep");
  add_slurm(sweep, command, "submit the sweep to Slurm as job arrays with one task per run");
  add_number(sweep, "--slurm-throttle", command.slurm_throttle, "TASKS",
             "that run at the same time at most, of those submitted now with --slurm")
      ->group("Slurm");
  sweep.add_flag("--print", command.print, "print the sweep's file, to be changed")->group("Sweep");
  sweep.add_flag("--quiet", command.quiet, "print the summary only")->group("Sweep");
  program.sweep_settings = std::make_unique<SettingOptions>(sweep);
  sweep.footer(
      "A sweep's file has settings as lines `key = value`; a value may be a list [a, b] or a range from:to:step, and "
      "every combination is a run. The headings [original], [random] and [amplified] make runs without amplification, "
      "with a random selection of layers, and with one by a measure. A setting given on the command line or in the "
      "environment holds for all runs. Finished runs of an interrupted sweep are not repeated. What follows `--` "
      "begins the command of each run: `-- mpirun -n 2` trains each with two processes.");
}

void add_report(Program& program) {
  CLI::App& report = *program.report;
  report.add_option("folder", program.report_command.folders, "runs, sweeps, or folders above them")->default_str("");
  add_text(report, "--out", program.report_command.destination, "FOLDER",
           "to write to; without it, `report` in the first folder, or `comparison` for two runs", "Options");
  report.footer(
      "Writes report.html, a page with everything that needs no network, its tables as Markdown and CSV, and its "
      "figures as SVG. It begins with the answer: whether a column differs from the original by more than chance. Two "
      "folders of runs are compared with each other. Needs Python 3.10 or later; GRADAMP_PYTHON can name one.");
}

void add_runs(Program& program) {
  CLI::App& runs = *program.runs;
  RunsCommand& command = program.runs_command;
  runs.add_option("folder", command.folders, "folders with runs; without one, runs")->default_str("");
  runs.add_flag("--json", command.json, "print JSON")->group("Options");
  runs.footer(
      "Lists the runs, the oldest first: epochs done of all, test accuracy, and whether the run is finished, running, "
      "stopped (--resume continues it), shared (the first epochs of a sweep's cells) or failed (with the reason). The "
      "recipe is the strategy and what else differs from the defaults.");
  program.compare = runs.add_subcommand("compare", "The settings that differ between two runs, and their figures.");
  program.compare->add_option("run", command.folders, "the folders of two runs")->default_str("");
  program.compare->add_flag("--json", command.json, "print JSON")->group("Options");
  program.remove = runs.add_subcommand("rm", "Remove runs, after a question.");
  program.remove->add_option("run", command.folders, "the runs' folders")->default_str("");
  program.remove->add_flag("--yes", command.yes, "do not ask")->group("Options");
  program.remove->footer(
      "Removes the files that the program made, and the folder if nothing else is in it. A run that is being trained "
      "is refused; then none is removed.");
}

void add_data(Program& program) {
  CLI::App& data = *program.data;
  program.fetch = data.add_subcommand("fetch", "Download CIFAR, check it and unpack it.");
  add_text(*program.fetch, "--dataset", program.fetch_command.dataset, "NAME", "cifar10 or cifar100", "Options");
  add_text(*program.fetch, "--dest", program.fetch_command.destination, "FOLDER",
           "for the folder with its files; without it, the cache, where train looks", "Options");
  add_text(*program.fetch, "--url", program.fetch_command.url, "ADDRESS",
           "of the .tar.gz; without it, GRADAMP_CIFAR10_URL or GRADAMP_CIFAR100_URL, else the author's server",
           "Options");
  add_text(*program.fetch, "--kind", program.kind, "binary|python", "which of the author's two archives it is",
           "Options");
  add_text(*program.fetch, "--md5", program.fetch_command.md5, "DIGITS",
           "of the archive; without it, what its author gives", "Options");

  program.make = data.add_subcommand("make", "Draw the synthetic dataset into files in CIFAR-10's layout.");
  add_text(*program.make, "--dest", program.make_command.destination, "FOLDER", "new or empty (required)", "Options");
  add_number(*program.make, "--seed", program.make_command.seed, "NUMBER", "what is drawn depends on it alone");
  add_number(*program.make, "--train", program.make_command.train_images, "IMAGES",
             "in five files; readers of CIFAR-10, train among them, expect the default");
  add_number(*program.make, "--test", program.make_command.test_images, "IMAGES", "likewise");

  program.verify = data.add_subcommand("verify", "Read a dataset's files strictly and say what is in them.");
  program.verify->add_option("path", program.verify_command.path, "folder or archive");
  add_text(*program.verify, "--dataset", program.verify_command.dataset, "NAME", "cifar10 or cifar100", "Options");
  add_number(*program.verify, "--train", program.verify_command.train_images, "IMAGES",
             "to expect for training, where not 50000");
  add_number(*program.verify, "--test", program.verify_command.test_images, "IMAGES",
             "to expect for testing, where not 10000");
}

void add_info(Program& program) {
  CLI::App& info = *program.info;
  add_number(info, "--threads", program.info_command.threads, "THREADS", "of the CPU; 0: as train does");
  info.add_flag("--check", program.info_command.check,
                "check that the GPU computes what the kernels expect, and print one line per part");
  info.add_flag("--settings", program.info_command.settings, "print the page of all settings, as Markdown");
  add_text(info, "--device", program.info_command.device, "DEVICE", "to check: cuda or emulated", "Options");
  info.footer(
      "Training and evaluation run this check by themselves before they first use a GPU with its driver and this "
      "build.");
}

void add_emulate(Program& program) {
  CLI::App& emulate = *program.emulate;
  EmulateOptions& options = program.emulate_options;
  emulate.add_option("file", program.emulated_files, "the program's .cu and .cpp files")->default_str("");
  emulate.add_flag("--race", options.race, "also find races and reads of uninitialized memory; much slower")
      ->group("Options");
  emulate.add_flag("--debug", options.debug, "compile without optimization, for gdb")->group("Options");
  add_text(emulate, "--order", options.order, "ORDER", "in which threads and blocks run: forward, reverse or shuffled",
           "Options");
  add_number(emulate, "--seed", options.seed, "NUMBER", "of the shuffled order; the same seed gives the same order")
      ->group("Options");
  emulate.add_option("-I,--include", options.include_folders, "add a folder of headers")
      ->default_str("")
      ->option_text("FOLDER")
      ->type_size(1)
      ->allow_extra_args(false)
      ->group("Options");
  emulate.add_option("-D,--define", options.definitions, "define a macro")
      ->default_str("")
      ->option_text("NAME[=VALUE]")
      ->type_size(1)
      ->allow_extra_args(false)
      ->group("Options");
  add_text(emulate, "-o,--output", program.emulated_output, "FILE", "keep the program here, and do not run it",
           "Options");
  add_text(emulate, "--dependencies", program.emulated_dependencies, "FILE",
           "with -o: write the program's sources here, as a rule for make or ninja", "Options");
  emulate.footer(
      "Compiles plain CUDA files with the C++ compiler (CXX, else c++, g++ or clang++) and runs them on the CPU. What "
      "follows `--` are the program's arguments. A mistake in a kernel is reported with its file and line; the exit "
      "code is then 1, else the program's own. nvcc's options are accepted; those that have no effect here are named. "
      "A program that was kept reads GRADAMP_EMULATION_ORDER, "
      "GRADAMP_EMULATION_SEED and GRADAMP_EMULATION_THREADS.");
}

void build(Program& program, int columns) {
  CLI::App& app = program.app;
  app.name(command_name());
  app.formatter(std::make_shared<HelpFormatter>(columns));
  app.get_formatter()->label("OPTIONS", "options");
  app.get_formatter()->label("SUBCOMMAND", "command");
  app.option_defaults()->always_capture_default();
  app.allow_extras();  // check_leftovers reports them
  app.set_help_flag("-h,--help", "print this help");
  app.add_flag("--version", program.version, "print the version");
  app.footer("`" + typed_command() + " help COMMAND` explains a command.");
  program.train = app.add_subcommand("train", "Train a network, or resume an interrupted run.");
  program.evaluate = app.add_subcommand("evaluate", "Loss and accuracy of trained weights on the test images.");
  program.predict = app.add_subcommand("predict", "Classes and probabilities for image files.");
  program.sweep = app.add_subcommand("sweep", "Train many runs that answer one question.");
  program.report = app.add_subcommand("report", "Tables and figures of runs, on one page.");
  program.runs = app.add_subcommand("runs", "List, compare and remove runs.");
  program.data = app.add_subcommand("data", "Fetch, make and verify datasets.");
  program.info = app.add_subcommand("info", "Version, devices, networks and datasets of this build.");
  program.emulate = app.add_subcommand("emulate", "Compile a CUDA program for the CPU, run it and find its mistakes.");
  program.completion = app.add_subcommand("completion", "Completion of the command line for a shell.");
  program.completion->add_option("shell", program.shell, fmt::format("{}", fmt::join(completion_shells(), ", ")))
      ->default_str("");
  program.completion->footer("Prints a script; its first lines say where it belongs.");
  program.help = app.add_subcommand("help", "Explain a command: `help train`.");
  program.help->allow_extras();
  add_train(program);
  add_evaluate(program);
  add_predict(program);
  add_sweep(program);
  add_report(program);
  add_runs(program);
  add_data(program);
  add_info(program);
  add_emulate(program);
  for (CLI::App* command : {program.predict, program.train, program.evaluate, program.sweep, program.report,
                            program.runs, program.data, program.info, program.emulate, program.compare, program.remove,
                            program.fetch, program.make, program.verify, program.completion, program.help})
    command->group("Commands");
  add_examples(app);
}

std::vector<std::string> option_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::Option* option : command.get_options())
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  return names;
}

std::vector<std::string> command_names(const CLI::App& command) {
  std::vector<std::string> names;
  for (const CLI::App* below : command.get_subcommands({})) names.push_back(below->get_name());
  return names;
}

/// The command as it is typed: "gradamp data fetch".
std::string full_name(const CLI::App& command) {
  if (command.get_parent() == nullptr) return typed_command();
  return full_name(*command.get_parent()) + " " + command.get_name();
}

/// UsageError if `command` has an unknown argument, or if a subcommand is missing or given more than once.
void check_leftovers(const CLI::App& command) {
  const std::vector<std::string> commands = command_names(command);
  const std::vector<std::string> rest = command.remaining();
  if (!rest.empty()) {
    const std::string word = rest.front().substr(0, rest.front().find('='));
    const bool is_option = word.starts_with('-');
    const std::vector<std::string> known = is_option ? option_names(command) : commands;
    const std::string called = is_option && word.size() > 2 ? "--" + std::string(setting_called(word.substr(2))) : "";
    const bool has_it = std::find(known.begin(), known.end(), called) != known.end();
    const std::string otherwise = has_it ? "did you mean '" + called + "'?" : "see `" + full_name(command) + " --help`";
    fail_usage("{} '{}'; {}", is_option ? "unknown option" : (commands.empty() ? "unexpected" : "unknown command"),
               shortened(word), hint_of(word, known, otherwise));
  }
  const bool can_be_alone = command.get_name() == "runs";
  if (!commands.empty() && command.get_subcommands().empty() && !can_be_alone) {
    std::string list;
    for (const std::string& name : commands) list += (list.empty() ? "" : ", ") + name;
    fail_usage("expected a command ({}); see `{} --help`", list, full_name(command));
  }
  const std::vector<CLI::App*> given = command.get_subcommands();
  if (given.size() > 1) fail_usage("expected one command, got {} and {}", given[0]->get_name(), given[1]->get_name());
  for (const CLI::App* below : given) check_leftovers(*below);
}

/// CLI11's message in one line, reworded if a value is missing.
std::string message_of(const CLI::ParseError& error) {
  std::string message = error.what();
  std::replace(message.begin(), message.end(), '\n', ' ');
  if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::ArgumentMismatch))
    return message.substr(0, message.find(':')) + ": expected a value";
  return message;
}

/// Adds the assignments to the command's changes. UsageError if a setting does not accept its value.
void add_changes(const std::vector<Assignment>& assignments, SettingChanges& command) {
  RunSettings scratch;
  for (const Assignment& assignment : assignments) {
    assign(scratch, assignment);
    command.changes.emplace_back(assignment.setting->name, assignment.text);
  }
}

TrainCommand finish_train(Program& program, const Environment& environment) {
  TrainCommand& command = program.train_command;
  check_slurm_command(*program.train, command, "`mpirun -n N` in front of the command");
  if (command.dry_run && !command.slurm) fail_usage("--dry-run: expected --slurm with it");
  if (program.train->count("--until") > 0 && command.last_epoch < 1)
    fail_usage("--until: expected an epoch from 1 on, got {}", command.last_epoch);
  if (command.rank_timeout < 1) fail_usage("--rank-timeout: expected at least 1 second, got {}", command.rank_timeout);
  if (program.train->count("--branch") > 0 && command.branch.empty()) fail_usage("--branch: expected a run's folder");
  if (program.train->count("--resume") == 0) {
    command.settings = program.train_settings->resolve(program.config, environment);
    return command;
  }
  if (command.resume.empty()) fail_usage("--resume: expected a run's folder");
  if (!command.branch.empty()) fail_usage("--branch cannot be given with --resume: a run begins but once");
  if (command.slurm)
    fail_usage(
        "--resume cannot be given with --slurm: submit the run with its settings and --run-folder; its job "
        "resumes it if it has begun");
  if (!program.config.empty()) add_changes(from_file(program.config), command);
  add_changes(program.train_settings->given(), command);
  return command;
}

EvaluateCommand finish_evaluate(Program& program, const Environment& environment) {
  EvaluateCommand& command = program.evaluate_command;
  if (command.run.empty() == command.weights.empty()) fail_usage("expected one of --run FOLDER and --weights FILE");
  if (command.best && command.run.empty()) fail_usage("--best: expected --run with it");
  if (command.run.empty()) {
    command.settings = program.evaluate_settings->resolve(program.config, environment);
    return command;
  }
  if (!program.config.empty()) fail_usage("--config cannot be given with --run, which has its own settings");
  add_changes(program.evaluate_settings->given(), command);
  return command;
}

PredictCommand finish_predict(Program& program) {
  PredictCommand& command = program.predict_command;
  if (command.run.empty() || command.images.empty())
    fail_usage("expected a run's folder and image files; see `{} predict --help`", command_name());
  add_changes(program.predict_settings->given(), command);
  return command;
}

SweepCommand finish_sweep(Program& program, const Environment& environment) {
  SweepCommand& command = program.sweep_command;
  if (command.file.empty())
    fail_usage("expected a sweep's file or the name of a preset; see `{} sweep --help`", typed_command());
  if (command.jobs < 1) fail_usage("--jobs: expected at least 1, got {}", command.jobs);
  if (command.slurm && (command.only || program.sweep->count("--jobs") > 0 || !program.gpus.empty()))
    fail_usage("--only, --jobs and --gpus cannot be given with --slurm: each of its tasks is one run");
  check_slurm_command(*program.sweep, command, "`-- mpirun -n N` behind the command");
  if (command.slurm_throttle && !command.slurm) fail_usage("--slurm-throttle: expected --slurm with it");
  if (command.slurm && !command.launcher.empty())
    fail_usage(
        "-- cannot be given with --slurm: --ranks starts several processes, and the array launcher of "
        "--slurm-prologue begins their command");
  if (command.slurm_throttle.value_or(1) < 1)
    fail_usage("--slurm-throttle: expected at least 1, got {}", *command.slurm_throttle);
  std::vector<Assignment> assignments = from_environment(environment);
  for (Assignment& assignment : program.sweep_settings->given()) assignments.push_back(std::move(assignment));
  for (const Assignment& assignment : assignments) {
    RunSettings scratch;
    assign(scratch, assignment);
    command.overrides.push_back({std::string(assignment.setting->name), assignment.text, assignment.source});
  }
  for (std::size_t begin = 0; begin < program.gpus.size();) {
    const std::size_t end = std::min(program.gpus.find(',', begin), program.gpus.size());
    command.gpus.push_back(program.gpus.substr(begin, end - begin));
    if (command.gpus.back().empty())
      fail_usage("--gpus: expected numbers separated by commas, got '{}'", shortened(program.gpus));
    begin = end + 1;
  }
  if (program.sweep->count("--jobs") == 0) command.jobs = std::max(1, static_cast<int>(command.gpus.size()));
  return command;
}

ReportCommand finish_report(Program& program) {
  if (program.report_command.folders.empty()) fail_usage("expected the folder of a run or a sweep");
  return program.report_command;
}

/// Turns "help data fetch" into "data fetch --help". UsageError if there is no such command.
void take_help(std::vector<std::string>& arguments, const CLI::App& app) {
  if (arguments.empty() || arguments[0] != "help") return;
  arguments.erase(arguments.begin());
  const CLI::App* command = &app;
  for (const std::string& word : arguments) {
    if (word.starts_with("-")) continue;
    const std::vector<std::string> known = command_names(*command);
    if (std::find(known.begin(), known.end(), word) == known.end())
      fail_usage("unknown command '{}'; {}", shortened(word),
                 hint_of(word, known, "see `" + typed_command() + " --help`"));
    command = command->get_subcommand(word);
  }
  arguments.emplace_back("--help");
}

ShowText finish_completion(const Program& program) {
  const std::vector<std::string>& shells = completion_shells();
  if (std::find(shells.begin(), shells.end(), program.shell) == shells.end())
    fail_usage("expected one of the shells {}{}", fmt::join(shells, ", "),
               program.shell.empty() ? "" : fmt::format(", got '{}'", shortened(program.shell)));
  return ShowText{completion_script(program.shell, program.app)};
}

RunsCommand finish_runs(Program& program) {
  RunsCommand& command = program.runs_command;
  if (program.compare->parsed()) {
    command.action = RunsCommand::Action::kCompare;
    if (command.folders.size() != 2) fail_usage("expected the folders of two runs, got {}", command.folders.size());
  } else if (program.remove->parsed()) {
    command.action = RunsCommand::Action::kRemove;
    if (command.folders.empty()) fail_usage("expected the folder of a run to remove");
  }
  return command;
}

void check_dataset_name(const std::string& name) {
  if (name != "cifar10" && name != "cifar100")
    fail_usage("--dataset: expected cifar10 or cifar100, got '{}'", shortened(name));
}

FetchCommand finish_fetch(Program& program) {
  check_dataset_name(program.fetch_command.dataset);
  if (program.kind != "binary" && program.kind != "python")
    fail_usage("--kind: expected binary or python, got '{}'", shortened(program.kind));
  program.fetch_command.python = program.kind == "python";
  return program.fetch_command;
}

MakeCommand finish_make(Program& program) {
  const MakeCommand& command = program.make_command;
  if (command.destination.empty()) fail_usage("--dest: expected a new or empty folder to write to");
  if (command.train_images < 5 || command.train_images % 5 != 0 || command.train_images > kMaxImages)
    fail_usage("--train: expected a multiple of 5 from 5 to {}, got {}", kMaxImages, command.train_images);
  if (command.test_images < 1 || command.test_images > kMaxImages)
    fail_usage("--test: expected 1 to {}, got {}", kMaxImages, command.test_images);
  return command;
}

VerifyCommand finish_verify(Program& program) {
  const VerifyCommand& command = program.verify_command;
  check_dataset_name(command.dataset);
  if (command.path.empty()) fail_usage("expected the folder or archive to verify");
  if (command.train_images.value_or(5) < 1 || (command.dataset == "cifar10" && command.train_images.value_or(5) % 5))
    fail_usage("--train: expected a multiple of 5 (cifar10) of at least 1, got {}", *command.train_images);
  if (command.test_images.value_or(1) < 1) fail_usage("--test: expected at least 1, got {}", *command.test_images);
  for (const std::optional<std::int64_t>& images : {command.train_images, command.test_images})
    if (images.value_or(0) > kMaxImages) fail_usage("expected at most {} images, got {}", kMaxImages, *images);
  return command;
}

InfoCommand finish_info(Program& program) {
  const InfoCommand& command = program.info_command;
  if (command.threads < 0) fail_usage("--threads: expected at least 0, got {}", command.threads);
  if (command.device != "cuda" && command.device != "emulated")
    fail_usage("--device: expected cuda or emulated, got '{}'", shortened(command.device));
  if (!command.check && program.info->count("--device") > 0) fail_usage("--device: expected --check with it");
  if (command.check && command.settings) fail_usage("expected one of --check and --settings, got both");
  return command;
}

EmulateOptions finish_emulate(Program& program, const std::vector<std::string>& arguments_of_program) {
  EmulateOptions& options = program.emulate_options;
  if (program.emulated_files.empty()) fail_usage("expected a .cu file; see `{} emulate --help`", typed_command());
  if (options.order != "forward" && options.order != "reverse" && options.order != "shuffled")
    fail_usage("--order: expected forward, reverse or shuffled, got '{}'", shortened(options.order));
  if (!program.emulated_dependencies.empty() && program.emulated_output.empty())
    fail_usage("--dependencies: expected -o FILE with it");
  if (!program.emulated_output.empty() && !arguments_of_program.empty())
    fail_usage("-o: expected no arguments of the program, which is kept and not run");
  options.files.assign(program.emulated_files.begin(), program.emulated_files.end());
  options.output = program.emulated_output;
  options.dependencies = program.emulated_dependencies;
  options.arguments = arguments_of_program;
  return options;
}

/// Removes "--" and the words that follow it, and returns these words: the arguments of an emulated program, or what
/// begins the command of a sweep's runs.
std::vector<std::string> take_words_after_dashes(std::vector<std::string>& arguments) {
  if (arguments.empty() || (arguments[0] != "emulate" && arguments[0] != "sweep")) return {};
  const auto dashes = std::find(arguments.begin(), arguments.end(), "--");
  if (dashes == arguments.end()) return {};
  std::vector<std::string> taken(dashes + 1, arguments.end());
  arguments.erase(dashes, arguments.end());
  return taken;
}

/// Takes nvcc's options out of the words behind `emulate`.
void take_nvcc_options_from(std::vector<std::string>& arguments, EmulateOptions& options) {
  if (arguments.empty() || arguments[0] != "emulate") return;
  try {
    NvccOptions taken = take_nvcc_options({arguments.begin() + 1, arguments.end()});
    arguments.resize(1);
    arguments.insert(arguments.end(), taken.others.begin(), taken.others.end());
    options.ignored = std::move(taken.ignored);
    options.compile_options = std::move(taken.compile_options);
    options.link_options = std::move(taken.link_options);
    options.debug = taken.debug;
  } catch (const Error& error) {
    throw UsageError(error.what());
  }
}

}  // namespace

RunSettings SettingChanges::apply_to(RunSettings stored) const {
  for (const auto& [name, text] : changes) assign_setting(stored, *find_setting(name), text);
  return validated(stored);
}

Command parse_command_line(const std::vector<std::string>& arguments, const Environment& environment, int columns) {
  Program program;
  build(program, columns);
  std::vector<std::string> own = arguments;
  take_help(own, program.app);
  const std::vector<std::string> after_dashes = take_words_after_dashes(own);
  program.sweep_command.launcher = after_dashes;
  take_nvcc_options_from(own, program.emulate_options);
  try {
    std::vector<std::string> reversed(own.rbegin(), own.rend());  // the order that CLI11 expects
    program.app.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    return ShowText{program.app.help() + "\n"};
  } catch (const CLI::ParseError& error) {
    throw UsageError(message_of(error));
  }
  if (program.version) return ShowText{"gradamp " GRADAMP_VERSION "\n"};
  check_leftovers(program.app);
  if (program.train->parsed()) {
    program.train_command.arguments = arguments;
    return finish_train(program, environment);
  }
  if (program.evaluate->parsed()) return finish_evaluate(program, environment);
  if (program.predict->parsed()) return finish_predict(program);
  if (program.sweep->parsed()) return finish_sweep(program, environment);
  if (program.report->parsed()) return finish_report(program);
  if (program.runs->parsed()) return finish_runs(program);
  if (program.completion->parsed()) return finish_completion(program);
  if (program.fetch->parsed()) return finish_fetch(program);
  if (program.make->parsed()) return finish_make(program);
  if (program.verify->parsed()) return finish_verify(program);
  if (program.emulate->parsed()) return finish_emulate(program, after_dashes);
  return finish_info(program);
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/options.h"

#include <map>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/command_name.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tests/tools/settings/other_value.h"
#include "gradamp/tools/settings/config_file.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using Variables = std::map<std::string, std::string>;

Command parse(const std::vector<std::string>& arguments, const Variables& variables = {}, int columns = 100) {
  const auto environment = [&](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
  return parse_command_line(arguments, environment, columns);
}

template <typename T>
T parse_as(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  return std::get<T>(parse(arguments, variables));
}

RunSettings train_settings(std::vector<std::string> arguments, const Variables& variables = {}) {
  arguments.insert(arguments.begin(), "train");
  return parse_as<TrainCommand>(arguments, variables).settings;
}

/// The message of the UsageError, which must be one line, or "(none)" if the arguments are valid.
std::string usage_error(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  try {
    parse(arguments, variables);
  } catch (const UsageError& error) {
    EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos);
    return error.what();
  }
  return "(none)";
}

std::string help(const std::vector<std::string>& arguments, int columns = 100) {
  return std::get<ShowText>(parse(arguments, {}, columns)).text;
}

/// The text with one space between words, so that line breaks do not matter.
std::string unwrapped(const std::string& text) {
  std::istringstream words(text);
  std::string all, word;
  while (words >> word) all += word + " ";
  return all;
}

class ConfigFile : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    put_text(folder_ / "run.toml", text);
    return (folder_ / "run.toml").string();
  }
  ScratchFolder folder_;
};

TEST(Options, HelpShowsEverySettingWithItsUnitAndDefault) {
  const std::string text = help({"train", "--help"});
  const std::string words = unwrapped(text);
  const RunSettings defaults;
  for (const Setting& setting : setting_table()) {
    std::string value = setting_text(defaults, setting);
    if (setting.is_switch()) {
      value = value == "true" ? "on" : "off";
      EXPECT_THAT(text, HasSubstr("  --[no-]" + std::string(setting.name) + " ")) << text;
    } else {
      EXPECT_THAT(words, HasSubstr(" --" + std::string(setting.name) + " " + setting.unit() + " "));
    }
    if (setting.name == "dataset") continue;  // its help contains the datasets' names too
    const std::string range = setting.range_text().empty() ? "" : "; " + setting.range_text();
    const std::string entry =
        unwrapped(with_command_name(setting.help) + range) + (value.empty() ? "" : "[default: " + value + "]");
    EXPECT_THAT(words, HasSubstr(entry)) << setting.name;
  }
  for (const std::string& dataset : dataset_names()) EXPECT_THAT(words, HasSubstr(" " + dataset)) << dataset;
  EXPECT_THAT(words, HasSubstr("what to train on: synthetic (drawn by the program), cifar10, "));
  for (const char* group : {"Data:", "Network:", "Training:", "Amplification:", "Run:"})
    EXPECT_THAT(text, HasSubstr(std::string("\n\n") + group + "\n"));
}

TEST_F(ConfigFile, TheSyntheticDatasetsEarlierNameIsKnown) {
  const auto dataset_of = [](const Command& command) { return std::get<TrainCommand>(command).settings.dataset; };
  EXPECT_EQ(dataset_of(parse({"train", "--dataset", "made"})), "synthetic");
  EXPECT_EQ(dataset_of(parse({"train"}, {{"GRADAMP_DATASET", "made"}})), "synthetic");
  EXPECT_EQ(dataset_of(parse({"train", "--config", write("dataset = made")})), "synthetic");
  nlohmann::json stored = to_json(RunSettings{});
  stored["dataset"] = "made";
  EXPECT_EQ(settings_from_json(stored).dataset, "synthetic");
}

TEST(Options, HelpFitsItsWidth) {
  for (const std::vector<std::string>& command :
       {std::vector<std::string>{"--help"}, {"train", "--help"}, {"evaluate", "-h"}, {"data", "fetch", "--help"}}) {
    std::istringstream lines(help(command, 80));
    for (std::string line; std::getline(lines, line);) EXPECT_LE(line.size(), 80u) << line;
  }
}

TEST(Options, HelpListsTheCommands) {
  const std::string text = help({"--help"});
  for (const char* name : {"\n  train ", "\n  evaluate ", "\n  predict ", "\n  data ", "\n  info ", "\n  emulate "})
    EXPECT_THAT(text, HasSubstr(name));
  EXPECT_THAT(help({"data", "--help"}), HasSubstr("\n  fetch "));
  EXPECT_THAT(help({"--version"}), StartsWith("gradamp "));
}

TEST(Options, NoOptionsGiveTheDefaults) {
  const RunSettings settings = train_settings({});
  for (const Setting& setting : setting_table())
    EXPECT_EQ(setting_text(settings, setting), setting_text({}, setting)) << setting.name;
}

TEST(Options, EverySettingComesFromEverySource) {
  // Settings whose value must be compatible with others. test::other_value chooses the other values.
  const std::map<std::string, std::string> chosen{{"dataset", "cifar10"},
                                                  {"data", "/my data/cifar"},
                                                  {"train-images", "1000"},
                                                  {"network", "resnet8"},
                                                  {"weights", "a.safetensors"},
                                                  {"epochs", "12"},
                                                  {"warmup", "0"},        // not with --schedule cosine
                                                  {"nesterov", "false"},  // not with --optimizer adamw
                                                  {"strategy", "3:0.1, 10:0.1:2, 12:0.01"},
                                                  {"reselect-every", "0"},
                                                  {"selection", "random"},
                                                  {"placement", "backprop"},
                                                  {"random-types", "bn,relu"},
                                                  {"seed", "12345678901234567890"},
                                                  {"device", "emulated"},
                                                  {"run-folder", "runs/a"}};
  std::map<std::string, std::string> values;
  for (const Setting& setting : setting_table()) {
    const auto found = chosen.find(std::string(setting.name));
    values[std::string(setting.name)] = found == chosen.end() ? test::other_value(setting) : found->second;
  }
  ScratchFolder folder;
  Variables variables;
  std::vector<std::string> arguments;
  std::string file;
  for (const Setting& setting : setting_table()) {
    const std::string name(setting.name);
    const std::string& value = values.at(name);
    variables[setting.variable()] = value;
    file += name + " = \"" + value + "\"\n";
    if (setting.is_switch()) {
      arguments.push_back((value == "true" ? "--" : "--no-") + name);
    } else {
      arguments.push_back("--" + name);
      arguments.push_back(value);
    }
  }
  put_text(folder / "all.toml", file);
  const RunSettings by_option = train_settings(arguments), by_variable = train_settings({}, variables);
  const RunSettings by_file = train_settings({"--config", (folder / "all.toml").string()});
  for (const Setting& setting : setting_table()) {
    const std::string& value = values.at(std::string(setting.name));
    EXPECT_EQ(setting_text(by_option, setting), value) << setting.name;
    EXPECT_EQ(setting_text(by_variable, setting), value) << setting.name;
    EXPECT_EQ(setting_text(by_file, setting), value) << setting.name;
  }
}

TEST_F(ConfigFile, CommandLineThenEnvironmentThenFileThenDefault) {
  const std::string file = write("epochs = 3\nbatch-size = 30\nmomentum = 0.3\naugment = false\nflip = false\n");
  const Variables variables{
      {"GRADAMP_EPOCHS", "2"}, {"GRADAMP_BATCH_SIZE", "20"}, {"GRADAMP_FLIP", "true"}, {"GRADAMP_SEED", ""}};
  const RunSettings settings = train_settings({"--config", file, "--epochs", "1", "--augment"}, variables);
  EXPECT_EQ(settings.epochs, 1);
  EXPECT_EQ(settings.batch_size, 20);
  EXPECT_EQ(settings.momentum, 0.3);
  EXPECT_TRUE(settings.augment);
  EXPECT_TRUE(settings.flip);
  EXPECT_EQ(settings.weight_decay, 5e-4);
  EXPECT_EQ(settings.seed, 1u);  // an empty variable counts as unset
}

TEST(Options, NumbersAreReadAsInToml) {
  EXPECT_EQ(train_settings({"--learning-rate", "+0.25"}).learning_rate, 0.25);
  EXPECT_EQ(train_settings({"--learning-rate", "+.5"}).learning_rate, 0.5);
  EXPECT_EQ(train_settings({"--epochs", "+3"}).epochs, 3);
  EXPECT_EQ(train_settings({"--epochs", "1_000"}).epochs, 1000);
  EXPECT_EQ(train_settings({"--seed", "0xff_ff"}).seed, 65535u);
  EXPECT_EQ(train_settings({"--seed", "0o17"}).seed, 15u);
  EXPECT_EQ(train_settings({"--learning-rate", "1_0.5e-1_0"}).learning_rate, 10.5e-10);
  EXPECT_THAT(usage_error({"train", "--epochs", "1__0"}), HasSubstr("expected a whole number, got '1__0'"));
  EXPECT_THAT(usage_error({"train", "--epochs", "+-3"}), HasSubstr("expected a whole number, got '+-3'"));
  EXPECT_THAT(usage_error({"train", "--epochs", "+"}), HasSubstr("expected a whole number, got '+'"));
}

TEST(Options, NumbersOfEpochsHave64Bits) {
  const RunSettings settings =
      train_settings({"--reselect-every", "9223372036854775807", "--warmup", "9223372036854775807"});
  EXPECT_EQ(settings.reselect_every, 9223372036854775807);
  EXPECT_EQ(settings.warmup_epochs, 9223372036854775807);
  EXPECT_EQ(settings_from_json(to_json(settings)).reselect_every, 9223372036854775807);
  EXPECT_THAT(usage_error({"train", "--reselect-every", "9223372036854775808"}), HasSubstr("expected a whole number"));
}

/// Shells replace ~ only at the beginning of a word, so not in "--data=~/d", in the environment and in files.
TEST_F(ConfigFile, TheTildeIsTheHomeFolder) {
  const char* const given = std::getenv("HOME");
  const std::string home = given == nullptr ? "" : given;
  ::setenv("HOME", "/home/me", 1);
  const RunSettings settings =
      train_settings({"--dataset=cifar10", "--data=~/d", "--weights=~", "--config", write("run-folder = ~/runs/a\n")});
  EXPECT_EQ(settings.data, "/home/me/d");
  EXPECT_EQ(settings.weights, "/home/me");
  EXPECT_EQ(settings.run_folder, "/home/me/runs/a");
  EXPECT_EQ(train_settings({"--weights=~b/c"}).weights, "~b/c");
  ::unsetenv("HOME");
  EXPECT_THAT(usage_error({"train", "--weights=~/w"}), HasSubstr("expected HOME in the environment"));
  if (given != nullptr) ::setenv("HOME", home.c_str(), 1);
}

TEST(Options, ALongValueIsShortenedInMessages) {
  const std::string value(100000, 'x');
  for (const char* option : {"--epochs=", "--device=", "--strategy=", "--network=", "--nothing-"})
    EXPECT_LT(usage_error({"train", option + value}).size(), 1000u) << option;
}

TEST_F(ConfigFile, UnknownKeyIsNamed) {
  EXPECT_THAT(usage_error({"train", "--config", write("\nbatchsize = 3\n")}),
              testing::EndsWith("run.toml:2: unknown key 'batchsize'; did you mean 'batch-size'?"));
  EXPECT_THAT(usage_error({"train", "--config", write("[sweep]\n")}), HasSubstr("run.toml:1: unknown heading [sweep]"));
  EXPECT_THAT(usage_error({"train", "--config", write("[original]\n")}), HasSubstr("sweep FILE` trains it"));
}

TEST_F(ConfigFile, BadValuesNameTheirSource) {
  EXPECT_THAT(usage_error({"train", "--config", write("[training]\nepochs = many")}),
              testing::EndsWith("run.toml:2: epochs: expected a whole number, got 'many'"));
  EXPECT_THAT(usage_error({"train", "--config", write("epochs = -2")}),
              testing::AllOf(StartsWith("--epochs: expected at least 0, got -2 ("), HasSubstr("run.toml:1: epochs)")));
  EXPECT_EQ(usage_error({"train"}, {{"GRADAMP_EPOCHS", "x"}}), "GRADAMP_EPOCHS: expected a whole number, got 'x'");
  EXPECT_EQ(usage_error({"train"}, {{"GRADAMP_EPOCHS", "-1"}}),
            "--epochs: expected at least 0, got -1 (GRADAMP_EPOCHS)");
  EXPECT_EQ(usage_error({"train", "--config", "/nothing/here"}),
            "--config: cannot read /nothing/here: No such file or directory");
  EXPECT_EQ(usage_error({"train", "--config", folder_.path().string()}),
            "--config: cannot read " + folder_.path().string() + ": it is a folder; expected a regular file");
  EXPECT_THAT(usage_error({"train", "--config", write(std::string((1 << 20) + 1, '\n'))}),
              testing::EndsWith("run.toml: it has more than 1048576 bytes, which no file of this kind has"));
}

TEST(ConfigReader, ReadsTomlAndIni) {
  std::istringstream file(
      "# a comment\r\n"
      "; another\n"
      "[data]  # with a comment\n"
      "data = \"/a # b; c\" # the folder\n"
      "weights = 'C:\\x'\n"
      "strategy=2:0.1, 4:0.1:2 ; bare\n"
      "url = a#b;c\n"
      "types = [\"conv\", bn , 'relu',]\n"
      "quoted = \"a \\\"b\\\" \\\\\"\n"
      "empty = \"\"\n"
      "equal = a=b\n");
  std::string text;
  const Config config = read_config(file, "f", {"data"});
  for (const ConfigEntry& entry : config.entries) text += fmt::format("{}|{}|{}\n", entry.line, entry.key, entry.value);
  EXPECT_EQ(text,
            "4|data|/a # b; c\n5|weights|C:\\x\n6|strategy|2:0.1, 4:0.1:2\n7|url|a#b;c\n8|types|conv,bn,relu\n"
            "9|quoted|a \"b\" \\\n10|empty|\n11|equal|a=b\n");
}

/// Keys and values, one per line: "key=value".
std::string entries_of(const std::string& file) {
  std::istringstream stream(file);
  std::string text;
  for (const ConfigEntry& entry : read_config(stream, "f", {"data", "training"}).entries)
    text += fmt::format("{}|{}={}\n", entry.line, entry.key, entry.value);
  return text;
}

TEST(ConfigReader, ReadsToml) {
  EXPECT_EQ(entries_of("types = [ # of layers\n  conv,\n\n  'bn', # batch norm\n]\nseed = 3\n"),
            "1|types=conv,bn\n6|seed=3\n");
  EXPECT_EQ(entries_of("a = \"\\b\\t\\n\\f\\r\\e\\\"\\\\\\u00e9\\U0001F600\""),
            "1|a=\b\t\n\f\r\x1b\"\\\xc3\xa9\xf0\x9f\x98\x80\n");
  EXPECT_EQ(entries_of("a = \"\"\"\nx\n\"y\" \\\n   z\"\"\"\nb = \'\'\'\nc\\n\'\'\'\n"), "1|a=x\n\"y\" z\n5|b=c\\n\n");
  EXPECT_EQ(entries_of("\"batch-size\" = 3\n'seed' = 4\ntraining.epochs = 5\ntraining.\"warmup\" = 6\n"),
            "1|batch-size=3\n2|seed=4\n3|epochs=5\n4|warmup=6\n");
  EXPECT_EQ(entries_of("training = { epochs = 3, types = [conv, bn] }\n"), "1|epochs=3\n1|types=conv,bn\n");
  EXPECT_EQ(entries_of("threshold = 0.7:2.5:0.1\nstrategy = params_1\n"),
            "1|threshold=0.7:2.5:0.1\n2|strategy=params_1\n");
}

TEST(ConfigReader, ReadsWhatEditorsWrite) {
  EXPECT_EQ(entries_of("\xef\xbb\xbfseed = 3\n"), "1|seed=3\n");
  const std::string text = "data = '\xc3\xa9\xf0\x9f\x98\x80'\r\nseed = 3";
  const std::u16string wide = u"\ufeffdata = '\u00e9\U0001F600'\r\nseed = 3";
  for (const bool big : {false, true}) {
    std::string bytes;
    for (const char16_t c : wide) {
      const char low = static_cast<char>(c & 255), high = static_cast<char>(c >> 8);
      bytes += big ? std::string{high, low} : std::string{low, high};
    }
    EXPECT_EQ(entries_of(bytes), entries_of(text));
  }
}

TEST(ConfigReader, RefusesWhatItCannotRead) {
  const auto error_of = [](const std::string& text) -> std::string {
    std::istringstream file(text);
    try {
      read_config(file, "f", {"data"});
    } catch (const Error& error) {
      return error.what();
    }
    return "(none)";
  };
  EXPECT_EQ(error_of("a = 1\nb\n"), "f:2: expected key = value, got 'b'");
  EXPECT_EQ(error_of("x"), "f:1: expected key = value, got 'x'");
  EXPECT_EQ(error_of("= 3"), "f:1: expected key = value, got '= 3'");
  EXPECT_EQ(error_of("\"\" = 3"), "f:1: expected key = value, got '\"\" = 3'");
  EXPECT_EQ(error_of("a = 1\n\na = 2"), "f:3: 'a' is already in line 1");
  EXPECT_EQ(error_of("a ="), "f:1: expected a value (an empty text is \"\")");
  EXPECT_EQ(error_of("a = # nothing"), "f:1: expected a value (an empty text is \"\")");
  EXPECT_EQ(error_of("a = \"b"), "f:1: a text without its closing \"");
  EXPECT_EQ(error_of("a = \"b\" c"), "f:1: cannot read 'c' after the value");
  EXPECT_EQ(error_of("a = 1\nb = [c\nd = 2"),
            "f:3: expected , or ] after 'c' in the list that begins in line 2, got 'd = 2'");
  EXPECT_EQ(error_of("b = [c,\n"), "f:1: a list without its closing ]");
  EXPECT_EQ(error_of("b = [[c]]"), "f:1: a list in a list; expected values");
  EXPECT_EQ(error_of("a = \"\"\"b\n"), "f:1: a text without its closing \"\"\"");
  EXPECT_EQ(error_of("a = 'b\xff'"), "f:1: expected text in UTF-8 or UTF-16");
  EXPECT_EQ(error_of("a = 1\nb = 2\nb\x01 = 3"), "f:3: expected key = value, got 'b\\x01 = 3'");
  EXPECT_EQ(error_of(std::string("a = 1\n") + std::string(100000, '[')).size() < 300, true);
  EXPECT_EQ(error_of("a = \"\\ud800\""), "f:1: expected a Unicode character, got \\ud800");
  EXPECT_EQ(error_of("[Data]\na = 1"), "(none)");
  EXPECT_EQ(error_of("[data"), "f:1: a heading without its closing ]");
  EXPECT_EQ(error_of("[data] a = 1"), "f:1: cannot read 'a = 1' after the heading");
  EXPECT_EQ(error_of("[[data]]"), "f:1: [[data]] is a list of tables; expected a heading [data]");
  EXPECT_THAT(error_of("a = \"b\\q\""), HasSubstr("after \\ expected"));
}

TEST(Options, WrongUsageSaysWhatToDo) {
  EXPECT_EQ(
      usage_error({}),
      "expected a command (train, evaluate, predict, sweep, report, runs, data, info, emulate, completion, help); see "
      "`gradamp --help`");
  EXPECT_EQ(usage_error({"data"}), "expected a command (fetch, make, verify); see `gradamp data --help`");
  EXPECT_EQ(usage_error({"trian"}), "unknown command 'trian'; did you mean 'train'?");
  EXPECT_EQ(usage_error({"train", "evaluate"}), "expected one command, got train and evaluate");
  EXPECT_EQ(usage_error({"train", "--batchsize", "4"}), "unknown option '--batchsize'; did you mean '--batch-size'?");
  EXPECT_EQ(usage_error({"train", "--bacth-size=4"}), "unknown option '--bacth-size'; did you mean '--batch-size'?");
  EXPECT_EQ(usage_error({"train", "--lr", "0.1"}), "unknown option '--lr'; did you mean '--learning-rate'?");
  EXPECT_EQ(usage_error({"runs", "--lr"}), "unknown option '--lr'; see `gradamp runs --help`");  // which has none
  EXPECT_EQ(usage_error({"train", "-x"}), "unknown option '-x'; see `gradamp train --help`");
  EXPECT_EQ(usage_error({"train", "--zzzzzzzz"}), "unknown option '--zzzzzzzz'; see `gradamp train --help`");
  EXPECT_EQ(usage_error({"train", "extra"}), "unexpected 'extra'; see `gradamp train --help`");
  EXPECT_EQ(usage_error({"train", "--epochs"}), "--epochs: expected a value");
  EXPECT_EQ(usage_error({"train", "--epochs", "3x"}), "--epochs: expected a whole number, got '3x'");
  EXPECT_EQ(usage_error({"train", "--batch-size", "0"}), "--batch-size: expected 1 to 2147483647, got 0");
  EXPECT_EQ(usage_error({"train", "--measure", "G"}), "--measure: expected one of g, g-prime, got 'G'");
  EXPECT_EQ(usage_error({"train", "--augment=maybe"}).rfind("--augment", 0), 0u);
}

TEST(Options, LaterOptionsWin) {
  EXPECT_EQ(train_settings({"--epochs", "1", "--epochs=2"}).epochs, 2);
  EXPECT_FALSE(train_settings({"--augment", "--no-augment"}).augment);
  EXPECT_TRUE(train_settings({"--no-augment", "--augment"}).augment);
}

TEST_F(ConfigFile, ResumeTakesSettingsToCompareWithTheRuns) {
  const auto command = parse_as<TrainCommand>({"train", "--resume", "runs/a", "--quiet"}, {{"GRADAMP_EPOCHS", "x"}});
  EXPECT_EQ(command.resume, "runs/a");
  EXPECT_TRUE(command.quiet);
  EXPECT_TRUE(command.changes.empty());
  const auto given = parse_as<TrainCommand>(
      {"train", "--resume", "runs/a", "--epochs", "3", "--no-flip", "--config", write("seed = 7\nepochs = 4\n")});
  RunSettings stored;
  stored.batch_size = 32;
  const RunSettings changed = given.apply_to(stored);
  EXPECT_EQ(changed.epochs, 3);
  EXPECT_FALSE(changed.flip);
  EXPECT_EQ(changed.seed, 7u);
  EXPECT_EQ(changed.batch_size, 32);
  EXPECT_EQ(usage_error({"train", "--resume", "runs/a", "--epochs", "x"}),
            "--epochs: expected a whole number, got 'x'");
}

TEST(Options, EvaluateTakesWeightsOrARun) {
  EXPECT_EQ(usage_error({"evaluate"}), "expected one of --run FOLDER and --weights FILE");
  EXPECT_EQ(usage_error({"evaluate", "--run", "a", "--weights", "b"}),
            "expected one of --run FOLDER and --weights FILE");
  EXPECT_EQ(usage_error({"evaluate", "--weights", "b", "--epochs", "3"}).rfind("unknown option '--epochs'", 0), 0u);
  const auto weights = parse_as<EvaluateCommand>({"evaluate", "--weights", "b", "--network", "resnet8"});
  EXPECT_EQ(weights.weights, "b");
  EXPECT_EQ(weights.settings.network, "resnet8");

  const auto run = parse_as<EvaluateCommand>({"evaluate", "--run", "a", "--test-images", "10"});
  RunSettings stored;
  stored.network = "resnet56";
  stored.test_images = 500;
  EXPECT_EQ(run.apply_to(stored).network, "resnet56");
  EXPECT_EQ(run.apply_to(stored).test_images, 10);
  EXPECT_EQ(usage_error({"evaluate", "--run", "a", "--test-images", "x"}),
            "--test-images: expected a whole number, got 'x'");
  stored.batch_size = 0;
  EXPECT_THROW(run.apply_to(stored), UsageError);
}

TEST(Options, Runs) {
  using Action = RunsCommand::Action;
  EXPECT_TRUE(parse_as<RunsCommand>({"runs"}).folders.empty());
  const auto list = parse_as<RunsCommand>({"runs", "a", "b", "--json"});
  EXPECT_THAT(list.folders, ElementsAre("a", "b"));
  EXPECT_TRUE(list.json && list.action == Action::kList);
  const auto compare = parse_as<RunsCommand>({"runs", "compare", "a", "b"});
  EXPECT_THAT(compare.folders, ElementsAre("a", "b"));
  EXPECT_EQ(compare.action, Action::kCompare);
  const auto remove = parse_as<RunsCommand>({"runs", "rm", "a", "--yes"});
  EXPECT_TRUE(remove.yes && remove.action == Action::kRemove);
  EXPECT_EQ(usage_error({"runs", "compare", "a"}), "expected the folders of two runs, got 1");
  EXPECT_EQ(usage_error({"runs", "rm"}), "expected the folder of a run to remove");
}

TEST(Options, DataCommands) {
  const auto fetch = parse_as<FetchCommand>(
      {"data", "fetch", "--dataset", "cifar100", "--kind", "python", "--url", "u", "--md5", "m", "--dest", "d"});
  EXPECT_EQ(fetch.dataset, "cifar100");
  EXPECT_TRUE(fetch.python);
  EXPECT_EQ(fetch.url + fetch.md5 + fetch.destination, "umd");
  EXPECT_EQ(usage_error({"data", "fetch", "--kind", "zip"}), "--kind: expected binary or python, got 'zip'");
  EXPECT_EQ(usage_error({"data", "fetch", "--dataset", "synthetic"}),
            "--dataset: expected cifar10 or cifar100, got 'synthetic'");

  const auto make = parse_as<MakeCommand>({"data", "make", "--dest", "d", "--seed", "18446744073709551615"});
  EXPECT_EQ(make.seed, 18446744073709551615u);
  EXPECT_EQ(make.train_images, 50000);
  EXPECT_EQ(usage_error({"data", "make"}), "--dest: expected a new or empty folder to write to");
  EXPECT_EQ(usage_error({"data", "make", "--dest", "d", "--seed", "-1"}),
            "--seed: expected a whole number in range, got '-1'");
  EXPECT_EQ(usage_error({"data", "make", "--dest", "d", "--train", "12"}),
            "--train: expected a multiple of 5 from 5 to 2147483647, got 12");
  EXPECT_EQ(usage_error({"data", "make", "--dest", "d", "--test", "0"}), "--test: expected 1 to 2147483647, got 0");

  const auto verify = parse_as<VerifyCommand>({"data", "verify", "d", "--test", "7"});
  EXPECT_EQ(verify.path, "d");
  EXPECT_FALSE(verify.train_images.has_value());
  EXPECT_EQ(verify.test_images, 7);
  EXPECT_EQ(usage_error({"data", "verify"}), "expected the folder or archive to verify");
  EXPECT_EQ(usage_error({"info", "--threads", "x"}), "--threads: expected a whole number in range, got 'x'");
  EXPECT_EQ(usage_error({"info", "--check", "--device", "cpu"}), "--device: expected cuda or emulated, got 'cpu'");
  EXPECT_EQ(usage_error({"info", "--device", "emulated"}), "--device: expected --check with it");
  EXPECT_TRUE(parse_as<InfoCommand>({"info", "--settings"}).settings);
  EXPECT_EQ(usage_error({"info", "--settings", "--check"}), "expected one of --check and --settings, got both");
}

TEST(Options, Predict) {
  const auto command =
      parse_as<PredictCommand>({"predict", "runs/a", "cat.png", "dog.jpg", "--json", "--threads", "3"});
  EXPECT_EQ(command.run, "runs/a");
  EXPECT_EQ(command.images, (std::vector<std::string>{"cat.png", "dog.jpg"}));
  EXPECT_TRUE(command.json);
  EXPECT_EQ(command.apply_to({}).threads, 3);
  for (const std::vector<std::string>& lacking : {std::vector<std::string>{"predict"}, {"predict", "runs/a"}})
    EXPECT_EQ(usage_error(lacking), "expected a run's folder and image files; see `gradamp predict --help`");
}

TEST(Options, Emulate) {
  const auto options = parse_as<EmulateOptions>({"emulate", "a.cu", "-I", "x", "-Iy", "b.cu", "-D", "N=1", "--race",
                                                 "--order", "shuffled", "--seed", "7", "--", "--help", "c.cu"});
  EXPECT_THAT(options.files, ElementsAre("a.cu", "b.cu"));
  EXPECT_THAT(options.include_folders, ElementsAre("x", "y"));
  EXPECT_THAT(options.definitions, ElementsAre("N=1"));
  EXPECT_THAT(options.arguments, ElementsAre("--help", "c.cu"));
  EXPECT_TRUE(options.race);
  EXPECT_FALSE(options.debug);
  EXPECT_EQ(options.order, "shuffled");
  EXPECT_EQ(options.seed, 7u);
  EXPECT_EQ(parse_as<EmulateOptions>({"emulate", "-o", "p", "a.cu"}).output, "p");
  EXPECT_EQ(usage_error({"emulate"}), "expected a .cu file; see `gradamp emulate --help`");
  EXPECT_EQ(usage_error({"emulate", "a.cu", "--order", "any"}),
            "--order: expected forward, reverse or shuffled, got 'any'");
  EXPECT_EQ(usage_error({"emulate", "a.cu", "--dependencies", "d"}), "--dependencies: expected -o FILE with it");
  EXPECT_EQ(usage_error({"emulate", "a.cu", "-o", "p", "--", "1"}),
            "-o: expected no arguments of the program, which is kept and not run");
}

TEST(Options, NearestWord) {
  const std::vector<std::string> words{"--epochs", "--seed", "--batch-size"};
  EXPECT_EQ(nearest_word("--epoch", words), "--epochs");
  EXPECT_EQ(nearest_word("--sede", words), "--seed");
  EXPECT_EQ(nearest_word("--learning-rate", words), "");
}

}  // namespace
}  // namespace gradamp

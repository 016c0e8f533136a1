// SPDX-License-Identifier: MIT
// Tests of the built program: exit codes, standard output and standard error.
#include <array>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <utility>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include "gradamp/core/processors.h"
#include "gradamp/core/version.h"
#include "gradamp/nets/networks.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tests/tools/program/finished.h"
#include "gradamp/tools/run/console.h"
#include "gradamp/tools/settings/settings_page.h"

namespace gradamp {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class Program : public testing::Test {
 protected:
  /// Runs the program with `arguments` as in a shell. The environment contains only `variables` and an empty cache.
  Finished run(const std::string& arguments, const std::string& variables = "",
               const std::string& program = GRADAMP_PROGRAM) const {
    const std::string command =
        fmt::format("cd {} && env -i HOME={} XDG_CACHE_HOME={} OMP_NUM_THREADS=1 {} {} {} >out 2>err </dev/null",
                    path_of(""), path_of("home"), path_of("cache"), variables, shell_word(program), arguments);
    const int status = std::system(command.c_str());
    return {WIFEXITED(status) ? WEXITSTATUS(status) : -1, text_of(folder_ / "out"), text_of(folder_ / "err")};
  }
  std::string path_of(const std::string& name) const { return shell_word((folder_.path() / name).string()); }

  ScratchFolder folder_;
};

/// Expects an error: one line that begins with the program's name.
void expect_error(const Finished& finished, int exit_code, const std::string& message) {
  EXPECT_EQ(finished.exit_code, exit_code);
  EXPECT_EQ(finished.out, "");
  EXPECT_THAT(finished.err, StartsWith("gradamp: "));
  EXPECT_THAT(finished.err, HasSubstr(message));
  EXPECT_EQ(finished.err.find('\n'), finished.err.size() - 1) << finished.err;
}

TEST_F(Program, Help) {
  for (const char* arguments :
       {"--help", "train --help", "evaluate --help", "data --help", "data fetch -h", "data make -h", "data verify -h",
        "info --help", "help", "help train", "help data fetch", "runs rm --help", "completion -h"}) {
    const Finished finished = run(arguments);
    EXPECT_EQ(finished.exit_code, 0) << arguments;
    EXPECT_THAT(finished.out, HasSubstr("Usage: gradamp")) << arguments;
    EXPECT_THAT(finished.out, HasSubstr("\n\nExamples:\n  " + shell_word(GRADAMP_PROGRAM) + " ")) << arguments;
    EXPECT_EQ(finished.err, "") << arguments;
  }
  EXPECT_EQ(run("help data fetch").out, run("data fetch --help").out);
  expect_error(run("help trian"), 2, "unknown command 'trian'; did you mean 'train'?");
  expect_error(run("help data zzzzzz"), 2, "unknown command 'zzzzzz'; see `");
  EXPECT_THAT(run("--version").out, StartsWith("gradamp "));
}

TEST_F(Program, ARunStoresItsCommandLine) {
  const std::string arguments =
      "train --network resnet8 --train-images 20 --test-images 10 --batch-size 10 --epochs 1 --run-folder 'a run'";
  ASSERT_EQ(run(arguments).exit_code, 0);
  EXPECT_THAT(text_of(folder_ / "a run/config.json"),
              HasSubstr(fmt::format("\"command\": \"{} {}\"", shell_word(GRADAMP_PROGRAM), arguments)));
}

TEST_F(Program, RunsAreListedResumedExtendedAndRemoved) {
  EXPECT_EQ(run("runs").out, "there is no run in runs/\n");
  const std::string tiny = "train --network resnet8 --train-images 20 --test-images 10 --batch-size 10 --quiet ";
  expect_error(run("train --resume last"), 1, "--resume last: there is no run in runs/");
  ASSERT_EQ(run(tiny + "--strategy 1:0.1,2:0.01 --until 1").exit_code, 0);
  EXPECT_THAT(run("runs").out, HasSubstr("synthetic  1/2 "));
  expect_error(run("runs comapre a b"), 2, "unknown command 'comapre'; did you mean 'compare'?");
  EXPECT_EQ(run("train --resume last --quiet").exit_code, 0);
  const std::string listed = run("runs").out;
  EXPECT_THAT(listed, HasSubstr("finished  1:0.1,2:0.01, train-images 20, test-images 10, batch-size 10\n"));
  const std::string folder = listed.substr(listed.find("runs/"), listed.find("  resnet8") - listed.find("runs/"));
  expect_error(run("train --resume last"), 1, "--resume " + folder + " with --epochs or --strategy extends the newest");
  EXPECT_EQ(run("train --quiet --epochs 3 --resume " + folder).exit_code, 0);
  EXPECT_EQ(run("train --quiet --epochs 3 --resume " + folder).exit_code, 0);  // has them already
  EXPECT_THAT(run("runs").out, HasSubstr("synthetic  3/3 "));
  expect_error(run("train --epochs 2 --resume " + folder), 2, "expected more than the run's 3 to extend it, got 2");
  expect_error(run("train --epochs 4 --seed 2 --resume " + folder), 2, "settings of its own: expected --seed 1");
  EXPECT_THAT(run("runs compare " + folder + " " + folder).out, HasSubstr("no setting differs"));
  expect_error(run("runs rm " + folder), 2, "expected a terminal, or --yes");
  EXPECT_THAT(run("runs").out, HasSubstr("synthetic  3/3 "));
  EXPECT_THAT(run("runs rm --yes " + folder + " " + folder + "/").out, StartsWith("removed " + folder));
  EXPECT_EQ(run("runs --json").out, "[]\n");
}

TEST_F(Program, Info) {
  const Finished finished = run("info");
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_EQ(finished.err, "");
  for (const char* part : {"devices   cpu: 1 thread", "compiler  ", "synthetic, cifar10, cifar100",
                           "resnet18    11,173,962", "vgg19       20,040,522"})
    EXPECT_THAT(finished.out, HasSubstr(part));
  for (const NetworkInfo& network : networks()) EXPECT_THAT(finished.out, HasSubstr("\n  " + network.name + " "));
  EXPECT_EQ(finished.out.find('\x1b'), std::string::npos);
}

TEST_F(Program, PrintsThePageOfSettings) {
  const Finished finished = run("info --settings");
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_EQ(finished.out, settings_page());
}

TEST_F(Program, ChecksTheEmulatedDevice) {
  const Finished finished = run("info --check --device emulated");
  EXPECT_EQ(finished.exit_code, 0);
  EXPECT_EQ(finished.err, "");
  EXPECT_THAT(finished.out, StartsWith("checking  emulated\nbuild     " GRADAMP_VERSION " "));
  for (const char* part : {"\n  mma.m16n8k16, bf16 ", "\n  convolution forward, f32 ", "\n  recorded graph "})
    EXPECT_THAT(finished.out, HasSubstr(part));
  EXPECT_THAT(finished.out, testing::ContainsRegex("\n[0-9]+ parts in [0-9]+[.][0-9]+ s\n$"));
  EXPECT_THAT(finished.out, testing::Not(HasSubstr("disagrees")));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "cache")) << "nothing is remembered of an emulated device";
}

TEST_F(Program, WrongUsageExitsWithTwo) {
  expect_error(run(""), 2, "expected a command");
  expect_error(run("train --epoch 3"), 2, "unknown option '--epoch'; did you mean '--epochs'?");
  expect_error(run("train --batch-size 0"), 2, "--batch-size: expected 1 to 2147483647, got 0");
  expect_error(run("train", "GRADAMP_CASE=3"), 2, "GRADAMP_CASE: expected one of 1, 2, got '3'");
  expect_error(run("train --config missing.toml"), 2, "--config: cannot read missing.toml: No such file or directory");
  put_text(folder_ / "bad.toml", "epoch = 3\n");
  expect_error(run("train --config bad.toml"), 2, "bad.toml:1: unknown key 'epoch'; did you mean 'epochs'?");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
}

/// A name from outside cannot move the cursor, clear the screen or begin another line.
TEST_F(Program, NamesAreEscapedOnTheTerminal) {
  const std::string strange = "a\nb\x1b[2J\xff";
  expect_error(run("train --dataset cifar10 --data " + shell_word(strange)), 2, "expected text in UTF-8");
  expect_error(run("data verify " + shell_word(strange)), 1, R"(a\nb\x1b[2J\xff: no such folder)");
  expect_error(run("sweep " + shell_word(strange)), 2, R"('a\nb\x1b[2J\xff' is neither a file nor a preset)");
  expect_error(run("train " + shell_word("--\x1b[2J")), 2, R"(unknown option '--\x1b[2J')");
  const Finished finished = run("data make --train 5 --test 1 --dest " + shell_word("d\x1b[2J"));
  EXPECT_EQ(finished.out, "5 training and 1 test images are in d\\x1b[2J\n");
}

/// Every failure of the file system has a message of this program, not one of a library.
TEST_F(Program, PathsThatCannotBeUsedAreOneLine) {
  const std::string tiny = "train --network resnet8 --train-images 64 --test-images 20 --epochs 1 --quiet ";
  const std::string name(300, 'a');
  std::filesystem::create_symlink("loop", folder_ / "loop");
  for (const std::string& path : {name, std::string("loop"), "x/" + name, std::string(5000, 'b')}) {
    for (const std::string& command :
         {tiny + "--run-folder ", tiny + "--weights ", std::string("train --resume "), tiny + "--branch ",
          std::string("train --dataset cifar10 --data "), std::string("evaluate --run "), std::string("sweep "),
          std::string("sweep cifar10-small --status --folder "), std::string("data verify "), tiny + "--config "}) {
      const Finished finished = run(command + path);
      EXPECT_NE(finished.exit_code, 0) << command << path;
      EXPECT_THAT(finished.err, StartsWith("gradamp: ")) << command << path;
      EXPECT_EQ(finished.err.find('\n'), finished.err.size() - 1) << finished.err;
      EXPECT_THAT(finished.err,
                  testing::Not(testing::ContainsRegex("filesystem error|json.exception|std::|basic_|stoi")));
    }
  }
  EXPECT_THAT(run(tiny + "--run-folder " + name).err, HasSubstr("File name too long"));
  expect_error(run(tiny + "--run-folder " + shell_word("r\xe9")), 2,
               "--run-folder: expected text in UTF-8, got 'r\\xe9'");
}

TEST_F(Program, ADeletedFolderIsNamed) {
  std::filesystem::create_directory(folder_ / "gone");
  const Finished finished = run("--version >version; (cd gone; rmdir ../gone; exec " + shell_word(GRADAMP_PROGRAM) +
                                " train --weights x.safetensors --network resnet8)");
  expect_error(finished, 1, "x.safetensors: the current folder cannot be found");
}

TEST_F(Program, InfoNeedsNoHome) {
  const Finished finished = run("info", "HOME= XDG_CACHE_HOME=");
  EXPECT_EQ(finished.exit_code, 0) << finished.err;
  EXPECT_THAT(finished.out, HasSubstr("cache     none: expected XDG_CACHE_HOME or HOME in the environment"));
  EXPECT_THAT(finished.out, HasSubstr("\n  resnet110 "));
  expect_error(run("train --dataset cifar10", "HOME= XDG_CACHE_HOME="), 1, "--data");
}

TEST_F(Program, AFileSizeLimitIsAnError) {
  const Finished finished = run("--version >/dev/null; ulimit -f 4; " + shell_word(GRADAMP_PROGRAM) +
                                " data make --train 50 --test 10 --dest made");
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.err, HasSubstr("File too large"));
}

/// Damaged files of a run.
TEST_F(Program, DamagedJsonIsNamedInOneLine) {
  const std::string tiny = "train --network resnet8 --train-images 64 --test-images 20 --epochs 2 --quiet ";
  ASSERT_EQ(run(tiny + "--strategy 1:0.1,2:0.1:2 --until 1 --run-folder r").exit_code, 0);
  const auto spoiled = [&](const char* file, const std::string& from, const std::string& to) {
    const std::string good = text_of(folder_ / "r" / file);
    std::string text = good;
    const std::size_t at = text.find(from);
    EXPECT_NE(at, text.npos) << file << from;
    put_text(folder_ / "r" / file, text.replace(at, from.size(), to));
    const Finished finished = run("train --resume r --quiet");
    put_text(folder_ / "r" / file, good);
    return finished;
  };
  const std::string deep = std::string(300000, '[');
  for (const auto& [file, from, to] : std::initializer_list<std::array<std::string, 3>>{
           {"metrics.jsonl", "\"epoch\":1,", "\"epoch\":null,"},
           {"metrics.jsonl", "\"epoch\":1,", "\"epoch\":99999999999,"},
           {"metrics.jsonl", "\"analyzed\":", "\"analysed\":"},
           {"metrics.jsonl", "{", "[{"},
           {"metrics.jsonl", "1,", deep},
           {"config.json", "\"seed\": 1", "\"seed\": " + deep + std::string(300000, ']')},
           {"config.json", "\"seed\": 1", "\"seed\": [[1]]"},
           {"config.json", "\"backend\": ", "\"backend\": 1, \"b\": "},
           {"config.json", "{", ""}}) {
    const Finished finished = spoiled(file.c_str(), from, to);
    expect_error(finished, 1, file);
    EXPECT_LT(finished.err.size(), 1000u);
    EXPECT_THAT(finished.err, testing::Not(HasSubstr("json.exception")));
  }
}

TEST_F(Program, FailureExitsWithOne) {
  expect_error(run("train --dataset cifar100"), 1,
               "`" + shell_word(GRADAMP_PROGRAM) + " data fetch --dataset cifar100`");
  expect_error(run("train --dataset cifar10 --data nowhere"), 1, (folder_ / "nowhere").string());
  expect_error(run("train --resume nowhere"), 1, "nowhere");
  expect_error(run("evaluate --run nowhere"), 1, "nowhere");
  expect_error(run("evaluate --weights nowhere --test-images 10 --train-images 10"), 1, "nowhere");
  expect_error(run("data verify nowhere"), 1, "nowhere");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
}

/// A program that calls run_program has its own name.
TEST_F(Program, HintsHaveTheNameItWasCalledBy) {
  std::filesystem::create_symlink(GRADAMP_PROGRAM, folder_ / "mine");
  const auto mine = [&](const std::string& arguments) {
    const Finished finished = run(arguments, "", "./mine");
    std::string text = finished.out + finished.err;
    const std::string folder = folder_.path().string();  // its name contains "gradamp"
    for (std::size_t at = 0; (at = text.find(folder)) != text.npos;) text.erase(at, folder.size());
    EXPECT_THAT(text, testing::Not(HasSubstr("gradamp"))) << arguments;
    return finished;
  };
  for (const char* arguments : {"--help", "train --help", "evaluate --help", "data --help"})
    EXPECT_THAT(mine(arguments).out, HasSubstr("Usage: mine")) << arguments;
  EXPECT_THAT(mine("train --dataset cifar10 --data nowhere").err,
              testing::AllOf(StartsWith("mine: "), HasSubstr("`./mine data fetch --dataset cifar10`")));
  EXPECT_THAT(mine("data fetch --url file:///nothing").err, StartsWith("mine: "));
  EXPECT_THAT(mine("sweep").err, HasSubstr("see `./mine sweep --help`"));
  put_text(folder_ / "s.toml", "zzzzzzzz = 1\n");
  EXPECT_THAT(mine("train --config s.toml").err, HasSubstr("`./mine train --help` lists them"));
  EXPECT_THAT(mine("sweep s.toml").err, HasSubstr("`./mine train --help` lists them"));
  const std::string small = "--network resnet8 --train-images 20 --test-images 10 --batch-size 20 --epochs 2";
  EXPECT_THAT(
      mine("train --run-folder r --until 1 " + small).err,
      testing::AllOf(StartsWith("mine: ended after epoch 1"), HasSubstr("to resume: ./mine train --resume r\n")));
  EXPECT_THAT(mine("train --resume r").out, HasSubstr("next: ./mine evaluate --run r\n      ./mine train --strategy "));
  put_text(folder_ / "s.toml", "learning-rate = 1e30\n[original]\n");
  EXPECT_THAT(mine("sweep s.toml " + small).out, HasSubstr("original: the loss on the test images is not finite"));
}

TEST_F(Program, OutputThatCannotBeWrittenIsAFailure) {
  if (!std::filesystem::exists("/dev/full")) GTEST_SKIP() << "no /dev/full on this system";
  const std::string command = shell_word(GRADAMP_PROGRAM) + std::string(" --help >/dev/full 2>") + path_of("err");
  const int status = std::system(command.c_str());
  EXPECT_EQ(WEXITSTATUS(status), 1);
  EXPECT_EQ(text_of(folder_ / "err"), "gradamp: cannot write to standard output\n");
}

TEST_F(Program, MadeDataIsVerified) {
  const Finished made = run("data make --dest made --train 50 --test 20 --seed 7");
  EXPECT_EQ(made.exit_code, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("50 training and 20 test images are in made"));
  const Finished good = run("data verify made --train 50 --test 20");
  EXPECT_EQ(good.exit_code, 0) << good.err;
  EXPECT_EQ(good.out,
            "cifar10 train: 50 images in 10 classes, 5 to 5 of each\n"
            "cifar10 test: 20 images in 10 classes, 2 to 2 of each\n");
  expect_error(run("data make --dest made --train 50 --test 20"), 1, "made");  // existing files are not overwritten

  const Finished official = run("data verify made");
  EXPECT_EQ(official.exit_code, 1);
  EXPECT_THAT(official.err, HasSubstr("expected 30730000 bytes"));

  std::filesystem::resize_file(folder_ / "made/data_batch_3.bin", 30729);
  const Finished cut = run("data verify made --train 50 --test 20");
  expect_error(cut, 1, "data_batch_3.bin");
  EXPECT_THAT(cut.err, HasSubstr("30729"));
}

TEST_F(Program, VerifyComparesEachFileWithTheAuthors) {
  const std::filesystem::path folder = folder_ / "cifar-100-binary";
  std::filesystem::create_directory(folder);
  std::string names;
  for (int i = 0; i < 100; ++i) names += std::to_string(i) + "\n";
  put_text(folder / "fine_label_names.txt", names);
  for (const auto& [file, records] : {std::pair("train.bin", 50000), std::pair("test.bin", 10000)}) {
    put_text(folder / file, "");
    std::filesystem::resize_file(folder / file, static_cast<std::uintmax_t>(records) * 3074);  // zeros
  }
  const Finished done = run("data verify . --dataset cifar100");
  EXPECT_EQ(done.exit_code, 0) << done.err;
  EXPECT_THAT(done.out, HasSubstr("train.bin: MD5 sum "));
  EXPECT_THAT(done.out, HasSubstr("test.bin: MD5 sum "));
  EXPECT_THAT(done.out, HasSubstr("fine_label_names.txt: MD5 sum "));
  EXPECT_THAT(done.err, HasSubstr("50000 are black"));
}

TEST_F(Program, TrainRefusesATruncatedFile) {
  ASSERT_EQ(run("data make --dest made --train 50 --test 20").exit_code, 0);
  expect_error(run("train --dataset cifar10 --data made --network resnet8 --epochs 1"), 1, "data_batch_1.bin");
  EXPECT_FALSE(std::filesystem::exists(folder_ / "runs"));
}

TEST_F(Program, FetchedDataIsFoundInTheCache) {
  std::filesystem::create_directories(folder_ / "cache/gradamp/cifar-10-batches-bin");
  put_text(folder_ / "cache/gradamp/cifar-10-batches-bin/data_batch_1.bin", "short");
  expect_error(run("train --dataset cifar10"), 1, "cache/gradamp/cifar-10-batches-bin/");
}

TEST_F(Program, FetchNamesTheAddressThatFails) {
  const Finished finished = run("data fetch --url file:///nothing/here.tar.gz --dest .");
  EXPECT_EQ(finished.exit_code, 1);
  EXPECT_THAT(finished.err, HasSubstr("file:///nothing/here.tar.gz"));
}

TEST_F(Program, EveryRunGetsAFolderOfItsOwn) {
  const std::string arguments =
      "train --network resnet8 --train-images 20 --test-images 10 --batch-size 20 --epochs 1 --quiet";
  for (int i = 0; i < 2; ++i) {
    const Finished trained = run(arguments);
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    EXPECT_THAT(trained.out, StartsWith("finished 1 epoch in "));
    EXPECT_THAT(trained.out, HasSubstr("  run folder     runs/resnet8-synthetic-20"));
  }
  int folders = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder_ / "runs")) {
    EXPECT_TRUE(std::filesystem::exists(entry.path() / "config.json")) << entry.path();
    ++folders;
  }
  EXPECT_EQ(folders, 2);
}

TEST_F(Program, ResumesWithTheRunsOwnSettings) {
  const std::string settings = "--network resnet8 --train-images 20 --test-images 10 --batch-size 20 --device auto";
  ASSERT_EQ(run("train " + settings + " --epochs 2 --until 1 --run-folder r").exit_code, 0);
  const Finished refused = run("train --resume r --seed 2 --batch-size 20 --no-flip");
  expect_error(refused, 2,
               "the run in r has settings of its own: expected --flip, --seed 1, got --no-flip, --seed 2; omit "
               "these options, or start a new run");
  expect_error(run("train --resume r --run-folder elsewhere"), 2,
               "expected --run-folder r, got --run-folder elsewhere");
  const Finished resumed = run("train --resume r --run-folder r " + settings);
  EXPECT_EQ(resumed.exit_code, 0) << resumed.err;
  EXPECT_THAT(resumed.out, HasSubstr("finished 2 epochs in "));
}

TEST_F(Program, EvaluatesARunAsItWasTrained) {
  const Finished trained = run(
      "train --network resnet8 --train-images 40 --test-images 30 --batch-size 20 --epochs 1 --run-folder r --seed 3");
  ASSERT_EQ(trained.exit_code, 0) << trained.err;
  EXPECT_EQ(trained.err, "");  // no terminal, no bar
  EXPECT_THAT(trained.out, HasSubstr("epoch 1/1  lr 0.1  train loss "));
  EXPECT_THAT(trained.out, HasSubstr("next: " + shell_word(GRADAMP_PROGRAM) + " evaluate --run r\n"));

  const Finished by_run = run("evaluate --run r");
  EXPECT_EQ(by_run.exit_code, 0) << by_run.err;
  EXPECT_THAT(by_run.out,
              testing::MatchesRegex("resnet8 on synthetic: loss [0-9.]+, accuracy [0-9.]+% of 30 images\n"));
  const std::size_t test = trained.out.find("test loss ") + 10;
  EXPECT_THAT(by_run.out, HasSubstr("loss " + trained.out.substr(test, trained.out.find(' ', test) - test) + ","));
  EXPECT_EQ(run("evaluate --weights r/checkpoint.safetensors --network resnet8 --train-images 40 --test-images 30").out,
            by_run.out);
  EXPECT_THAT(run("evaluate --run r --test-images 20").out, HasSubstr("of 20 images"));
  expect_error(run("evaluate --weights r/checkpoint.safetensors --network resnet20 --train-images 40"), 1,
               "checkpoint.safetensors");
}

double number_after(const std::string& text, const std::string& words) {
  const std::size_t begin = text.find(words);
  return begin == std::string::npos ? -1 : std::strtod(text.c_str() + begin + words.size(), nullptr);
}

TEST_F(Program, OpenMpsVariablesChangeNoNumber) {
  const std::string train =
      "train --device cpu --network resnet8 --train-images 40 --test-images 30 --batch-size 20 "
      "--epochs 1 --run-folder ";
  const Finished plain = run(train + "r", "OMP_NUM_THREADS=3");
  ASSERT_EQ(plain.exit_code, 0) << plain.err;
  EXPECT_THAT(plain.out, HasSubstr("cpu: 3 threads"));
  const double loss = number_after(run("evaluate --run r").out, ": loss ");
  int number = 0;
  for (const char* variable :
       {"OMP_THREAD_LIMIT=1", "OMP_THREAD_LIMIT=2", "OMP_MAX_ACTIVE_LEVELS=0", "OMP_DYNAMIC=true"}) {
    SCOPED_TRACE(variable);
    const std::string variables = fmt::format("OMP_NUM_THREADS=3 {} timeout 60", variable);
    EXPECT_NEAR(number_after(run("evaluate --run r", variables).out, ": loss "), loss, 1e-4);
    const Finished trained = run(fmt::format("{}r{}", train, ++number), variables);
    EXPECT_EQ(trained.exit_code, 0) << trained.err;
    EXPECT_NEAR(number_after(trained.out, "train loss "), number_after(plain.out, "train loss "), 1e-3);
  }
  for (const char* variables : {"OMP_NUM_THREADS=3 OMP_THREAD_LIMIT=2", "OMP_NUM_THREADS=3,2 OMP_DYNAMIC=true",
                                "OMP_NUM_THREADS=3 OMP_MAX_ACTIVE_LEVELS=0"})
    EXPECT_THAT(run("info", variables).out, HasSubstr("cpu: 3 threads")) << variables;
  EXPECT_THAT(run("info", "OMP_NUM_THREADS=0").out, HasSubstr(fmt::format("cpu: {} thread", usable_processors())));
}

}  // namespace
}  // namespace gradamp

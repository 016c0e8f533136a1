// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <iterator>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "gradamp/data/files/safetensors.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;

RunSettings tiny_run(const fs::path& folder) {
  RunSettings settings;
  settings.network = "resnet8";
  settings.train_images = 20;
  settings.test_images = 10;
  settings.batch_size = 10;
  settings.strategy = "3:0.05";
  settings.device = "cpu";
  settings.threads = 1;
  settings.run_folder = folder.string();
  return settings;
}

RunFolder new_folder(const fs::path& path, FileSystem& file_system = real_file_system(), int branched_epochs = 0) {
  RunSettings settings = tiny_run(path);
  settings.epochs = 3;
  return RunFolder::create(path, settings, "cpu", file_system, branched_epochs);
}

void append_epoch(const RunFolder& folder, int epoch) {
  EpochSummary summary;
  summary.epoch = epoch;
  summary.epochs = 3;
  folder.append(summary);
  SelectionSummary selection;
  selection.epoch = epoch;
  selection.layers.resize(2);
  selection.layers[0].name = "conv1";
  selection.layers[0].type = LayerType::kConv;
  selection.layers[1].name = "linear";
  selection.layers[1].type = LayerType::kLinear;
  folder.append(selection);
}

constexpr const char* kLogs[] = {"metrics.jsonl", "layers.jsonl"};

// Whichever call fails while the logs are trimmed or read: each log is the old or the new one.
TEST(RunFolder, WithAnyCallFailingTrimmingLeavesTheOldOrTheNewLogs) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  {
    const RunFolder begun = new_folder(run);
    for (const int epoch : {1, 2, 3}) append_epoch(begun, epoch);
  }
  const auto texts = [](const fs::path& path) {
    return std::vector{text_of(path / kLogs[0]), text_of(path / kLogs[1])};
  };
  fs::copy(run, folder / "trimmed");
  RunFolder::open(folder / "trimmed", real_file_system()).trim_logs(2, 2);
  const std::vector<std::string> before = texts(run), after = texts(folder / "trimmed");
  ASSERT_NE(before, after);
  ASSERT_EQ(lines_of(folder / "trimmed/layers.jsonl").size(), 4u);
  const fs::path copy = folder / "copy";
  const auto trim = [&](FileSystem& file_system) {
    const RunFolder opened = RunFolder::open(copy, file_system);
    opened.trim_logs(2, 2);
    check(opened.read_outcome().last.epoch == 2, "expected 2 epochs");
  };
  fs::copy(run, copy);
  const int calls = count_calls(trim);
  ASSERT_GE(calls, 40);
  for (const Fault fault : {Fault::kNoSpace, Fault::kIoError, Fault::kBroken, Fault::kShortWrite, Fault::kTooManyOpen,
                            Fault::kInterrupted, Fault::kExit, Fault::kExitMidWrite}) {
    for (int at = 1; at <= calls; ++at) {
      SCOPED_TRACE(fmt::format("{} at call {} of {}", name_of(fault), at, calls));
      fs::remove_all(copy);
      fs::copy(run, copy);
      const Outcome outcome = run_with_fault(fault, at, trim);
      const std::vector<std::string> left = texts(copy);
      for (const std::size_t log : {0, 1}) ASSERT_TRUE(left[log] == before[log] || left[log] == after[log]);
      if (outcome.kind == Outcome::kSucceeded) {
        ASSERT_EQ(left, after);
      } else if (outcome.kind == Outcome::kFailed) {
        ASSERT_THAT(outcome.message, HasSubstr(copy.string()));
      }
      FailingFileSystem sound;
      RunFolder::open(copy, sound).trim_logs(2, 2);
      ASSERT_EQ(texts(copy), after);
    }
  }
}

TEST(RunFolder, ALogWithADamagedLineIsRefusedAndStays) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  const RunFolder begun = new_folder(run);
  for (const int epoch : {1, 2, 3}) append_epoch(begun, epoch);
  const std::string good = text_of(run / "metrics.jsonl");
  for (const std::string line : {"{\"epoch\": 1", "[1]", "{\"epoch\": \"x\"}", ""}) {
    put_text(run / "metrics.jsonl", good + line + "\n" + good);
    EXPECT_THAT(error_of([&] { begun.trim_logs(2, 2); }), HasSubstr("metrics.jsonl is damaged in line 4")) << line;
    EXPECT_EQ(text_of(run / "metrics.jsonl"), good + line + "\n" + good);
  }
  put_text(run / "metrics.jsonl", good + good.substr(0, 20));  // torn by a crash
  begun.trim_logs(3, 3);
  EXPECT_EQ(text_of(run / "metrics.jsonl"), good);
}

TEST(RunFolder, AWholeNumberThatIsNoneOrDoesNotFitIsRefused) {
  const ScratchFolder folder;
  const RunFolder run = new_folder(folder / "run");
  append_epoch(run, 1);
  const auto refusal = [&](const std::string& name, const std::string& field, const std::string& value) {
    const fs::path path = folder / "run" / name;
    const std::string good = text_of(path);
    nlohmann::json line = nlohmann::json::parse(good.substr(0, good.find('\n')));
    line[field] = nlohmann::json::parse(value);
    put_text(path, line.dump() + "\n");
    std::string message = error_of([&] { run.read_outcome(); });
    put_text(path, good);
    return message;
  };
  EXPECT_EQ(error_of([&] { run.read_outcome(); }), "");
  EXPECT_THAT(refusal("layers.jsonl", "parameters", "7e101"), HasSubstr("expected a whole number, got 7e+101"));
  EXPECT_THAT(refusal("layers.jsonl", "parameters", "18446744073709551615"),
              HasSubstr("expected a whole number from -9223372036854775808 to 9223372036854775807"));
  EXPECT_THAT(refusal("metrics.jsonl", "epochs", "-1e300"), HasSubstr("expected a whole number, got -1e+300"));
  EXPECT_THAT(refusal("metrics.jsonl", "epochs", "2147483648"),
              HasSubstr("expected a whole number from -2147483648 to 2147483647, got 2147483648"));
}

TEST(RunFolder, ADamagedEventFileIsSetAsideAndWrittenAnew) {
  const ScratchFolder folder;
  const RunFolder run = new_folder(folder / "run");
  for (const int epoch : {1, 2, 3}) append_epoch(run, epoch);
  const auto events = [&](const std::string& prefix) {
    for (const std::string& name : names_in(folder / "run"))
      if (name.starts_with(prefix)) return folder / "run" / name;
    return fs::path();
  };
  const fs::path path = events("events.");
  const std::string good = text_of(path);
  EXPECT_FALSE(run.trim_logs(3, 3));
  std::string bad = good;
  bad[bad.size() / 2] = static_cast<char>(bad[bad.size() / 2] ^ 1);
  put_text(path, bad);
  EXPECT_THAT(run.trim_logs(3, 3).value_or(""), AllOf(HasSubstr("is damaged"), HasSubstr("it is now damaged-")));
  EXPECT_EQ(text_of(events("damaged-")), bad);
  EXPECT_EQ(text_of(events("events.")).size(), good.size());  // the times differ
  EXPECT_FALSE(run.trim_logs(3, 3));
}

TEST(RunFolder, FilesOfALaterReleaseAreRefused) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  const RunFolder begun = new_folder(run);
  append_epoch(begun, 1);
  begun.write_summary(begun.read_outcome());
  const auto expect_refused = [&](const char* name, const std::function<void()>& read) {
    const std::string good = text_of(run / name);
    std::string later = good;
    const std::size_t at = later.find("\"schema\"");
    later.replace(later.find('2', at), 1, "3");
    put_text(run / name, later);
    EXPECT_THAT(error_of(read), AllOf(HasSubstr(name), HasSubstr("has schema 3: "))) << name;
    later.replace(at, 8, "\"scheme\"");
    put_text(run / name, later);
    EXPECT_THAT(error_of(read), AllOf(HasSubstr(name), HasSubstr("it has no schema number"))) << name;
    put_text(run / name, good);
  };
  expect_refused("config.json", [&] { RunFolder::open(run, real_file_system()); });
  expect_refused("metrics.jsonl", [&] { begun.read_outcome(); });
  expect_refused("layers.jsonl", [&] { begun.read_outcome(); });
  expect_refused("summary.json", [&] { begun.summarized_epochs(); });
  EXPECT_EQ(begun.summarized_epochs(), 1);
}

TEST(RunFolder, NumbersThatAreNotFiniteAreWrittenAndRead) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN();
  const ScratchFolder folder;
  const RunFolder run = new_folder(folder / "run");
  EpochSummary epoch;
  epoch.epoch = 1;
  epoch.train_loss = kNaN;
  epoch.test_loss = -kInfinity;
  epoch.validation_loss = kInfinity;
  run.append(epoch);
  SelectionSummary selection;
  selection.epoch = 1;
  selection.noise_floor = kNaN;
  selection.layers.resize(1);
  selection.layers[0].g = kNaN;
  selection.layers[0].normalized_g = kInfinity;
  selection.layers[0].factor = std::numeric_limits<float>::infinity();
  run.append(selection);
  run.write_summary(run.read_outcome());

  const nlohmann::json line = nlohmann::json::parse(text_of(folder / "run/metrics.jsonl"));
  EXPECT_EQ(line.at("schema"), 2);
  EXPECT_TRUE(line.at("train_loss").is_null());
  EXPECT_EQ(line.at("not_finite"),
            nlohmann::json({{"train_loss", "nan"}, {"test_loss", "-inf"}, {"validation_loss", "inf"}}));
  const nlohmann::json layer = nlohmann::json::parse(text_of(folder / "run/layers.jsonl"));
  EXPECT_EQ(layer.at("not_finite"),
            nlohmann::json({{"g", "nan"}, {"normalized_g", "inf"}, {"noise_floor", "nan"}, {"factor", "inf"}}));
  const nlohmann::json summary = nlohmann::json::parse(text_of(folder / "run/summary.json"));
  EXPECT_EQ(summary.at("schema"), 2);
  EXPECT_EQ(summary.at("not_finite"), nlohmann::json({{"train_loss", "nan"}, {"test_loss", "-inf"}}));

  const TrainingOutcome outcome = RunFolder::open(folder / "run", real_file_system()).read_outcome();
  EXPECT_TRUE(std::isnan(outcome.last.train_loss));
  EXPECT_EQ(outcome.last.test_loss, -kInfinity);
  EXPECT_EQ(outcome.last.validation_loss, kInfinity);
  EXPECT_EQ(outcome.last.validation_accuracy, std::nullopt);
  const LayerReport& read = outcome.selections.at(0).layers.at(0);
  EXPECT_TRUE(std::isnan(outcome.selections[0].noise_floor));
  EXPECT_TRUE(std::isnan(read.g.value_or(0)));
  EXPECT_EQ(read.normalized_g, kInfinity);
  EXPECT_EQ(read.g_prime, std::nullopt);
  EXPECT_EQ(read.factor, std::numeric_limits<float>::infinity());
}

/// The files of a run as releases with schema 1 wrote them.
void write_run_of_schema_1(const fs::path& run) {
  nlohmann::json settings = to_json(tiny_run(run));
  settings["epochs"] = 3;
  fs::create_directory(run);
  put_text(run / "config.json", R"({"schema": 1, "run": "0123456789abcdef", "version": "0.1.0", "backend": "cpu",
    "settings": )" + settings.dump() +
                                    "}");
  put_text(run / "metrics.jsonl",
           R"({"schema":1,"run":"0123456789abcdef","epoch":1,"epochs":3,"learning_rate":0.05,"train_loss":2.5,)"
           R"("train_accuracy":0.25,"test_loss":2.25,"test_accuracy":0.5,"validation_loss":null,)"
           R"("validation_accuracy":null,"analyzed":false,"amplified":false,"seconds":1.5,"images_per_second":20.0})"
           "\n"
           R"({"schema":1,"run":"0123456789abcdef","epoch":2,"epochs":3,"learning_rate":0.05,"train_loss":2.0,)"
           R"("train_accuracy":0.25,"test_loss":"nan","test_accuracy":0.25,"validation_loss":"inf",)"
           R"("validation_accuracy":0.5,"analyzed":true,"amplified":false,"seconds":1.5,"images_per_second":"inf"})"
           "\n");
  put_text(run / "layers.jsonl",
           R"({"schema":1,"run":"0123456789abcdef","epoch":2,"layer":"conv1","type":"conv","parameters":432,)"
           R"("g":0.5,"g_prime":"-nan","normalized_g":"-inf","normalized_g_prime":null,"noise_floor":0.25,)"
           R"("selected":true,"factor":2.0})"
           "\n");
  put_text(run / "summary.json",
           R"({"schema": 1, "run": "0123456789abcdef", "completed": false, "epochs": 2, "test_accuracy": 0.25,
               "test_loss": "nan", "validation_accuracy": 0.5, "train_accuracy": 0.25, "train_loss": 2.0,
               "best_accuracy": 0.5, "best_epoch": 1, "seconds": 3.0, "selections": []})");
}

TEST(RunFolder, ARunOfSchema1IsReadAndContinued) {
  const ScratchFolder folder;
  write_run_of_schema_1(folder / "run");
  const RunFolder run = RunFolder::open(folder / "run", real_file_system());
  EXPECT_EQ(run.summarized_epochs(), 2);
  EXPECT_FALSE(run.trim_logs(2, 2));
  TrainingOutcome outcome = run.read_outcome();
  EXPECT_TRUE(std::isnan(outcome.last.test_loss));
  EXPECT_EQ(outcome.last.validation_loss, std::numeric_limits<double>::infinity());
  EXPECT_EQ(outcome.best_accuracy, 0.5);
  const LayerReport& layer = outcome.selections.at(0).layers.at(0);
  EXPECT_EQ(layer.g, 0.5);
  EXPECT_TRUE(std::isnan(layer.g_prime.value_or(0)));
  EXPECT_EQ(layer.normalized_g, -std::numeric_limits<double>::infinity());
  EXPECT_EQ(layer.normalized_g_prime, std::nullopt);

  const std::string before = text_of(folder / "run/metrics.jsonl");
  append_epoch(run, 3);
  EXPECT_THAT(text_of(folder / "run/metrics.jsonl"), testing::StartsWith(before + "{\"schema\":2,"));
  outcome = run.read_outcome();
  EXPECT_EQ(outcome.last.epoch, 3);
  run.write_summary(outcome);
  EXPECT_EQ(run.summarized_epochs(), 3);

  const RunFolder branch = new_folder(folder / "branch");
  branch.copy_epochs(run, 2);  // in the form of this release
  const std::vector<nlohmann::json> copied = lines_of(folder / "branch/metrics.jsonl");
  ASSERT_EQ(copied.size(), 2u);
  EXPECT_EQ(copied[1].at("schema"), 2);
  EXPECT_TRUE(copied[1].at("test_loss").is_null());
  EXPECT_EQ(copied[1].at("not_finite").at("test_loss"), "nan");
  EXPECT_EQ(copied[1].at("not_finite").at("validation_loss"), "inf");
}

TEST(RunFolder, AFolderWithAnyFileOfARunIsRefusedForANewRun) {
  for (const char* name : {"metrics.jsonl", "layers.jsonl", "summary.json", "checkpoint.safetensors",
                           "checkpoint.safetensors.previous", "events.out.tfevents.1700000000.0123456789abcdef"}) {
    const ScratchFolder folder;
    put_text(folder / name, "{\"step\": 1}\n");
    EXPECT_THAT(error_of([&] { new_folder(folder.path()); }),
                AllOf(HasSubstr(folder.path().string() + " has files of a run (" + name + ")"),
                      HasSubstr("give another --run-folder")));
    EXPECT_FALSE(fs::exists(folder / "config.json"));
    EXPECT_EQ(text_of(folder / name), "{\"step\": 1}\n");
  }
  const ScratchFolder folder;
  put_text(folder / "notes.txt", "mine");
  new_folder(folder.path());
  EXPECT_TRUE(fs::exists(folder / "config.json"));
}

TEST(RunFolder, AMissingCheckpointBesideLogsIsNoNewRun) {
  const ScratchFolder folder;
  RunFolder run = new_folder(folder / "run");
  run.check_unstarted();
  append_epoch(run, 1);  // ended before its first checkpoint
  run.check_unstarted();
  append_epoch(run, 2);
  EXPECT_THAT(error_of([&] { run.check_unstarted(); }),
              AllOf(HasSubstr("checkpoint.safetensors is missing, and so is checkpoint.safetensors.previous"),
                    HasSubstr("logs of 2 epochs")));
  EXPECT_FALSE(run.saved_checkpoint());
  RunFolder branched = new_folder(folder / "branched", real_file_system(), 2);
  for (const int epoch : {1, 2}) append_epoch(branched, epoch);
  RunFolder::open(folder / "branched", real_file_system()).check_unstarted();
  branched.write_summary(branched.read_outcome());
  EXPECT_THAT(error_of([&] { branched.check_unstarted(); }), HasSubstr("the run has a summary.json"));
  EXPECT_THAT(error_of([&] { branched.discard_unstarted(); }), HasSubstr("the run has a summary.json"));
  EXPECT_TRUE(fs::exists(folder / "branched/metrics.jsonl"));
}

TEST(RunFolder, DiscardingARunKeepsOtherFiles) {
  const ScratchFolder folder;
  put_text(folder / "notes.txt", "mine");
  fs::create_directory(folder / "figures");
  RunFolder run = new_folder(folder.path());
  append_epoch(run, 1);
  run.discard_unstarted();
  EXPECT_EQ(folder.names(), (std::set<std::string>{"figures", "lock", "notes.txt"}));
}

TEST(RunFolder, IsLockedByOneProcess) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  {
    const RunFolder first = new_folder(run);
    RunFolder second = RunFolder::open(run, real_file_system());
    EXPECT_THAT(error_of([&] { second.lock(); }),
                MatchesRegex(run.string() + ": process " + std::to_string(::getpid()) +
                             " on .*, since 20.* UTC, is training this run; wait until it ends, or stop it"));
    EXPECT_THAT(error_of([&] { new_folder(run); }), HasSubstr("is training this run"));
  }
  RunFolder third = RunFolder::open(run, real_file_system());
  third.lock();
  EXPECT_FALSE(third.lock_warning());
}

TEST(RunFolder, WithoutLocksThereIsAWarning) {
  const ScratchFolder folder;
  FailingFileSystem without;
  without.refuse_locks();
  const RunFolder run = new_folder(folder / "run", without);
  EXPECT_THAT(run.lock_warning().value_or(""), HasSubstr("this file system has no locks"));
}

TEST(RunFolder, TheLastEpochIsReadFromTheEndOfTheLog) {
  const ScratchFolder folder;
  const fs::path log = folder / "run/metrics.jsonl";
  RunFolder run = new_folder(folder / "run");
  EXPECT_FALSE(run.read_last_epoch());  // there is no log yet
  append_epoch(run, 1);
  const std::string line = text_of(log);
  EXPECT_EQ(run.read_last_epoch().value().epoch, 1);
  for (const std::string& text : {std::string(), line.substr(0, line.size() - 1)}) {  // torn by a crash
    put_text(log, text);
    EXPECT_FALSE(run.read_last_epoch()) << text;
  }
  std::string text;
  for (int epoch = 1; epoch <= 100; ++epoch) {
    nlohmann::json json = nlohmann::json::parse(line);
    json["epoch"] = epoch;
    json["test_accuracy"] = epoch / 128.0;
    text += json.dump() + "\n";
    put_text(log, text + line.substr(0, 30));
    ASSERT_EQ(run.read_last_epoch().value().epoch, epoch);
    ASSERT_EQ(run.read_last_epoch().value().test_accuracy, epoch / 128.0);
  }
  EXPECT_GT(text.size(), 1u << 14);
  const auto read = [&](FileSystem& file_system) {
    return RunFolder::open(folder / "run", file_system).read_last_epoch().value().epoch;
  };
  for (int at = 1; at <= count_calls(read); ++at) {
    FailingFileSystem broken(Fault::kIoError, at);
    EXPECT_THAT(error_of([&] { read(broken); }), HasSubstr("Input/output error")) << at;
  }
  put_text(log, text + "{}\n");
  EXPECT_THAT(error_of([&] { run.read_last_epoch(); }), HasSubstr("metrics.jsonl is damaged: it has no schema number"));
  put_text(log, text + std::string(1 << 14, ' ') + "\n");
  EXPECT_THAT(error_of([&] { run.read_last_epoch(); }), HasSubstr("its last line has more than 16384 bytes"));
}

TEST(RunFolder, ASecondProcessThatResumesARunEndsWithOneMessage) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(in_child([&] {
              ActAtStep observer(1, [&] {
                const std::string message = error_in_child(folder.path(), [&] { resume(run, {}); });
                check(message.find("process " + std::to_string(::getpid()) + " on ") != std::string::npos,
                      "expected the process, got: {}", message);
                error_in_child(folder.path(), [&] { train(tiny_run(run), {}); });
              });
              train(tiny_run(run), {nullptr, &observer, nullptr});
            }),
            0);
  EXPECT_EQ(lines_of(run / "metrics.jsonl").size(), 3u);
}

/// Records the description of a run.
class Description : public TrainingObserver {
 public:
  void on_start(const std::vector<std::string>& description) override {
    for (const std::string& line : description) text += line + "\n";
  }
  std::string text;
};

TEST(RunFolder, IfTheCheckpointIsMissingThePreviousOneIsUsedAndTheMessageSaysSo) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(train_in_child(tiny_run(folder / "unbroken")), 0);
  ASSERT_EQ(train_in_child(tiny_run(run)), 0);
  fs::remove(run / "checkpoint.safetensors");
  ASSERT_EQ(in_child([&] {
              Description description;
              check(resume(run, {nullptr, &description, nullptr}).completed, "expected a whole run");
              put_text(folder / "text", description.text);
            }),
            0);
  EXPECT_THAT(text_of(folder / "text"),
              AllOf(HasSubstr((run / "checkpoint.safetensors").string() + " is missing: continuing from the one before "
                                                                          "it, checkpoint.safetensors.previous"),
                    HasSubstr("resumed   after epoch 2")));
  expect_equal_runs(run, folder / "unbroken", 3);

  fs::remove(run / "checkpoint.safetensors");
  fs::remove(run / "checkpoint.safetensors.previous");
  const std::string logs = text_of(run / "metrics.jsonl");
  EXPECT_THAT(error_in_child(folder.path(), [&] { resume(run, {}); }), HasSubstr("checkpoint.safetensors is missing"));
  EXPECT_EQ(text_of(run / "metrics.jsonl"), logs);
}

TEST(RunFolder, ItsFilesAndTheWeightsAreNeverAnOutput) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(train_in_child(tiny_run(run)), 0);
  const std::string checkpoint = checkpoint_of(run);
  const auto message = [&](const fs::path& weights, const fs::path& outputs) {
    return error_in_child(folder.path(), [&] { evaluate(tiny_run(run), weights, outputs); });
  };
  for (const char* name : {"checkpoint.safetensors.previous", "config.json", "metrics.jsonl", "summary.json",
                           "events.out.tfevents.1.x", "layers.jsonl", "lock"})
    EXPECT_THAT(message(run / "checkpoint.safetensors", run / name), HasSubstr("that is a file of the run in")) << name;
  EXPECT_THAT(message(run / "checkpoint.safetensors", run / "checkpoint.safetensors"), HasSubstr("of the weights"));
  fs::copy(run / "checkpoint.safetensors", folder / "weights");
  EXPECT_THAT(message(folder / "weights", folder / "weights"), HasSubstr("that is the file of the weights"));
  fs::create_symlink("weights", folder / "link");
  EXPECT_THAT(message(run / "checkpoint.safetensors", folder / "link"), HasSubstr("it is a symbolic link"));
  EXPECT_TRUE(checkpoint_of(run) == checkpoint);
  EXPECT_TRUE(text_of(folder / "weights") == checkpoint);
}

TEST(RunFolder, ACheckpointWithoutChecksumsIsRefused) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(train_in_child(tiny_run(run)), 0);
  const std::string good = checkpoint_of(run);
  std::uint64_t length = 0;
  std::memcpy(&length, good.data(), sizeof length);
  nlohmann::json header = nlohmann::json::parse(good.substr(8, length));
  nlohmann::json& metadata = header["__metadata__"];
  for (auto it = metadata.begin(); it != metadata.end();)
    it = it.key().starts_with("crc32c") ? metadata.erase(it) : std::next(it);
  const std::string text = header.dump();
  const std::uint64_t size = text.size();
  put_text(run / "checkpoint.safetensors",
           std::string(reinterpret_cast<const char*>(&size), 8) + text + good.substr(8 + length));
  EXPECT_THAT(error_in_child(folder.path(), [&] { resume(run, {}); }), HasSubstr("has no checksums"));
  EXPECT_EQ(in_child([&] { evaluate(tiny_run(run), run / "checkpoint.safetensors"); }), 0);  // as weights
}

}  // namespace
}  // namespace gradamp

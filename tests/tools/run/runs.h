// SPDX-License-Identifier: MIT
// Helpers that run, interrupt and compare whole runs in child processes.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/data/files/safetensors.h"
#include "gradamp/tests/data/files/scratch_folder.h"
#include "gradamp/tools/program/signals.h"
#include "gradamp/tools/run/training.h"

namespace gradamp::test {

namespace fs = std::filesystem;

inline constexpr int kStepsPerEpoch = 4;
inline constexpr int kEpochs = 4;

/// 4 epochs of 4 steps: plain, analyzed, amplified, and plain with a smaller learning rate.
inline RunSettings small_run(const fs::path& folder) {
  RunSettings settings;
  settings.network = "resnet8";
  settings.train_images = 60;  // the last batch is smaller
  settings.test_images = 20;
  settings.batch_size = 16;
  settings.strategy = "1:0.05, 3:0.05:2, 4:0.01";
  settings.threshold = 0.5;
  settings.dropout = 0.1;
  settings.device = "cpu";
  settings.threads = 1;
  settings.run_folder = folder.string();
  return settings;
}

/// Runs `body` in a child process. Returns the exit code, or minus the signal that ended the child. An Error is printed
/// and gives exit code 1.
inline int in_child(const std::function<void()>& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    try {
      body();
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(1);
    }
    ::_exit(0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

inline int train_in_child(const RunSettings& settings) {
  return in_child([&] { train(settings, {}); });
}

inline int resume_in_child(const fs::path& folder) {
  return in_child([&] { resume(folder, {}); });
}

/// Calls `act` after step number `step`. Steps count from 1, from the first step that it observes.
class ActAtStep : public TrainingObserver {
 public:
  ActAtStep(int step, std::function<void()> act) : left_(step), act_(std::move(act)) {}
  void on_step(const StepProgress&) override {
    if (--left_ == 0) act_();
  }

 private:
  int left_;
  std::function<void()> act_;
};

inline std::string checkpoint_of(const fs::path& run) { return text_of(run / "checkpoint.safetensors"); }

/// The lines of a log without the keys that differ between equal runs.
inline std::vector<nlohmann::json> lines_of(const fs::path& path) {
  std::vector<nlohmann::json> lines;
  std::ifstream file(path);
  for (std::string text; std::getline(file, text);) {
    nlohmann::json line = nlohmann::json::parse(text);
    for (const char* key : {"run", "seconds", "images_per_second"}) line.erase(key);
    lines.push_back(line);
  }
  return lines;
}

/// Runs `body` in a child process with SIGTERM after step number `step` of the steps that it does.
inline void stopped_after(int step, const std::function<void(const std::atomic<bool>*, TrainingObserver*)>& body) {
  ASSERT_EQ(in_child([&] {
              const StopSignals signals;
              ActAtStep observer(step, [] { std::raise(SIGTERM); });
              body(&signals.stop(), &observer);
              check(signals.received() == SIGTERM, "expected SIGTERM to be noticed");
            }),
            0);
}

inline void stop_after(const RunSettings& settings, int step) {
  stopped_after(step, [&](auto* stop, auto* observer) { train(settings, {stop, observer, nullptr}); });
}

/// Continues the run and stops it again.
inline void stop_resumed_after(const fs::path& folder, int step) {
  stopped_after(step, [&](auto* stop, auto* observer) { resume(folder, {stop, observer, nullptr}); });
}

/// The message of the Error that `body` throws in a child process.
inline std::string error_in_child(const fs::path& scratch, const std::function<void()>& body) {
  const int code = in_child([&] {
    try {
      body();
    } catch (const Error& error) {
      put_text(scratch / "error.txt", error.what());
      throw;
    }
  });
  EXPECT_EQ(code, 1);
  return text_of(scratch / "error.txt");
}

/// Expects that two runs have `epochs` epochs and equal checkpoints and logs, bit for bit.
inline void expect_equal_runs(const fs::path& run, const fs::path& expected, int epochs) {
  ASSERT_TRUE(fs::exists(expected / "checkpoint.safetensors"));
  EXPECT_TRUE(checkpoint_of(run) == checkpoint_of(expected)) << "the checkpoints differ";
  EXPECT_EQ(lines_of(run / "metrics.jsonl"), lines_of(expected / "metrics.jsonl"));
  EXPECT_EQ(lines_of(run / "layers.jsonl"), lines_of(expected / "layers.jsonl"));
  EXPECT_EQ(lines_of(run / "measures.jsonl"), lines_of(expected / "measures.jsonl"));
  EXPECT_EQ(lines_of(run / "metrics.jsonl").size(), static_cast<std::size_t>(epochs));
}

/// Expects that two runs that differ in what they log have equal states and results, bit for bit.
inline void expect_same_training(const fs::path& run, const fs::path& expected) {
  const TensorFile file = read_safetensors(run / "checkpoint.safetensors");
  const TensorFile other = read_safetensors(expected / "checkpoint.safetensors");
  ASSERT_EQ(file.tensors().size(), other.tensors().size());
  for (const TensorView& tensor : other.tensors()) {
    const TensorView* found = file.find(tensor.name);
    ASSERT_TRUE(found != nullptr) << tensor.name;
    EXPECT_TRUE(std::ranges::equal(found->bytes, tensor.bytes)) << tensor.name;
  }
  EXPECT_EQ(lines_of(run / "metrics.jsonl"), lines_of(expected / "metrics.jsonl"));
  EXPECT_EQ(lines_of(run / "layers.jsonl"), lines_of(expected / "layers.jsonl"));
}

}  // namespace gradamp::test

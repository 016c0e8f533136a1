// SPDX-License-Identifier: MIT
// `gradamp predict`: image files give the probabilities that the evaluation of the same images gives.
#include "gradamp/tools/run/predictor.h"

#include <cmath>
#include <iostream>
#include <sstream>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include "gradamp/data/files/safetensors.h"
#include "gradamp/data/images/resize.h"
#include "gradamp/data/synthetic.h"
#include "gradamp/tests/data/images/png_writer.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/run_folder.h"

namespace gradamp {
namespace {

using namespace test;
using testing::HasSubstr;

RunSettings tiny_settings(const fs::path& run) {
  RunSettings settings = small_run(run);
  settings.strategy = "1:0.05";
  settings.train_images = 32;
  settings.test_images = 4;
  settings.validation = 8;  // these images do not count in the normalization
  return settings;
}

/// A trained run, and PNG files of its test images.
class Predict : public testing::Test {
 protected:
  void SetUp() override {
    if (!reads_image_files()) GTEST_SKIP() << "this build has no libpng or libjpeg";
    ASSERT_EQ(train_in_child(tiny_settings(run())), 0);
    const Dataset test = make_synthetic_dataset(1, "test", 4);
    for (std::size_t n = 0; n < 4; ++n)
      put_text(image(n), png_of(std::span(test.images).subspan(n * kImageBytes, kImageBytes), 32, 32, 3));
  }
  fs::path run() const { return folder_ / "run"; }
  std::string image(std::size_t n) const { return (folder_ / fmt::format("image-{}.png", n)).string(); }

  /// The exit code, and what was printed.
  struct Printed {
    int code;
    std::string out, err;
  };
  Printed print(PredictCommand command) const {
    command.run = run().string();
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    const int code = run_predict(command);
    return {code, testing::internal::GetCapturedStdout(), testing::internal::GetCapturedStderr()};
  }

  ScratchFolder folder_;
};

TEST_F(Predict, AgreesWithTheEvaluationOfTheSameImages) {
  ASSERT_EQ(in_child([&] {
              const RunSettings settings = tiny_settings(run());
              const fs::path weights = run() / "checkpoint.safetensors";
              evaluate(settings, weights, folder_ / "outputs.safetensors");
              const TensorFile file = read_safetensors(folder_ / "outputs.safetensors", real_file_system());
              const TensorView* outputs = file.find("outputs");
              check(outputs != nullptr, "expected outputs");
              const auto* logits = reinterpret_cast<const float*>(outputs->bytes.data());
              const RunFacts facts = RunFolder::open(run(), real_file_system()).facts();
              const Predictor predictor(settings, facts, weights);
              check(predictor.class_names().size() == 10, "expected 10 classes");
              RunFacts of_earlier_release = facts;  // with which the training images are read
              of_earlier_release.input.reset();
              const Predictor by_images(settings, of_earlier_release, weights);
              check(by_images.class_names() == predictor.class_names(), "expected the same classes");
              const std::vector<float> first = resize(read_image_file(image(0), 3), 32, 32);
              check(by_images.probabilities(first) == predictor.probabilities(first), "expected the same bits");
              for (std::size_t n = 0; n < 4; ++n) {
                const std::vector<float> values = resize(read_image_file(image(n), 3), 32, 32);
                const std::vector<double> probabilities = predictor.probabilities(values);
                double sum = 0, total = 0;
                for (std::size_t c = 0; c < 10; ++c) sum += std::exp(double{logits[n * 10 + c]});
                for (std::size_t c = 0; c < 10; ++c) {
                  const double expected = std::exp(double{logits[n * 10 + c]}) / sum;
                  check(std::abs(probabilities[c] - expected) < 1e-6, "image {}, class {}: expected {}, got {}", n, c,
                        expected, probabilities[c]);
                  total += probabilities[c];
                }
                check(std::abs(total - 1) < 1e-12, "expected a sum of 1, got {}", total);
              }
            }),
            0);
}

TEST_F(Predict, TheImagesOfTheRunNeedNotBeThere) {
  ASSERT_EQ(in_child([&] {
              RunSettings settings = tiny_settings(run());
              settings.dataset = "cifar10";
              settings.data = (folder_ / "moved away").string();
              RunFacts facts = RunFolder::open(run(), real_file_system()).facts();
              const fs::path weights = run() / "checkpoint.safetensors";
              check(Predictor(settings, facts, weights).class_names().size() == 10, "expected 10 classes");
              facts.input->is_bytes = false;
              const std::string message = error_of([&] { Predictor(settings, facts, weights); });
              check(message.find("expected a run on images of bytes") != message.npos, "{}", message);
            }),
            0);
}

TEST_F(Predict, PrintsATableOrJson) {
  ASSERT_EQ(in_child([&] {
              PredictCommand command;
              command.images = {image(0), image(1)};
              const Printed table = print(command);
              check(table.code == 0 && table.err.empty(), "got {} and '{}'", table.code, table.err);
              check(std::count(table.out.begin(), table.out.end(), '\n') == 3, "{}", table.out);
              command.json = true;
              const Printed printed = print(command);
              const nlohmann::json json = nlohmann::json::parse(printed.out);
              check(json.size() == 2 && json[1].at("image") == image(1), "{}", printed.out);
              const std::string name = json[0].at("class");
              check(table.out.find(name) != table.out.npos, "expected {} in {}", name, table.out);
              double largest = 0;
              for (const auto& [key, value] : json[0].at("probabilities").items())
                largest = std::max(largest, value.get<double>());
              check(json[0].at("probabilities").size() == 10 && json[0].at("probabilities").at(name) == largest, "{}",
                    printed.out);
            }),
            0);
}

TEST_F(Predict, AnImageThatCannotBeReadDoesNotAffectTheOthers) {
  put_text(folder_ / "text.png", "no image");
  ASSERT_EQ(in_child([&] {
              PredictCommand command;
              command.images = {(folder_ / "text.png").string(), image(0), (folder_ / "missing.png").string()};
              const Printed table = print(command);
              check(table.code == 1, "expected the exit code 1, got {}", table.code);
              check(table.out.find("image-0.png") != table.out.npos, "{}", table.out);
              check(std::count(table.err.begin(), table.err.end(), '\n') == 2, "{}", table.err);
              check(
                  table.err.find("text.png: expected a PNG or JPEG image, got another kind of file") != table.err.npos,
                  "{}", table.err);
              command.json = true;
              const nlohmann::json json = nlohmann::json::parse(print(command).out);
              check(json.size() == 3 && json[0].contains("error") && json[1].contains("class"), "{}", json.dump());
            }),
            0);
}

TEST_F(Predict, ARunWithoutACheckpointIsRefused) {
  fs::remove(run() / "checkpoint.safetensors");
  fs::remove(run() / "checkpoint.safetensors.previous");
  EXPECT_THAT(error_in_child(folder_.path(),
                             [&] {
                               PredictCommand command;
                               command.run = run().string();
                               command.images = {image(0)};
                               run_predict(command);
                             }),
              HasSubstr("has no checkpoint yet"));
}

}  // namespace
}  // namespace gradamp

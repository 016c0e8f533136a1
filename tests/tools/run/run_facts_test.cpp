// SPDX-License-Identifier: MIT
// What config.json says about the origin of a run.
#include "gradamp/tools/run/run_facts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <random>
#include <string>

#include "gradamp/core/text.h"
#include "gradamp/core/version.h"
#include "gradamp/data/synthetic.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/tools/run/runs.h"
#include "gradamp/tools/run/run_folder.h"

namespace gradamp {
namespace {

using namespace test;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::StartsWith;

nlohmann::json config_of(const fs::path& run) { return nlohmann::json::parse(text_of(run / "config.json")); }

TEST(RunFacts, AreInTheConfigOfANewRun) {
  const ScratchFolder folder;
  const fs::path run = folder / "run";
  ASSERT_EQ(in_child([&] {
              TrainingControl control;
              control.command = "build/gradamp train --network 'resnet8'";
              control.last_epoch = 1;
              train(small_run(run), control);
            }),
            0);
  const nlohmann::json config = config_of(run);
  EXPECT_EQ(config.at("command"), "build/gradamp train --network 'resnet8'");
  EXPECT_EQ(config.at("version"), GRADAMP_VERSION);
  EXPECT_THAT(config.at("started").get<std::string>(), MatchesRegex("20..-..-..T..:..:..Z"));
  EXPECT_FALSE(config.at("host").get<std::string>().empty());
  EXPECT_EQ(config.value("commit", ""), source_commit());

  // The normalization, with sums in the plainest order.
  const Dataset images = make_synthetic_dataset(1, "train", small_run(run).train_images);
  const auto pixels = static_cast<double>(images.count * images.height * images.width);
  for (std::size_t c = 0; c < 3; ++c) {
    double sum = 0, squares = 0;
    for (std::size_t i = c; i < images.images.size(); i += 3) sum += images.images[i] / 255.0;
    const double mean = sum / pixels;
    for (std::size_t i = c; i < images.images.size(); i += 3) squares += std::pow(images.images[i] / 255.0 - mean, 2);
    EXPECT_NEAR(config.at("normalization").at("mean").at(c).get<double>(), mean, 1e-6);
    EXPECT_NEAR(config.at("normalization").at("std").at(c).get<double>(), std::sqrt(squares / pixels), 1e-6);
  }
  EXPECT_EQ(config.at("normalization").at("mean").size(), 3u);
  EXPECT_EQ(config.at("input"), nlohmann::json::parse(R"({"height":32,"width":32,"channels":3,"pixels":"u8"})"));
  EXPECT_EQ(config.at("classes"), nlohmann::json(images.class_names));
}

TEST(RunFacts, TheNormalizationIsReadToTheBit) {
  std::mt19937 random(1);
  std::uniform_real_distribution<float> number(0.01F, 200);
  for (int n = 0; n < 10000; ++n) {
    GatherParams params;
    params.mean[0] = number(random) - 100;
    params.inverse_std[0] = number(random);
    const nlohmann::json text = normalization_of(params, 1).std;
    Normalization read{normalization_of(params, 1).mean, nlohmann::json::parse(text.dump())};
    EXPECT_EQ(gather_params_of(read).mean, params.mean);
    EXPECT_EQ(gather_params_of(read).inverse_std, params.inverse_std);
  }
}

TEST(RunFacts, AnInputThatIsOutOfRangeIsDamage) {
  RunFacts facts;
  facts.normalization = {{0.5}, {0.25}};
  facts.input = InputFacts{28, 28, 1, true, {"cat", "dog"}};
  nlohmann::ordered_json config;
  write_facts(facts, config);
  const RunFacts read = read_facts(config);
  EXPECT_EQ(read.input->class_names, facts.input->class_names);
  EXPECT_EQ(read.input->height, 28);
  const auto error_with = [&](const char* path, const nlohmann::json& value) {
    nlohmann::json changed = config;
    changed[nlohmann::json::json_pointer(path)] = value;
    return test::error_of([&] { read_facts(changed); });
  };
  EXPECT_THAT(error_with("/input/height", 0), HasSubstr("height of the input: expected 1 to 16384, got 0"));
  EXPECT_THAT(error_with("/input/channels", 5), HasSubstr("expected 1 to 4, got 5"));
  EXPECT_THAT(error_with("/input/channels", 2), HasSubstr("expected a normalization of the input's 2 channels"));
  EXPECT_THAT(error_with("/normalization/std/0", 0), HasSubstr("expected a standard deviation above 0, got 0"));
  EXPECT_THAT(error_with("/classes", nlohmann::json::array({"cat"})), HasSubstr("expected 2 classes at least, got 1"));
}

TEST(RunFacts, AreNotComparedWhenARunIsResumed) {
  const ScratchFolder folder;
  ASSERT_EQ(train_in_child(small_run(folder / "unbroken")), 0);
  for (const bool removed : {false, true}) {
    const fs::path run = folder / (removed ? "without" : "other");
    stop_after(small_run(run), 5);
    nlohmann::json config = config_of(run);
    for (const char* fact : {"host", "started", "command", "commit", "version"}) config[fact] = "another";
    config["normalization"] = {{"mean", {0.0, 0.0, 0.0}}, {"std", {1.0, 1.0, 1.0}}};
    if (removed)  // a run of an earlier release has none
      for (const char* fact : {"host", "started", "command", "commit", "normalization", "input", "classes"})
        config.erase(fact);
    put_text(run / "config.json", config.dump());
    ASSERT_EQ(resume_in_child(run), 0);
    expect_equal_runs(run, folder / "unbroken", kEpochs);
    EXPECT_EQ(RunFolder::open(run, real_file_system()).facts().host, removed ? "" : "another");
  }
}

TEST(RunFacts, OfAnotherTypeAreDamage) {
  const ScratchFolder folder;
  stop_after(small_run(folder / "run"), 5);
  nlohmann::json config = config_of(folder / "run");
  config["started"] = 5;
  put_text(folder / "run/config.json", config.dump());
  EXPECT_THROW(RunFolder::open(folder / "run", real_file_system()), Error);
}

TEST(RunFacts, TextOfAnotherEncodingIsEscaped) {
  nlohmann::ordered_json config;
  RunFacts facts;
  facts.command = "train --data a\xff";
  write_facts(facts, config);
  EXPECT_EQ(nlohmann::json::parse(config.dump()).at("command"), R"(train --data a\xff)");
}

// tools/package/commit.cmake in a repository of its own.
TEST(SourceCommit, IsThatOfTheRepositoryAndSaysIfFilesDiffer) {
  const ScratchFolder folder;
  fs::create_directories(folder / "sources/below");
  put_text(folder / "sources/below/file", "1");
  const auto shell = [&](const std::string& command) {
    return std::system(fmt::format("cd {} && {} >/dev/null 2>&1", (folder / "sources").string(), command).c_str());
  };
  const auto commit = [&](const char* sources) {
    EXPECT_EQ(shell(fmt::format("cmake -DSOURCES=$PWD/{} -DOUTPUT={} -P {}/../tools/package/commit.cmake", sources,
                                (folder / "commit.cpp").string(), GRADAMP_TEST_DATA)),
              0);
    const std::string text = text_of(folder / "commit.cpp");
    const std::size_t begin = text.find("return \"") + 8;
    return text.substr(begin, text.find('"', begin) - begin);
  };
  EXPECT_EQ(commit("."), "");
  ASSERT_EQ(shell("git init && git add below && git -c user.name=a -c user.email=a@b commit -m 1"), 0);
  const std::string clean = commit(".");
  EXPECT_THAT(clean, MatchesRegex("[0-9a-f]+"));
  EXPECT_EQ(clean.size(), 40u);
  EXPECT_EQ(commit("below"), "");  // another project's repository
  put_text(folder / "sources/new", "");
  EXPECT_EQ(commit("."), clean);
  put_text(folder / "sources/below/file", "2");
  EXPECT_EQ(commit("."), clean + "-modified");
}

}  // namespace
}  // namespace gradamp

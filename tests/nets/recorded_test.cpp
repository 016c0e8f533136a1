// SPDX-License-Identifier: MIT
// Every network against PyTorch's float64 (tests/oracle): loss, every parameter's gradient, the weights after five
// steps of SGD, batch norm's running statistics, and evaluation.
#include <gtest/gtest.h>

#include "gradamp/kernels/backends.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/tests/oracle/recorded.h"

namespace gradamp {
namespace {

using nlohmann::json;

// Relative, in norm. PyTorch's float32 differs from its float64 by up to about 1e-4 here. Each file records this error
// ("float32"), and the test prints it beside ours.
constexpr double kTolerance = 1e-4;

struct Worst {
  double error = 0;
  std::string where;

  void add(double candidate, const std::string& name) {
    if (!(candidate <= error)) {  // a NaN counts as the largest
      error = candidate;
      where = name;
    }
  }
};

class RecordedNetwork : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    recorded_ = oracle::read(std::string("nets/recorded/") + GetParam() + ".json");
    backend_ = make_backend({});
    state_ = oracle::make_state(*backend_);
    const int classes = recorded_.at("classes");
    network_ = make_network(recorded_.at("network"), *backend_, {classes, 0, state_});
    oracle::set_initial(*network_, recorded_.at("parameters"));
    batch_ = oracle::make_batch(*backend_, recorded_.at("batch"), recorded_.at("image_substream"),
                                recorded_.at("label_substream"), classes);
    const json& sgd = recorded_.at("sgd");
    OptimizerOptions options;
    options.sgd.momentum = sgd.at("momentum");
    options.sgd.weight_decay = sgd.at("weight_decay");
    options.sgd.nesterov = sgd.at("nesterov");
    options.strategy.phases = {{1, sgd.at("learning_rate"), false, 1}};
    options.selection.method = SelectionMethod::kNone;
    optimizer_.emplace(*network_, state_, options);
    optimizer_->begin_epoch(1);
  }

  Variable forward_loss() {
    logits_ = network_->forward(Variable(batch_.images), Mode::kTraining);
    return softmax_cross_entropy(logits_, batch_.labels, state_);
  }

  double float32(const char* what) const {
    const json& value = recorded_.at("float32").at(what);
    return value.is_object() ? value.at("max").get<double>() : value.get<double>();
  }

  void expect_small(const Worst& worst, const char* what) const {
    std::printf("  %-11s %.1e (%s); PyTorch's float32: %.1e\n", what, worst.error, worst.where.c_str(), float32(what));
    EXPECT_LT(worst.error, kTolerance) << what << " of " << worst.where;
  }

  void compare_gradients() {
    Worst worst;
    const std::vector<NamedParameter> parameters = network_->named_parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const json& expected = recorded_.at("parameters")[i];
      const std::vector<float> gradient = oracle::host_values(parameters[i].variable.grad());
      if (expected.at("vanishing").get<bool>()) {  // truly zero: compared with the norm of the weight's gradient
        double square = 0;
        for (const float value : gradient) square += double{value} * value;
        const double scale = recorded_.at("parameters")[i - 1].at("gradient").at("norm");
        EXPECT_LT(std::sqrt(square), kTolerance * scale) << parameters[i].name;
        continue;
      }
      const auto signs = oracle::kSignSubstream + static_cast<std::uint32_t>(i);
      worst.add(oracle::compare(gradient, expected.at("gradient"), signs).relative(), parameters[i].name);
    }
    expect_small(worst, "gradients");
  }

  void compare_weights() {
    Worst weights;
    const std::vector<NamedParameter> parameters = network_->named_parameters();
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const json& expected = recorded_.at("parameters")[i];
      const auto difference =
          oracle::compare(oracle::host_values(parameters[i].variable.value()), expected.at("weights"),
                          oracle::kSignSubstream + static_cast<std::uint32_t>(i));
      weights.add(difference.relative(), parameters[i].name);
    }
    expect_small(weights, "weights");
  }

  void compare_statistics() {
    Worst worst;
    const std::vector<NamedBuffer> buffers = network_->named_buffers();
    ASSERT_EQ(buffers.size(), recorded_.at("statistics").size());
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      const json& expected = recorded_.at("statistics")[i];
      EXPECT_EQ(buffers[i].name, expected.at("name").get<std::string>());
      const auto signs = oracle::kStatisticSignSubstream + static_cast<std::uint32_t>(i);
      worst.add(oracle::compare(oracle::host_values(buffers[i].tensor), expected, signs).relative(), buffers[i].name);
    }
    expect_small(worst, "statistics");
  }

  std::vector<double> recorded_logits(const char* name) const {
    std::vector<double> all;
    for (const json& row : recorded_.at(name)) all.insert(all.end(), row.begin(), row.end());
    return all;
  }

  json recorded_;
  std::unique_ptr<Backend> backend_;
  StepState state_;
  std::shared_ptr<Module> network_;
  Batch batch_;
  std::optional<Optimizer> optimizer_;
  Variable logits_;
};

TEST_P(RecordedNetwork, AgreesWithPyTorch) {
  EXPECT_EQ(optimizer_->arena().parameter_count(), recorded_.at("parameter_count").get<std::int64_t>());
  EXPECT_EQ(batch_.labels.to_host<std::int32_t>(), recorded_.at("labels").get<std::vector<std::int32_t>>());
  const auto losses = recorded_.at("losses").get<std::vector<double>>();
  for (std::size_t step = 0; step < losses.size(); ++step) {
    optimizer_->begin_step();
    const Variable loss = forward_loss();
    EXPECT_NEAR(loss.value().to_host<float>()[0], losses[step], kTolerance * losses[step]) << "step " << step;
    if (step == 0) {
      EXPECT_LT(oracle::relative_error(logits_.value().to_host<float>(), recorded_logits("training_logits")),
                kTolerance);
    }
    logits_ = {};
    loss.backward();
    if (step == 0) compare_gradients();
    optimizer_->step();
    backend_->advance_step(state_, recorded_.at("batch"));
  }
  compare_weights();
  compare_statistics();

  const NoGrad no_grad;
  const Variable logits = network_->forward(Variable(batch_.images), Mode::kEvaluation);
  const double error = oracle::relative_error(logits.value().to_host<float>(), recorded_logits("evaluation_logits"));
  std::printf("  evaluation  %.1e; PyTorch's float32: %.1e\n", error, float32("evaluation_logits"));
  EXPECT_LT(error, kTolerance);
}

TEST(Recorded, IsReadFromTheFolderThatTheEnvironmentNames) {
  const char* const before = std::getenv("GRADAMP_TEST_DATA");
  const std::string folder = testing::TempDir(), there = before != nullptr ? before : GRADAMP_TEST_DATA;
  std::ofstream(folder + "/somewhere.json") << "[1, 2]";
  setenv("GRADAMP_TEST_DATA", folder.c_str(), 1);
  EXPECT_EQ(oracle::read("somewhere.json"), json({1, 2}));
  EXPECT_THROW(oracle::read("nets/recorded/resnet8_10.json"), Error);  // exists if the variable is not set
  setenv("GRADAMP_TEST_DATA", there.c_str(), 1);
  EXPECT_NO_THROW(oracle::read("nets/recorded/resnet8_10.json"));
}

INSTANTIATE_TEST_SUITE_P(Networks, RecordedNetwork,
                         testing::Values("vgg19_10", "resnet18_10", "resnet34_10", "resnet50_10", "resnet101_10",
                                         "resnet8_10", "resnet20_10", "resnet32_10", "resnet56_10", "resnet110_10",
                                         "resnet8_100", "resnet8_10_nesterov"),
                         [](const auto& test) { return std::string(test.param); });

}  // namespace
}  // namespace gradamp

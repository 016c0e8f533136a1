// SPDX-License-Identifier: MIT
#include "gradamp/nets/networks.h"

#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/layers/state_dict.h"

namespace gradamp {
namespace {

std::int64_t parameter_count(Module& network) {
  std::int64_t count = 0;
  for (const NamedParameter& parameter : network.named_parameters()) count += parameter.variable.value().count();
  return count;
}

// [IGA]'s networks for 10 classes: the counts of the well-known PyTorch CIFAR versions. He's small networks: counted by
// hand from the paper's table, with 10 outputs and shortcuts without parameters.
TEST(Networks, HaveTheKnownNumbersOfParameters) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const std::vector<std::pair<const char*, std::int64_t>> known = {
      {"vgg19", 20'040'522},    {"resnet18", 11'173'962},  {"resnet34", 21'282'122},
      {"resnet50", 23'520'842}, {"resnet101", 42'512'970}, {"resnet20", 269'722},
      {"resnet32", 464'154},    {"resnet56", 853'018},     {"resnet110", 1'727'962}};
  for (const auto& [name, count] : known) EXPECT_EQ(parameter_count(*make_network(name, *backend)), count) << name;
}

TEST(Networks, GiveLogitsForTheirClasses) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const NoGrad no_grad;
  for (const NetworkInfo& info : networks()) {
    const std::shared_ptr<Module> network = make_network(info.name, *backend, {100, 0.0f, {}});
    initialize(*network, Initialization::kHeNormal, 1);
    const Tensor images = Tensor::zeros(*backend, {2, 32, 32, 3});
    const Variable logits = network->forward(Variable(images), Mode::kEvaluation);
    EXPECT_EQ(logits.shape(), (Shape{2, 100})) << info.name;
  }
}

TEST(Networks, HaveAHeadThatAloneDependsOnTheClasses) {
  const std::unique_ptr<Backend> backend = make_backend({});
  for (const NetworkInfo& info : networks()) {
    const std::shared_ptr<Module> network = make_network(info.name, *backend, {7, 0.1f, {}});
    const std::vector<NamedParameter> of_seven = network->named_parameters();
    const std::vector<NamedParameter> of_ten = make_network(info.name, *backend, {10, 0.1f, {}})->named_parameters();
    ASSERT_EQ(of_ten.size(), of_seven.size());
    std::vector<std::string> differing;
    for (std::size_t i = 0; i < of_ten.size(); ++i)
      if (of_ten[i].variable.shape() != of_seven[i].variable.shape()) differing.push_back(of_ten[i].name);
    EXPECT_EQ(head_names(*network), differing) << info.name;
  }
}

// By hand: two or three stages halve, rounded up, and leave two pixels; five poolings halve, rounded down, and leave
// one.
TEST(Networks, HaveALeastImageSize) {
  const std::unique_ptr<Backend> backend = make_backend({});
  for (const auto& [name, size] : std::vector<std::pair<const char*, std::int64_t>>{
           {"resnet8", 5}, {"resnet110", 5}, {"resnet18", 9}, {"resnet101", 9}, {"vgg19", 32}})
    EXPECT_EQ(make_network(name, *backend)->min_image_size(), size) << name;
}

/// Loss of a training step, forward and backward, of one image of this shape.
float step_loss(const std::string& name, Backend& backend, const Shape& image) {
  NetworkOptions options;
  options.in_channels = image[3];
  const std::shared_ptr<Module> network = make_network(name, backend, options);
  initialize(*network, Initialization::kHeNormal, 1);
  const std::vector<float> pixels(static_cast<std::size_t>(image.count()), 0.5f);
  const Variable logits = network->forward(Variable(Tensor::from_host(backend, image, pixels)), Mode::kTraining);
  EXPECT_EQ(logits.shape(), (Shape{1, 10})) << name;
  const Tensor label = Tensor::from_host(backend, {1}, std::vector<std::int32_t>{3});
  const Variable loss = softmax_cross_entropy(logits, label, make_step_state(backend, 1));
  loss.backward();
  return loss.value().to_host<float>()[0];
}

std::vector<std::string> network_names() {
  std::vector<std::string> names;
  for (const NetworkInfo& info : networks()) names.push_back(info.name);
  return names;
}

class EveryNetwork : public testing::TestWithParam<std::string> {};

TEST_P(EveryNetwork, TrainsOnImagesOfTheLeastSizeAndOfOtherShapes) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const std::string& name = GetParam();
  const std::int64_t least = make_network(name, *backend)->min_image_size();
  EXPECT_TRUE(std::isfinite(step_loss(name, *backend, {1, least, least, 3})));
  EXPECT_TRUE(std::isfinite(step_loss(name, *backend, {1, least + 3, 2 * least + 1, 1})));
  EXPECT_THAT(
      [&] {
        step_loss(name, *backend, {1, least - 1, least - 1, 3});
      },
      testing::Throws<Error>())
      << "the least size is too large";
}

INSTANTIATE_TEST_SUITE_P(Networks, EveryNetwork, testing::ValuesIn(network_names()),
                         [](const auto& network) { return network.param; });

TEST(Networks, TheirFirstConvolutionHasTheImagesChannels) {
  const std::unique_ptr<Backend> backend = make_backend({});
  NetworkOptions options;
  options.in_channels = 4;
  const auto count = [&](const char* name) { return parameter_count(*make_network(name, *backend, options)); };
  EXPECT_EQ(count("resnet20"), 269'722 + 16 * 3 * 3);
  EXPECT_EQ(count("vgg19"), 20'040'522 + 64 * 3 * 3);
  options.in_channels = 0;
  EXPECT_THAT([&] { count("resnet8"); },
              testing::ThrowsMessage<Error>(testing::HasSubstr("at least 1 channel, got 0")));
}

TEST(Networks, UnknownNamesAreRefusedWithTheKnownOnes) {
  const std::unique_ptr<Backend> backend = make_backend({});
  try {
    make_network("resnet19", *backend);
    FAIL() << "expected an Error";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), testing::AllOf(testing::HasSubstr("resnet19"), testing::HasSubstr("resnet20")));
  }
}

TEST(Networks, OnesOwnIsKnownByItsName) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const auto make = [](Backend& on, const NetworkOptions& options) { return make_network("resnet8", on, options); };
  register_network({"own-8", "resnet8 by another name"}, make);
  EXPECT_EQ(networks().back().name, "own-8");
  EXPECT_EQ(parameter_count(*make_network("own-8", *backend)), parameter_count(*make_network("resnet8", *backend)));
  for (const auto& [name, reason] : std::vector<std::pair<const char*, const char*>>{
           {"own-8", "there is a network 'own-8' already (resnet8 by another name)"},
           {"resnet20", "there is a network 'resnet20' already"},
           {"", "letters, digits"},
           {"a b", "got 'a b'"}})
    EXPECT_THAT([&] { register_network({name, ""}, make); }, testing::ThrowsMessage<Error>(testing::HasSubstr(reason)));
  EXPECT_THAT(
      [&] {
        register_network({"empty", ""}, nullptr);
      },
      testing::ThrowsMessage<Error>(testing::HasSubstr("expected a function")));
}

}  // namespace
}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/layers/state_dict.h"

#include <algorithm>

#include <gtest/gtest.h>

#include "gradamp/layers/layers.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using Floats = std::vector<float>;

class StateDictTest : public DeviceTest {
 protected:
  std::unique_ptr<Sequential> make_network(std::uint32_t substream) {
    auto network = std::make_unique<Sequential>();
    network->append(std::make_shared<Conv2d>(backend(), 3, 2, 2, Conv2dParams{}, true));
    network->append(std::make_shared<BatchNorm>(backend(), 2));
    network->append(std::make_shared<Linear>(backend(), 2, 5, false));
    for (const NamedParameter& parameter : network->named_parameters()) fill(parameter.variable.value(), substream++);
    for (const NamedBuffer& buffer : network->named_buffers()) fill(buffer.tensor, substream++);
    return network;
  }
  static void fill(const Tensor& tensor, std::uint32_t substream) {
    tensor.copy_from_host(std::span<const float>(normal_values(tensor.count(), substream)));
  }
  /// All values of the network, concatenated.
  static Floats everything(Module& network) {
    Floats values;
    for (const StateEntry& entry : state_dict(network)) {
      values.insert(values.end(), entry.values.begin(), entry.values.end());
    }
    return values;
  }
};

TEST_P(StateDictTest, HoldsEverythingUnderPyTorchsNamesAndShapes) {
  const auto network = make_network(1);
  std::vector<std::string> entries;
  for (const StateEntry& entry : state_dict(*network)) entries.push_back(entry.name + " " + entry.shape.to_string());
  EXPECT_EQ(entries, (std::vector<std::string>{"0.weight [2, 3, 2, 2]", "0.bias [2]", "1.weight [2]", "1.bias [2]",
                                               "2.weight [5, 2]", "1.running_mean [2]", "1.running_var [2]"}));
}

TEST_P(StateDictTest, FiltersArePutIntoPyTorchsOrder) {
  const auto network = make_network(1);
  const Floats krsc = network->named_parameters()[0].variable.value().to_host<float>();
  const Floats kcrs = state_dict(*network)[0].values;
  ASSERT_EQ(kcrs.size(), krsc.size());
  for (std::size_t k = 0; k < 2; ++k)
    for (std::size_t c = 0; c < 3; ++c)
      for (std::size_t r = 0; r < 2; ++r)
        for (std::size_t s = 0; s < 2; ++s)
          EXPECT_EQ(kcrs[((k * 3 + c) * 2 + r) * 2 + s], krsc[((k * 2 + r) * 2 + s) * 3 + c]);
}

TEST_P(StateDictTest, LayoutsGoThereAndBack) {
  const Shape shape = {2, 3, 5, 7};  // K, R, S, C
  EXPECT_EQ(pytorch_shape(shape), (Shape{2, 7, 3, 5}));
  EXPECT_EQ(pytorch_shape({4, 6}), (Shape{4, 6}));
  const Floats values = normal_values(shape.count(), 1);
  EXPECT_NE(to_pytorch_layout(shape, values), values);
  EXPECT_EQ(from_pytorch_layout(shape, to_pytorch_layout(shape, values)), values);
  EXPECT_EQ(to_pytorch_layout({42, 5}, values), values);
}

TEST_P(StateDictTest, LoadsWhatAnotherNetworkHeld) {
  const auto from = make_network(1), to = make_network(100);
  ASSERT_NE(everything(*from), everything(*to));
  std::vector<StateEntry> entries = state_dict(*from);
  std::reverse(entries.begin(), entries.end());  // the order does not matter
  entries.push_back({"1.num_batches_tracked", {}, {3}});
  load_state_dict(*to, entries);
  EXPECT_EQ(everything(*to), everything(*from));
}

TEST_P(StateDictTest, RefusesWhatIsNotTheNetworksAndChangesNothing) {
  const auto from = make_network(1), to = make_network(100);
  const Floats before = everything(*to);
  const auto error = [&](auto change) {
    std::vector<StateEntry> entries = state_dict(*from);
    change(entries);
    const std::string message = error_of([&] { load_state_dict(*to, entries); });
    EXPECT_TRUE(everything(*to) == before) << "changed, although: " << message;
    return message;
  };
  EXPECT_EQ(error([](auto& entries) { entries.pop_back(); }),
            "the weights lack '1.running_var'; are they of another network?");
  EXPECT_EQ(error([](auto& entries) { entries.erase(entries.begin() + 4); }),
            "the weights lack '2.weight'; are they of another network?");
  EXPECT_EQ(error([](auto& entries) {
              entries.push_back({"3.weight", {1}, {1}});
            }),
            "the weights hold '3.weight', which this network does not have");
  EXPECT_EQ(error([](auto& entries) { entries[6].shape = {3}; }),
            "the weights' '1.running_var' has shape [3], expected [2]");
  EXPECT_EQ(error([](auto& entries) {
              entries[0].shape = {2, 2, 2, 3};
            }),
            "the weights' '0.weight' has shape [2, 2, 2, 3], expected [2, 3, 2, 2]");
  EXPECT_EQ(error([](auto& entries) {
              entries[0].shape = {2, 1, 2, 2};
            }),
            "the weights' '0.weight' has shape [2, 1, 2, 2], expected [2, 3, 2, 2]: its input has 1 channels, this "
            "network's has 3; if it is the first convolution, the weights are for images of 1 channels");
  EXPECT_EQ(error([](auto& entries) { entries[6].values.pop_back(); }),
            "the weights' '1.running_var' has 1 values, expected 2");
  EXPECT_EQ(error([](auto& entries) { entries[0].values.push_back(0); }),
            "the weights' '0.weight' has 25 values, expected 24");
}

TEST_P(StateDictTest, TheHeadIsTheLastLinearLayer) {
  Sequential network;
  EXPECT_EQ(head_names(network), std::vector<std::string>());
  network.append(std::make_shared<Linear>(backend(), 2, 3));
  network.append(std::make_shared<Linear>(backend(), 3, 5));
  network.append(std::make_shared<BatchNorm>(backend(), 5));
  EXPECT_EQ(head_names(network), (std::vector<std::string>{"1.weight", "1.bias"}));
  Linear alone(backend(), 2, 3, false);
  EXPECT_EQ(head_names(alone), std::vector<std::string>{"weight"});
}

TEST_P(StateDictTest, AKeptHeadTakesNothingFromTheEntries) {
  const auto from = make_network(1), to = make_network(100);
  std::vector<StateEntry> expected = state_dict(*from);
  ASSERT_EQ(expected[4].name, "2.weight");
  expected[4].values = state_dict(*to)[4].values;
  std::vector<StateEntry> entries = state_dict(*from);
  const auto expect_loaded = [&](const char* what) {
    const auto fresh = make_network(100);
    EXPECT_NO_THROW(check_state_dict(*fresh, entries, Head::kKeep)) << what;
    load_state_dict(*fresh, entries, Head::kKeep);
    const std::vector<StateEntry> loaded = state_dict(*fresh);
    for (std::size_t i = 0; i < expected.size(); ++i) EXPECT_EQ(loaded[i].values, expected[i].values) << what << i;
  };
  expect_loaded("the same number of classes");
  entries[4].shape = {7, 2};
  entries[4].values.resize(14);
  expect_loaded("more classes");
  EXPECT_EQ(error_of([&] { load_state_dict(*to, entries); }),
            "the weights' '2.weight' has shape [7, 2], expected [5, 2]: they are for 7 classes, this network has 5");
  entries.erase(entries.begin() + 4);
  expect_loaded("no head");
}

TEST_P(StateDictTest, AKeptHeadIsTheOnlyDifference) {
  const auto from = make_network(1), to = make_network(100);
  const Floats before = everything(*to);
  const auto error = [&](auto change) {
    std::vector<StateEntry> entries = state_dict(*from);
    entries[4].shape = {7, 2};
    entries[4].values.resize(14);
    change(entries);
    const std::string message = error_of([&] { load_state_dict(*to, entries, Head::kKeep); });
    EXPECT_TRUE(everything(*to) == before) << "changed, although: " << message;
    return message;
  };
  EXPECT_EQ(error([](auto& entries) {
              entries[4].shape = {7, 3};
            }),
            "the weights' '2.weight' has shape [7, 3], expected [5, 2]");
  EXPECT_EQ(error([](auto& entries) {
              entries[4].shape = {7, 2, 1};
            }),
            "the weights' '2.weight' has shape [7, 2, 1], expected [5, 2]");
  EXPECT_EQ(error([](auto& entries) { entries.pop_back(); }),
            "the weights lack '1.running_var'; are they of another network?");
  EXPECT_EQ(error([](auto& entries) { entries[6].shape = {3}; }),
            "the weights' '1.running_var' has shape [3], expected [2]");
  EXPECT_EQ(error([](auto& entries) {
              entries.push_back({"2.bias", {7}, Floats(7)});
            }),
            "the weights hold '2.bias', which this network does not have");
  Sequential headless;
  EXPECT_EQ(error_of([&] { load_state_dict(headless, {}, Head::kKeep); }),
            "this network has no linear layer, so it has no head that could be new");
}

/// A parameter of rank 4 that is not a filter.
class Table final : public Module {
 public:
  explicit Table(Backend& backend) : table(add_parameter("table", backend, {2, 3, 4, 5})) {}
  Variable forward(const Variable& x, Mode) override { return x; }
  Variable table;
};

TEST_P(StateDictTest, OnlyFiltersAreReordered) {
  Table from(backend()), to(backend());
  from.table.value().copy_from_host(std::span<const float>(normal_values(120, 1)));
  const std::vector<StateEntry> entries = state_dict(from);
  EXPECT_EQ(entries.at(0).shape, (Shape{2, 3, 4, 5}));
  EXPECT_EQ(entries.at(0).values, normal_values(120, 1));
  load_state_dict(to, entries);
  EXPECT_EQ(bits_of(to.table.value()), bits_of(from.table.value()));
}

INSTANTIATE_TEST_SUITE_P(Devices, StateDictTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test

// SPDX-License-Identifier: MIT
// Steps whose batch is cut into shards: compared with PyTorch's DistributedDataParallel, and with the parts computed
// one by one.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "gradamp/core/shard.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/training/training_steps.h"
#include "gradamp/tests/optim/made_up_epoch.h"
#include "gradamp/tests/optim/optim_support.h"
#include "gradamp/tests/oracle/recorded.h"

namespace gradamp {
namespace {

using nlohmann::json;
using test::error_of;
using test::matches_sketch;

class ShardedSteps : public test::DeviceTest {};

/// The images as they are, in their order.
GatherParams no_normalization() {
  GatherParams gather;
  gather.inverse_std.fill(1);
  return gather;
}

OptimizerOptions constant_rate(double rate, double weight_decay) {
  OptimizerOptions options;
  options.strategy.phases = {{.end_epoch = 1, .learning_rate = rate}};
  options.sgd.momentum = 0.9f;
  options.sgd.weight_decay = static_cast<float>(weight_decay);
  return options;
}

/// Five steps of resnet8 in shards, compared with `expected`.
void expect_agreement(Backend& backend, const json& recorded, const json& expected, BatchNormStatistics statistics) {
  const auto batch = recorded.at("batch").get<std::int64_t>(), steps = recorded.at("steps").get<std::int64_t>();
  std::vector<float> images;
  std::vector<std::int32_t> labels;
  for (std::int64_t step = 0; step < steps; ++step) {
    const auto substream = static_cast<std::uint32_t>(step);
    const Batch part = oracle::make_batch(backend, batch, 2000 + substream, 3000 + substream, 10);
    const std::vector<float> pixels = part.images.to_host<float>();
    const std::vector<std::int32_t> classes = part.labels.to_host<std::int32_t>();
    images.insert(images.end(), pixels.begin(), pixels.end());
    labels.insert(labels.end(), classes.begin(), classes.end());
  }
  const std::int64_t count = batch * steps;
  const DeviceDataset data{.description = {},
                           .count = count,
                           .classes = 10,
                           .images = Tensor::from_host(backend, {count, 32, 32, 3}, images),
                           .labels = Tensor::from_host(backend, {count}, labels),
                           .class_names = {}};
  const std::shared_ptr<Module> network = make_network("resnet8", backend);
  oracle::set_initial(*network, recorded.at("parameters"));
  const StepState state = make_step_state(backend, 1);
  const json& sgd = recorded.at("sgd");
  ASSERT_EQ(sgd.at("momentum").get<double>(), 0.9);
  Optimizer optimizer(*network, state,
                      constant_rate(sgd.at("learning_rate").get<double>(), sgd.at("weight_decay").get<double>()));
  TrainingSteps training(data, no_normalization(), batch, state, *network, optimizer, {},
                         recorded.at("shards").get<std::int64_t>(), nullptr, statistics);
  state.begin_epoch(1);
  optimizer.begin_epoch(1);
  training.begin_epoch(0);  // the images in their order
  double before = 0;
  for (std::int64_t step = 0; step < steps; ++step) {
    training.run(batch);
    const double sum = state.metrics.to_host<double>()[kLossSum];
    EXPECT_NEAR((sum - before) / static_cast<double>(batch),
                expected.at("losses")[static_cast<std::size_t>(step)].get<double>(), 1e-6);
    before = sum;
  }
  // PyTorch's float32 differs from its float64 by 9e-8 in the weights and by 8e-6 in the statistics.
  std::uint32_t ordinal = 0;
  for (const NamedParameter& parameter : network->named_parameters()) {
    const json& sketch = expected.at("weights")[ordinal];
    ASSERT_EQ(sketch.at("name"), parameter.name);
    EXPECT_TRUE(matches_sketch(parameter.variable.value(), sketch, ordinal++, 1e-6));
  }
  ordinal = 0;
  for (const NamedBuffer& buffer : network->named_buffers()) {
    const json& sketch = expected.at("statistics")[ordinal];
    ASSERT_EQ(sketch.at("name"), buffer.name);
    EXPECT_TRUE(matches_sketch(buffer.tensor, sketch, ordinal++, 5e-5));
  }
}

TEST_P(ShardedSteps, AgreeWithDistributedDataParallel) {
  const json recorded = oracle::read("optim/recorded/shards.json");
  expect_agreement(backend(), recorded, recorded, BatchNormStatistics::kLocal);
}

TEST_P(ShardedSteps, WithSynchronizedBatchNormAgreeWithTheWholeBatch) {
  const json recorded = oracle::read("optim/recorded/shards.json");
  expect_agreement(backend(), recorded, recorded.at("whole"), BatchNormStatistics::kSynchronized);
}

/// 10 and 3 images of 6x5 pixels in two steps.
constexpr std::int64_t kImages = 13, kBatch = 10, kPixels = 6 * 5 * 3;

DeviceDataset odd_data(Backend& backend) {
  std::vector<std::int32_t> labels;
  for (int i = 0; i < kImages; ++i) labels.push_back(i * 23);
  return {.description = {},
          .count = kImages,
          .classes = 301,
          .images = test::normal_tensor(backend, {kImages, 6, 5, 3}, 70),
          .labels = Tensor::from_host(backend, {kImages}, labels),
          .class_names = {}};
}

/// What a network makes of the images `first` to `first + count` - 1, by itself.
struct Part {
  Part(Backend& backend, const DeviceDataset& data, std::int64_t first, std::int64_t count, std::int64_t divisor,
       const std::vector<float>& weights, const std::vector<std::vector<float>>& before)
      : network(backend), arena(network) {
    arena.arena().weights.copy_from_host(std::span<const float>(weights));
    const std::vector<NamedBuffer> all = network.named_buffers();
    for (std::size_t i = 0; i < all.size(); ++i) all[i].tensor.copy_from_host(std::span<const float>(before[i]));
    const Variable x(data.images.view({count, 6, 5, 3}, first * kPixels));
    arena.begin_step();
    softmax_cross_entropy(network.forward(x, Mode::kTraining), data.labels.view({count}, first),
                          test::make_step_state(backend), {.divisor = divisor})
        .backward();
    arena.finish_gradients();
    gradient = arena.arena().gradients.to_host<float>();
    for (const NamedBuffer& buffer : all) buffers.push_back(buffer.tensor.to_host<float>());
  }

  test::SmallNet network;
  ParameterArena arena;
  std::vector<float> gradient;
  std::vector<std::vector<float>> buffers;
};

std::vector<float> plus(std::vector<float> a, const std::vector<float>& b) {
  for (std::size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

TEST_P(ShardedSteps, AddUpTheirPartsAlsoOfABatchWithFewerImagesThanShards) {
  const DeviceDataset data = odd_data(backend());
  test::SmallNet network(backend());
  const StepState state = make_step_state(backend(), 1);
  Optimizer optimizer(network, state, constant_rate(0.1, 0.01));
  TrainingSteps training(data, no_normalization(), kBatch, state, network, optimizer, {}, 4, nullptr);
  state.begin_epoch(1);
  optimizer.begin_epoch(1);
  training.begin_epoch(0);
  std::int64_t first = 0;
  for (const std::vector<ShardRange>& parts : {std::vector<ShardRange>{{0, 2}, {2, 3}, {5, 2}, {7, 3}},
                                               std::vector<ShardRange>{{0, 0}, {0, 1}, {1, 1}, {2, 1}}}) {
    const std::int64_t count = parts.back().first + parts.back().count;
    const std::vector<float> weights = optimizer.arena().arena().weights.to_host<float>();
    std::vector<std::vector<float>> before, buffers;
    for (const NamedBuffer& buffer : network.named_buffers()) before.push_back(buffer.tensor.to_host<float>());
    std::vector<std::vector<float>> gradients;
    for (const ShardRange& range : parts) {
      if (range.count == 0) {
        gradients.emplace_back(weights.size(), 0.0f);
        continue;
      }
      const Part part(backend(), data, first + range.first, range.count, count, weights, before);
      gradients.push_back(part.gradient);
      const float fraction = static_cast<float>(static_cast<double>(range.count) / static_cast<double>(count));
      for (std::size_t i = 0; i < before.size(); ++i) {
        std::vector<float> share = part.buffers[i];
        for (float& value : share) value *= fraction;
        if (buffers.size() == before.size()) {
          buffers[i] = plus(buffers[i], share);
        } else {
          buffers.push_back(share);
        }
      }
    }
    training.run(count);
    EXPECT_EQ(optimizer.arena().arena().gradients.to_host<float>(),
              plus(plus(gradients[0], gradients[1]), plus(gradients[2], gradients[3])));
    EXPECT_NE(optimizer.arena().arena().weights.to_host<float>(), weights);
    std::size_t i = 0;
    for (const NamedBuffer& buffer : network.named_buffers()) EXPECT_EQ(buffer.tensor.to_host<float>(), buffers[i++]);
    first += count;
  }
  EXPECT_EQ(state.counter(kPosition), kImages);
  EXPECT_EQ(state.counter(kStep), 2);
  EXPECT_EQ(state.counter(kFirstBadStep), 0);
}

/// What two steps, of 10 and of 3 images, leave of a network.
std::vector<std::vector<float>> after_two_steps(Backend& backend, std::int64_t shards, BatchNormStatistics statistics) {
  const DeviceDataset data = odd_data(backend);
  test::SmallNet network(backend);
  const StepState state = make_step_state(backend, 1);
  Optimizer optimizer(network, state, constant_rate(0.1, 0.01));
  TrainingSteps training(data, no_normalization(), kBatch, state, network, optimizer, {}, shards, nullptr, statistics);
  state.begin_epoch(1);
  optimizer.begin_epoch(1);
  training.begin_epoch(0);
  training.run(kBatch);
  training.run(kImages - kBatch);
  EXPECT_EQ(state.counter(kPosition), kImages);
  EXPECT_EQ(state.counter(kFirstBadStep), 0);
  std::vector<std::vector<float>> values;
  for (const NamedParameter& parameter : network.named_parameters())
    values.push_back(parameter.variable.value().to_host<float>());
  for (const NamedBuffer& buffer : network.named_buffers()) values.push_back(buffer.tensor.to_host<float>());
  const std::vector<double> metrics = state.metrics.to_host<double>();
  values.emplace_back(metrics.begin(), metrics.end());
  return values;
}

TEST_P(ShardedSteps, WithSynchronizedBatchNormAreTheWholeBatchWhateverTheirSizes) {
  const std::vector<std::vector<float>> whole = after_two_steps(backend(), 1, BatchNormStatistics::kLocal);
  const auto differs = [&](const std::vector<std::vector<float>>& values, float tolerance) {
    std::size_t different = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
      const float largest = *std::max_element(whole[i].begin(), whole[i].end());
      for (std::size_t k = 0; k < values[i].size(); ++k)
        if (!(std::fabs(values[i][k] - whole[i][k]) <= tolerance * std::fabs(largest))) ++different;
    }
    return different;
  };
  for (const std::int64_t shards : {2, 4, 8})  // of the second batch 0, 1 and 5 are empty
    EXPECT_EQ(differs(after_two_steps(backend(), shards, BatchNormStatistics::kSynchronized), 2e-5f), 0u) << shards;
  EXPECT_GT(differs(after_two_steps(backend(), 4, BatchNormStatistics::kLocal), 2e-5f), 100u);
  EXPECT_EQ(after_two_steps(backend(), 1, BatchNormStatistics::kSynchronized), whole);
}

class NetWithABuffer final : public Module {
 public:
  explicit NetWithABuffer(Backend& backend) : net_(add_module("net", std::make_shared<test::SmallNet>(backend))) {
    add_buffer("seen", Tensor::zeros(backend, {1}));
  }
  Variable forward(const Variable& x, Mode mode) override { return net_->forward(x, mode); }

 private:
  std::shared_ptr<test::SmallNet> net_;
};

TEST_P(ShardedSteps, SynchronizedRefuseOtherBuffersThanThoseOfBatchNorms) {
  NetWithABuffer network(backend());
  const StepState state = make_step_state(backend(), 1);
  Optimizer optimizer(network, state, constant_rate(0.1, 0.01));
  const DeviceDataset data = odd_data(backend());
  const auto make = [&](BatchNormStatistics statistics) {
    TrainingSteps(data, no_normalization(), kBatch, state, network, optimizer, {}, 2, nullptr, statistics);
  };
  make(BatchNormStatistics::kLocal);
  EXPECT_EQ(error_of([&] { make(BatchNormStatistics::kSynchronized); }),
            "synchronized batch norm: expected no buffers but the running statistics of batch norms, got seen; use "
            "local batch norm");
}

TEST_P(ShardedSteps, NoShardIsForgotten) {
  test::SmallNet network(backend());
  const StepState state = make_step_state(backend(), 1);
  Optimizer optimizer(network, state, constant_rate(0.1, 0.01));
  optimizer.begin_epoch(1);
  const std::string before_begin = "expected begin_step() with the number of shards before the first one";
  EXPECT_EQ(error_of([&] { optimizer.add_shard(); }), before_begin);
  optimizer.begin_step();
  EXPECT_EQ(error_of([&] { optimizer.add_shard(); }), before_begin);
  optimizer.begin_step(2);
  optimizer.add_shard();
  EXPECT_EQ(error_of([&] { optimizer.step(); }),
            "expected add_shard() after the backward of every shard before step()");
  optimizer.add_shard();
  EXPECT_EQ(error_of([&] { optimizer.add_shard(); }), "expected the gradients of 2 shards, got one more");
  optimizer.step();
  EXPECT_EQ(error_of([&] {
              TrainingSteps(odd_data(backend()), no_normalization(), 10, state, network, optimizer, {}, 16, nullptr);
            }),
            "expected at most one shard per image of a batch: 10 images, got 16 shards");
}

INSTANTIATE_TEST_SUITE_P(Devices, ShardedSteps, ::testing::ValuesIn(test::devices()), test::device_name);

}  // namespace
}  // namespace gradamp

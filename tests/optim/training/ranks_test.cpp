// SPDX-License-Identifier: MIT
// Several ranks, here threads, train one run: the same bits as one, whatever their number.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gradamp/data/synthetic.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/layers/layers.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/training/rank_exchange.h"
#include "gradamp/optim/training/trainer.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/core/thread_ranks.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using test::ThreadRanks;
using testing::HasSubstr;

constexpr std::int64_t kShards = 8;

std::shared_ptr<Sequential> make_small_network(Backend& backend, const StepState& state) {
  auto network = std::make_shared<Sequential>();
  network->append(std::make_shared<Conv2d>(backend, 3, 5, 3, Conv2dParams{2, 1}, true));
  network->append(std::make_shared<BatchNorm>(backend, 5));
  network->append(std::make_shared<ReLU>());
  network->append(std::make_shared<Conv2d>(backend, 5, 7, 3, Conv2dParams{2, 1}));
  network->append(std::make_shared<BatchNorm>(backend, 7));
  network->append(std::make_shared<ReLU>());
  network->append(std::make_shared<MaxPool2d>(Pool2dParams{4, 4}));
  network->append(std::make_shared<Flatten>());
  network->append(std::make_shared<Dropout>(DropoutParams{0.1f, 0}, state));
  network->append(std::make_shared<Linear>(backend, 7 * 2 * 2, 10));
  initialize(*network, Initialization::kPyTorch, 3);
  return network;
}

/// 37 images in steps of 16, 16 and 5: in the last one three of the eight shards are empty.
TrainerOptions options_for(const std::string& strategy) {
  TrainerOptions options;
  options.batch_size = 16;
  options.evaluation_batch = 4;
  options.shards = kShards;
  options.optimizer.strategy = parse_strategy(strategy);
  return options;
}

/// One process of a run.
struct Process {
  Process(TrainerOptions options, Communicator* ranks, TrainerCallbacks callbacks = {}, Precision precision = {})
      : backend(make_backend(Device{DeviceKind::kCpu}, {.threads = 1, .precision = precision})),
        state(make_step_state(*backend, 7)),
        network(make_small_network(*backend, state)) {
    options.ranks = ranks;
    const Dataset train = make_synthetic_dataset(1, "train", 37), held_out = make_synthetic_dataset(1, "test", 9);
    trainer.emplace(*network, state,
                    upload_training_data(*backend, train, make_synthetic_dataset(1, "test", 21), {}, held_out),
                    std::move(options), std::move(callbacks));
  }

  std::unique_ptr<Backend> backend;
  StepState state;
  std::shared_ptr<Module> network;
  std::optional<Trainer> trainer;
};

/// What a run leaves.
struct Outcome {
  std::string checkpoint;
  std::vector<std::string> lines;  // what the callbacks of rank 0 heard

  bool operator==(const Outcome&) const = default;
};

TrainerCallbacks listener(std::vector<std::string>& lines) {
  TrainerCallbacks callbacks;
  callbacks.on_epoch = [&](const EpochSummary& epoch) {
    lines.push_back(fmt::format("epoch {}: {} {}, test {} {}, validation {} {}", epoch.epoch, epoch.train_loss,
                                epoch.train_accuracy, epoch.test_loss, epoch.test_accuracy,
                                epoch.validation_loss.value_or(-1), epoch.validation_accuracy.value_or(-1)));
  };
  callbacks.on_selection = [&](const SelectionSummary& selection) {
    for (const LayerReport& layer : selection.layers)
      lines.push_back(fmt::format("{} {}: {} {} {}", selection.epoch, layer.name, layer.g.value_or(-1),
                                  layer.g_prime.value_or(-1), layer.factor));
  };
  callbacks.on_measure = [&](const MeasureSummary& measures) {
    for (const MeasuredLayer& layer : measures.layers)
      lines.push_back(fmt::format("{} {}: {} {}", measures.epoch, layer.name, layer.g, layer.g_prime));
  };
  return callbacks;
}

class RanksTest : public testing::Test {
 protected:
  /// Trains with this number of ranks from the checkpoint `from`, if there is one, to the end of `last_epoch`; 0: of
  /// the run.
  Outcome train(const TrainerOptions& options, int size, const std::string& from = "", int last_epoch = 0,
                Precision precision = Precision::kF32) {
    Outcome outcome;
    ThreadRanks(size).run([&](Communicator& ranks) {
      const bool is_first = ranks.rank() == 0;
      Process process(options, &ranks, is_first ? listener(outcome.lines) : TrainerCallbacks(), precision);
      if (is_first && !from.empty()) process.trainer->load(folder_ / from);
      EXPECT_TRUE(process.trainer->run(last_epoch));
      if (is_first) process.trainer->save(folder_ / "saved");
      const std::string own = fmt::format("rank {}", ranks.rank());
      process.trainer->save(folder_ / own);
      const std::scoped_lock lock(mutex_);
      states_.push_back(text_of(folder_ / own));
    });
    outcome.checkpoint = text_of(folder_ / "saved");
    EXPECT_THAT(states_, testing::Each(outcome.checkpoint));  // every rank has the whole state
    states_.clear();
    return outcome;
  }

  const ScratchFolder folder_;
  std::mutex mutex_;
  std::vector<std::string> states_;
};

std::map<std::string, TrainerOptions> sharded_recipes() {
  std::map<std::string, TrainerOptions> all;
  all["plain"] = options_for("2:0.1, 3:0.01");
  all["amplified"] = options_for("1:0.1, 4:0.1:2, 5:0.05");
  all["amplified"].optimizer.selection.threshold = 0.3;
  all["amplified"].optimizer.strategy.reselect_every = 1;
  all["by neuron, measured"] = options_for("1:0.1, 3:0.1:2");
  all["by neuron, measured"].optimizer.sgd.granularity = Granularity::kNeuron;
  all["by neuron, measured"].optimizer.measure_every = 2;
  all["random"] = options_for("1:0.1, 3:0.1:2");
  all["random"].optimizer.selection.method = SelectionMethod::kRandom;
  all["backprop"] = options_for("1:0.1, 3:0.1:2");
  all["backprop"].optimizer.placement = Placement::kBackprop;
  all["backprop"].loss.label_smoothing = 0.1;
  all["adamw"] = options_for("1:0.001, 3:0.001:2");
  all["adamw"].optimizer.update_rule = UpdateRule::kAdamW;
  all["adamw"].optimizer.clip_norm = 0.5;
  all["adamw"].optimizer.schedule = Schedule::kCosine;
  all["adamw"].optimizer.peak_rate = 0.001;
  all["synchronized"] = options_for("1:0.1, 3:0.1:2");
  all["synchronized"].batch_norm = BatchNormStatistics::kSynchronized;
  all["synchronized"].batch_size = 17;  // 3 images in the last step: two of four ranks have none, or five of eight
  return all;
}

TEST_F(RanksTest, OfAnyNumberGiveTheSameBits) {
  for (const auto& [name, options] : sharded_recipes()) {
    SCOPED_TRACE(name);
    TrainerOptions alone = options;
    const Outcome expected = train(alone, 1);
    EXPECT_FALSE(expected.lines.empty());
    for (const int size : {2, 4, 8}) EXPECT_EQ(train(options, size), expected) << size << " ranks";
  }
}

TEST_F(RanksTest, GiveTheSameBitsInBf16) {
  const TrainerOptions options = sharded_recipes().at("amplified");
  const Outcome expected = train(options, 1, "", 0, Precision::kBF16);
  EXPECT_EQ(train(options, 4, "", 0, Precision::kBF16), expected);
}

TEST_F(RanksTest, ResumeWhatAnotherNumberOfRanksBegan) {
  const TrainerOptions options = sharded_recipes().at("amplified");
  const Outcome unbroken = train(options, 1);
  int size = 1;
  std::vector<std::string> lines;
  Outcome part;
  for (int epoch = 1; epoch <= 5; ++epoch) {
    part = train(options, size, epoch == 1 ? "" : "before", epoch);
    lines.insert(lines.end(), part.lines.begin(), part.lines.end());
    std::filesystem::rename(folder_ / "saved", folder_ / "before");
    size = size == 8 ? 1 : 2 * size;
  }
  EXPECT_EQ(lines, unbroken.lines);
  EXPECT_EQ(part.checkpoint, unbroken.checkpoint);
}

TEST_F(RanksTest, AStopOfAnyRankStopsAllAfterTheSameStep) {
  const TrainerOptions options = sharded_recipes().at("plain");
  const std::string unbroken = train(options, 1).checkpoint;
  ThreadRanks(4).run([&](Communicator& ranks) {
    std::atomic<bool> stop = false;
    TrainerOptions stopped = options;
    stopped.stop = &stop;
    TrainerCallbacks callbacks;
    callbacks.on_step = [&](const StepProgress& step) {
      stop = ranks.rank() == 2 && step.epoch == 2 && step.images == 32;
    };
    Process process(stopped, &ranks, callbacks);
    EXPECT_FALSE(process.trainer->run());
    EXPECT_EQ(process.state.counter(kPosition), 32);
    if (ranks.rank() == 0) process.trainer->save(folder_ / "stopped");
  });
  EXPECT_EQ(train(options, 2, "stopped").checkpoint, unbroken);
}

TEST_F(RanksTest, ALossThatIsNotFiniteEndsAllAtTheSameStep) {
  TrainerOptions options = options_for("2:1e30");
  std::string alone;
  for (const int size : {1, 2, 8}) {
    std::vector<std::string> errors;
    ThreadRanks(size).run([&](Communicator& ranks) {
      Process process(options, &ranks);
      const std::string error = error_of([&] { process.trainer->run(); });
      const std::scoped_lock lock(mutex_);
      errors.push_back(error);
    });
    if (size == 1) alone = errors[0];
    EXPECT_THAT(alone, HasSubstr("is not finite in epoch 1"));
    EXPECT_THAT(errors, testing::Each(alone));
  }
}

TEST_F(RanksTest, ALabelThatIsNoClassIsSeenByTheOtherRanks) {
  // The first shard has one image, with that label; the image's gradient is finite.
  ThreadRanks(2).run([&](Communicator& ranks) {
    const auto backend = make_backend(Device{DeviceKind::kCpu}, {.threads = 1});
    const StepState state = make_step_state(*backend, 7);
    const auto network = make_small_network(*backend, state);
    const DeviceDataset data{.description = {},
                             .count = 2,
                             .classes = 10,
                             .images = test::normal_tensor(*backend, {2, 32, 32, 3}, 1),
                             .labels = Tensor::from_host(*backend, {2}, std::vector<std::int32_t>{-1, 3}),
                             .class_names = {}};
    OptimizerOptions options;
    options.strategy = parse_strategy("1:0.1");
    Optimizer optimizer(*network, state, options);
    GatherParams gather;
    gather.inverse_std.fill(1);
    const std::unique_ptr<TensorExchange> exchange = backend->connect(ranks);
    TrainingSteps steps(data, gather, 2, state, *network, optimizer, {}, 2, exchange.get());
    state.begin_epoch(1);
    optimizer.begin_epoch(1);
    steps.begin_epoch(0);
    const std::vector<float> weights = optimizer.arena().arena().weights.to_host<float>();
    steps.run(2);
    EXPECT_EQ(state.counter(kFirstBadStep), 1);
    EXPECT_EQ(optimizer.arena().arena().weights.to_host<float>(), weights);
  });
}

TEST_F(RanksTest, SendAtMostTwiceTheGradientAndTheRows) {
  for (const int size : {2, 4, 8}) {
    ThreadRanks(size).run([&](Communicator& ranks) {
      const auto backend = make_backend(Device{DeviceKind::kCpu}, {.threads = 1});
      const Tensor gradients = test::normal_tensor(*backend, {1024}, static_cast<std::uint32_t>(ranks.rank()));
      sum_gradients(*backend->connect(ranks), gradients);
      EXPECT_EQ(ranks.bytes_sent(), 2 * 4096 * (size - 1) / size);
    });
  }
}

/// More ranks than slices of 16 elements: some have nothing to sum. And a last slice that is shorter than the others.
TEST_F(RanksTest, SumAlsoGradientsThatAreNoMultipleOfTheirSlices) {
  for (const std::int64_t count : {1, 37, 100}) {
    std::vector<std::vector<float>> sums(4);
    ThreadRanks(4).run([&](Communicator& ranks) {
      const auto backend = make_backend(Device{DeviceKind::kCpu}, {.threads = 1});
      const Tensor gradients = test::normal_tensor(*backend, {count}, static_cast<std::uint32_t>(ranks.rank()));
      sum_gradients(*backend->connect(ranks), gradients);
      sums[static_cast<std::size_t>(ranks.rank())] = gradients.to_host<float>();
    });
    std::vector<std::vector<float>> parts;
    for (std::uint32_t rank = 0; rank < 4; ++rank) parts.push_back(test::normal_values(count, rank));
    for (std::size_t i = 0; i < sums[0].size(); ++i)
      EXPECT_EQ(sums[0][i], (parts[0][i] + parts[1][i]) + (parts[2][i] + parts[3][i])) << i << " of " << count;
    EXPECT_THAT(sums, testing::Each(sums[0]));
  }
}

TEST_F(RanksTest, SendAtMostTwiceTheGradientInAStepOfResnet8) {
  for (const int size : {2, 4, 8}) {
    ThreadRanks(size).run([&](Communicator& ranks) {
      const auto backend = make_backend(Device{DeviceKind::kCpu}, {.threads = 1});
      const StepState state = make_step_state(*backend, 7);
      const auto network = make_network("resnet8", *backend);
      initialize(*network, Initialization::kPyTorch, 3);
      const Dataset dataset = make_synthetic_dataset(1, "train", 16);
      const DeviceDataset data = upload(*backend, dataset);
      OptimizerOptions options;
      options.strategy = parse_strategy("1:0.1");
      Optimizer optimizer(*network, state, options);
      const std::unique_ptr<TensorExchange> exchange = backend->connect(ranks);
      TrainingSteps steps(data, normalization(dataset), 16, state, *network, optimizer, {}, kShards, exchange.get());
      state.begin_epoch(1);
      optimizer.begin_epoch(1);
      steps.begin_epoch(1);
      steps.run(16);
      const auto gradient = static_cast<double>(optimizer.arena().arena().gradients.bytes());
      EXPECT_LT(static_cast<double>(ranks.bytes_sent()), 2.1 * gradient);
      EXPECT_GT(static_cast<double>(ranks.bytes_sent()), 2 * gradient * (size - 1) / size);
    });
  }
}

TEST_F(RanksTest, MustDivideTheShards) {
  const auto error = [](int ranks, std::int64_t shards) { return error_of([&] { check_ranks(ranks, shards); }); };
  EXPECT_EQ(error(4, 8), "");
  EXPECT_EQ(error(1, 1), "");
  EXPECT_EQ(error(3, 8), "expected 1, 2, 4, ... up to 8 ranks, one for each of the shards at most, got 3");
  EXPECT_EQ(error(2, 1), "2 ranks share the shards of each batch: expected 2 shards or a larger power of two, got 1");
}

}  // namespace
}  // namespace gradamp

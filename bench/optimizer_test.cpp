// SPDX-License-Identifier: MIT
// Tests the arenas of optimizer_bench, and that its verification rejects wrong results.
#include <algorithm>
#include <numeric>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/bench/optimizer_layers.h"
#include "gradamp/bench/optimizer_problem.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp::bench {
namespace {

using test::error_of;
using ::testing::HasSubstr;

std::int64_t elements(const std::vector<LayerRange>& layers) {
  return std::accumulate(layers.begin(), layers.end(), std::int64_t{0},
                         [](std::int64_t sum, const LayerRange& layer) { return sum + layer.count; });
}

// ---- The arenas ----

TEST(LayerTables, EqualLayersFillWholeChunks) {
  for (const std::int64_t weights : {1, 100'000, 1'000'000'000}) {
    const std::vector<LayerRange> layers = equal_layers(weights, 64);
    ASSERT_EQ(layers.size(), 64u);
    for (std::size_t l = 0; l < layers.size(); ++l) {
      EXPECT_EQ(layers[l].begin, l == 0 ? 0 : layers[l - 1].end);
      EXPECT_EQ(layers[l].begin % kArenaChunk, 0);
      EXPECT_EQ(layers[l].count, layers[l].end - layers[l].begin) << "no padding";
      EXPECT_EQ(layers[l].count, layers[l].neurons * layers[l].row_length);
      EXPECT_EQ(layers[l].count, layers[0].count);
    }
  }
}

// The usual numbers of trainable parameters for ten classes: convolutions, batch norms and the classifier.
TEST(LayerTables, AreTheNetworks) {
  EXPECT_EQ(elements(network_layers("resnet18")), 11'173'962);
  EXPECT_EQ(elements(network_layers("resnet50")), 23'520'842);
  EXPECT_EQ(network_layers("resnet18").size(), 20u + 20 + 1);
  EXPECT_EQ(network_layers("resnet50").size(), 53u + 53 + 1);
  EXPECT_EQ(network_layers("vgg19").size(), 16u + 16 + 1);
}

TEST(LayerTables, NetworksStandBesideEqualLayersOfTheSameTotal) {
  for (const std::string network : {"resnet8", "resnet18"}) {
    const std::vector<LayerTableChoice> tables = choose_layer_tables({{1e5}, {network}}, false);
    ASSERT_EQ(tables.size(), 3u);
    EXPECT_EQ(tables[0].name, "1e+05");
    EXPECT_EQ(tables[1].name, network);
    EXPECT_EQ(tables[2].name, network + "_equal");
    EXPECT_EQ(tables[1].layers.size(), tables[2].layers.size());
    const double real = static_cast<double>(tables[1].layers.back().end);
    const double half_a_unit = 2304.0 / 2 * static_cast<double>(tables[1].layers.size());
    EXPECT_NEAR(static_cast<double>(tables[2].layers.back().end), real, half_a_unit);
  }
}

TEST(LayerTables, QuickOnesAreSmall) {
  for (const LayerTableChoice& table : choose_layer_tables({}, true))
    EXPECT_LE(table.layers.back().end * 40, 30'000'000) << table.name << ": bytes held by the largest variant";
  EXPECT_EQ(choose_layer_tables({}, false).size(), 5u + 2 * 3);
  EXPECT_EQ(choose_layer_tables({{1e6}, {}}, true).front().name, "1e+06") << "what is asked for counts";
  EXPECT_LE(flush_bytes({DeviceKind::kCuda}, true), 1u << 20);
  EXPECT_LE(flush_bytes({DeviceKind::kEmulated}, false), 1u << 20);
  EXPECT_GT(static_cast<double>(flush_bytes({DeviceKind::kCuda}, false)), kLargestCache);
}

// ---- The references ----

class AtomicReferenceTest : public ::testing::TestWithParam<const char*> {
 protected:
  std::unique_ptr<Backend> backend_ = make_backend({DeviceKind::kEmulated});
  ArenaReferenceChoice choice_ = make_atomic_reference({DeviceKind::kEmulated});
};

std::vector<LayerRange> layers_of(const std::string& name) {
  return name == "equal" ? equal_layers(100'000, 64) : network_layers(name);
}

TEST_P(AtomicReferenceTest, AgreesWithFloat64) {
  ASSERT_NE(choice_.reference, nullptr) << choice_.description;
  for (const Variant variant : {Variant::kByNeuronAtomic, Variant::kMeasuresAtomic}) {
    const OptimizerProblem problem(*backend_, layers_of(GetParam()), {variant}, choice_.reference.get());
    EXPECT_EQ(error_of([&] { problem.verify(); }), "");
  }
}

TEST_P(AtomicReferenceTest, CanBeRecordedAndFlushed) {
  const OptimizerProblem problem(*backend_, layers_of(GetParam()), {Variant::kMeasuresAtomic}, choice_.reference.get());
  problem.verify();
  const TimingOptions once{0, 1, 1, 0, 0, 1};
  const Timing timing = time_recorded(
      problem.queue(), 1, [&](int) { problem.call(); }, once);
  EXPECT_GT(timing.seconds, 0);
  const Tensor memory = Tensor::from_host(*backend_, {1000}, std::vector<float>(1000, 1.0f));
  EXPECT_GE(cold_seconds(
                problem.queue(), problem.prepare_flush(memory), [&] { problem.call(); }, once),
            0);
  problem.queue().wait();
  EXPECT_EQ(memory.to_host<float>(), std::vector<float>(1000)) << "the flush writes all of it";
  EXPECT_EQ(error_of([&] { problem.verify(); }), "");
}

INSTANTIATE_TEST_SUITE_P(Arenas, AtomicReferenceTest, ::testing::Values("equal", "resnet8"),
                         [](const auto& suite) { return std::string(suite.param); });

/// Computes another reduction than requested.
class WrongReference final : public ArenaReference {
 public:
  bool has(ArenaReduction) const override { return true; }
  std::function<void()> prepare(ArenaReduction, const ArenaWork& work) override {
    if (!work.result.defined()) return [] {};
    const std::size_t bytes = work.result.bytes();
    return [result = work.result, bytes] { result.copy_bytes_from_host(std::vector<std::byte>(bytes)); };
  }
  std::function<void()> prepare_flush(const Tensor&) override {
    return [] {};
  }
  WorkQueue queue() override {
    return {nullptr, [] {}};
  }
};

TEST(OptimizerProblem, SeesAReferenceThatIsWrong) {
  const std::unique_ptr<Backend> backend = make_backend({});
  WrongReference wrong;
  const std::pair<Variant, const char*> cases[] = {{Variant::kByNeuronAtomic, "weights"},
                                                   {Variant::kMeasuresAtomic, "sums of layers"},
                                                   {Variant::kCubMeasures, "sums of layers"},
                                                   {Variant::kCubAbsolute, "sums of |g|"},
                                                   {Variant::kCubWhole, "sums of |g|"}};
  for (const auto& [variant, what] : cases) {
    const OptimizerProblem problem(*backend, network_layers("resnet8"), {variant}, &wrong);
    EXPECT_THAT(error_of([&] { problem.verify(); }), HasSubstr(what));
  }
}

TEST(OptimizerProblem, TheEngineAgreesWithFloat64OnANetworksLayers) {
  for (const DeviceKind device : {DeviceKind::kCpu, DeviceKind::kEmulated}) {
    const std::unique_ptr<Backend> backend = make_backend({device});
    for (const Variant variant :
         {Variant::kSgd, Variant::kAdamW, Variant::kAdamWByWeight, Variant::kByWeight, Variant::kByNeuron,
          Variant::kStatisticsAlone, Variant::kSeparate, Variant::kMeasures}) {
      const OptimizerProblem problem(*backend, network_layers("resnet8"), {variant}, nullptr);
      EXPECT_EQ(error_of([&] { problem.verify(); }), "");
    }
  }
}

}  // namespace
}  // namespace gradamp::bench

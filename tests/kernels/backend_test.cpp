// SPDX-License-Identifier: MIT
// A Backend's promises besides the differentiable operations: memory, counters and the small functions.
#include <cmath>
#include <cstring>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/reference.h"

namespace gradamp::test {
namespace {

class BackendTest : public DeviceTest {};

TEST_P(BackendTest, SaysWhatItIs) {
  EXPECT_EQ(backend().device(), GetParam().device);
  EXPECT_FALSE(backend().description().empty());
  EXPECT_EQ(backend().description().find('\n'), std::string::npos);
}

TEST_P(BackendTest, MemoryIsAlignedAndApart) {
  std::vector<std::shared_ptr<void>> blocks;
  for (const std::size_t bytes : {1, 3, 64, 65, 1000, 4096, 100'001, 3'000'000}) {
    blocks.push_back(backend().allocate(bytes));
    ASSERT_NE(blocks.back(), nullptr);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().get()) % 64, 0u) << bytes;
    std::vector<std::uint8_t> pattern(bytes, static_cast<std::uint8_t>(blocks.size()));
    backend().copy_to_device(blocks.back().get(), pattern.data(), bytes);
  }
  std::uint8_t mark = 0;
  for (const std::size_t bytes : {1, 3, 64, 65, 1000, 4096, 100'001, 3'000'000}) {
    std::vector<std::uint8_t> read(bytes);
    backend().copy_to_host(read.data(), blocks[mark++].get(), bytes);
    EXPECT_EQ(read, std::vector<std::uint8_t>(bytes, mark)) << "another block wrote here";
  }
}

TEST_P(BackendTest, FillZeroClearsItsBytesOnly) {
  const Tensor tensor = Tensor::from_host(backend(), {8}, std::vector<std::int32_t>(8, -1));
  tensor.view({3}, 2).fill_zero();
  EXPECT_EQ(tensor.to_host<std::int32_t>(), (std::vector<std::int32_t>{-1, -1, 0, 0, 0, -1, -1, -1}));
}

TEST_P(BackendTest, MemoryOutlivesItsUseAndIsUsedAgain) {
  Tensor kept;
  for (int i = 0; i < 100; ++i) {
    const Tensor tensor = tensor_of(backend(), {1000}, std::vector<float>(1000, static_cast<float>(i)));
    if (i == 50) kept = tensor;
  }
  EXPECT_EQ(kept.to_host<float>(), std::vector<float>(1000, 50.0f));
}

TEST_P(BackendTest, FillWritesEveryElementOfAView) {
  const Tensor tensor = tensor_of(backend(), {700}, std::vector<float>(700, -1.0f));
  backend().fill(tensor.view({601}, 64), 2.5f);
  std::vector<float> expected(700, -1.0f);
  std::fill_n(expected.begin() + 64, 601, 2.5f);
  EXPECT_EQ(tensor.to_host<float>(), expected);
}

TEST_P(BackendTest, AReadIsOfTheMomentItBegan) {
  const Tensor tensor = tensor_of(backend(), {1000}, std::vector<float>(1000, 1.0f));
  const std::unique_ptr<PendingRead> first = backend().start_read(tensor);
  backend().fill(tensor, 2.0f);
  const std::unique_ptr<PendingRead> second = backend().start_read(tensor);
  backend().fill(tensor, 3.0f);
  const auto values = [](PendingRead& read) {
    const std::span<const std::byte> bytes = read.bytes();
    std::vector<float> floats(bytes.size() / sizeof(float));
    std::memcpy(floats.data(), bytes.data(), bytes.size());
    return floats;
  };
  EXPECT_EQ(values(*first), std::vector<float>(1000, 1.0f));
  EXPECT_TRUE(first->ready());
  EXPECT_EQ(values(*second), std::vector<float>(1000, 2.0f));
}

TEST_P(BackendTest, ARecordingIsReplayed) {
  const Tensor one = tensor_of(backend(), {300}, std::vector<float>(300, 1.0f));
  const Tensor sum = Tensor::zeros(backend(), {300});
  const std::unique_ptr<Recording> step = backend().record([&] {
    const Tensor twice = Tensor::empty(backend(), {300});
    backend().add(one, one, twice);
    backend().add(sum, twice, sum);
  });
  EXPECT_EQ(sum.to_host<float>()[299], 0.0f) << "nothing is done before it is asked for";
  for (int i = 1; i <= 4; ++i) {
    step->replay();
    EXPECT_EQ(sum.to_host<float>(), std::vector<float>(300, 2.0f * static_cast<float>(i)));
  }
}

// Memory that each replay of a recording overwrites must not serve other allocations.
TEST_P(BackendTest, ARecordingKeepsItsMemory) {
  const Tensor seven = tensor_of(backend(), {5000}, std::vector<float>(5000, 7.0f));
  const std::unique_ptr<Recording> step = backend().record([&] {
    const Tensor temporary = Tensor::empty(backend(), {5000});
    backend().add(seven, seven, temporary);
  });
  step->replay();
  step->replay();
  std::vector<Tensor> others;
  for (int i = 0; i < 8; ++i) {
    others.push_back(Tensor::empty(backend(), {5000}));
    backend().fill(others.back(), static_cast<float>(i));
  }
  step->replay();
  for (int i = 0; i < 8; ++i) {
    const std::vector<float> expected(5000, static_cast<float>(i));
    EXPECT_EQ(others[static_cast<std::size_t>(i)].to_host<float>(), expected);
  }
}

TEST_P(BackendTest, TwoRecordingsTakeTurns) {
  const Tensor sum = Tensor::zeros(backend(), {64});
  const auto adding = [&](float value, std::int64_t padding) {
    return backend().record([this, sum, value, padding] {
      const Tensor term = Tensor::empty(backend(), {64 + padding});
      backend().fill(term, value);
      backend().add(sum, term.view({64}), sum);
    });
  };
  const std::unique_ptr<Recording> one = adding(1.0f, 0), ten = adding(10.0f, 5000);
  for (int i = 0; i < 3; ++i) {
    one->replay();
    ten->replay();
  }
  EXPECT_EQ(sum.to_host<float>(), std::vector<float>(64, 33.0f));
}

TEST_P(BackendTest, ARecordingThatFailsLeavesTheDeviceUsable) {
  if (backend().device().kind == DeviceKind::kCpu) {
    EXPECT_EQ(error_of([&] { backend().record([] { fail("as it should"); })->replay(); }), "as it should");
    return;
  }
  const Tensor tensor = Tensor::zeros(backend(), {8});
  const std::unique_ptr<Recording> copying =
      backend().record([&] { tensor.copy_from_host(std::span<const float>(std::vector<float>(8, 1.0f))); });
  copying->replay();  // the first replay runs the work directly
  EXPECT_NE(error_of([&] { copying->replay(); }).find("a recording may not copy from the host"), std::string::npos);
  backend().fill(tensor, 4.0f);
  EXPECT_EQ(tensor.to_host<float>(), std::vector<float>(8, 4.0f));
}

TEST_P(BackendTest, SaysWhatMemoryItHolds) {
  const MemoryUse before = backend().memory_use();
  const auto block = backend().allocate(1'000'000);
  const MemoryUse with = backend().memory_use();
  EXPECT_GE(with.in_use, before.in_use + 1'000'000);
  EXPECT_GE(with.held, with.in_use);
  backend().release_unused_memory();
  EXPECT_EQ(backend().memory_use().held, backend().memory_use().in_use);
}

TEST_P(BackendTest, AddMayWriteOverItsFirstOperand) {
  for (const std::int64_t count : {1, 130, 50'001}) {
    const std::vector<float> left = normal_values(count, 1), right = normal_values(count, 2);
    const Tensor a = tensor_of(backend(), {count}, left);
    backend().add(a, tensor_of(backend(), {count}, right), a);
    std::vector<float> sum;
    for (std::size_t i = 0; i < left.size(); ++i) sum.push_back(left[i] + right[i]);
    EXPECT_EQ(a.to_host<float>(), sum);
  }
}

TEST_P(BackendTest, ScaleMultipliesByOneOfItsFactors) {
  const std::vector<float> values = normal_values(50'001, 1);
  const Tensor x = tensor_of(backend(), {50'001}, values);
  const Tensor factors = tensor_of(backend(), {3}, {0.5f, -3.0f, 7.0f});
  const Tensor y = Tensor::empty(backend(), {50'001});
  for (std::int64_t index = 0; index < 3; ++index) {
    backend().scale(x, factors, index, y);
    const float factor = factors.to_host<float>()[static_cast<std::size_t>(index)];
    std::vector<float> expected;
    for (const float value : values) expected.push_back(factor * value);
    EXPECT_EQ(y.to_host<float>(), expected);
  }
}

// Views begin anywhere, so 16-byte accesses are not always possible.
TEST_P(BackendTest, CopyChannelsWritesItsRangeOnly) {
  constexpr std::int64_t kRows = 5, kChannels = 8, kTargetChannels = 24;
  const std::vector<float> values = normal_values(kRows * kChannels + 1, 1);
  for (const std::int64_t offset : {0, 1}) {
    for (const std::int64_t channel : {0, 8, 13}) {
      const Tensor from = tensor_of(backend(), {kRows * kChannels + 1}, values);
      const Tensor to = Tensor::empty(backend(), {kRows * kTargetChannels + 1});
      backend().fill(to, -7.0f);
      std::vector<float> expected = to.to_host<float>();
      for (std::int64_t i = 0; i < kRows * kChannels; ++i) {
        const std::int64_t row = i / kChannels, target = row * kTargetChannels + channel + i % kChannels;
        expected[static_cast<std::size_t>(offset + target)] = values[static_cast<std::size_t>(offset + i)];
      }
      backend().copy_channels(from.view({kRows, kChannels}, offset), 0, to.view({kRows, kTargetChannels}, offset),
                              channel, kChannels);
      EXPECT_EQ(to.to_host<float>(), expected) << "views from element " << offset << ", channel " << channel;
    }
  }
}

TEST_P(BackendTest, BiasBackwardSumsOverAllButTheLastDimension) {
  for (const Shape& shape : {Shape{3, 10}, Shape{3, 5, 7, 20}, Shape{1, 64}, Shape{130, 1}, Shape{3, 65, 63, 8}}) {
    const std::int64_t channels = shape[shape.rank() - 1];
    std::vector<float> values = normal_values(shape.count(), 1);
    for (float& value : values) value += 1;  // so that the sum does not cancel
    std::vector<double> expected(static_cast<std::size_t>(channels));
    for (std::size_t i = 0; i < values.size(); ++i) {
      expected[i % static_cast<std::size_t>(channels)] += static_cast<double>(values[i]);
    }
    const Tensor grad_bias = Tensor::empty(backend(), {channels});
    backend().bias_backward(tensor_of(backend(), shape, values), grad_bias);
    EXPECT_TRUE(agrees(grad_bias.to_host<float>(), expected, 1e-6)) << shape.to_string();
  }
}

TEST_P(BackendTest, AdvanceStepMovesStepAndPosition) {
  const StepState state = make_step_state(backend(), {.seed = 5, .epoch = 2, .step = 10, .position = 384});
  backend().advance_step(state, 128);
  backend().advance_step(state, 16);
  const std::vector<std::int64_t> counters = state.counters.to_host<std::int64_t>();
  EXPECT_EQ(counters[kSeed], 5);
  EXPECT_EQ(counters[kEpoch], 2);
  EXPECT_EQ(counters[kStep], 12);
  EXPECT_EQ(counters[kPosition], 528);
  EXPECT_EQ(counters[kFirstBadStep], 0);
}

TEST_P(BackendTest, MaxPoolNamesThePlaceOfTheFirstMaximum) {
  const Shape shape = {3, 5, 7, 8};
  const Pool2dParams params{3, 2, 1};
  std::vector<float> values = normal_values(shape.count(), 1);
  for (float& value : values) value = std::floor(value);  // many ties
  const Tensor y = Tensor::empty(backend(), {3, 3, 4, 8});
  const Tensor argmax = Tensor::empty(backend(), {3, 3, 4, 8}, DType::kI32);
  backend().max_pool2d_forward(tensor_of(backend(), shape, values), params, y, argmax);
  EXPECT_EQ(argmax.to_host<std::int32_t>(), reference::max_pool2d_argmax({shape, to_double(values)}, params));
}

// A loss that is not finite stops a run, so no operation may hide a NaN.
TEST_P(BackendTest, ANaNComesThrough) {
  std::vector<float> values = normal_values(3 * 4 * 4 * 8, 1);
  values[17] = NAN;
  const Variable x(tensor_of(backend(), {3, 4, 4, 8}, values));
  const auto has_nan = [](const Variable& y) {
    for (const float value : y.value().to_host<float>()) {
      if (std::isnan(value)) return true;
    }
    return false;
  };
  const Variable weight(normal_tensor(backend(), {8, 3, 3, 8}, 2));
  const auto ones = [&] { return tensor_of(backend(), {8}, std::vector<float>(8, 1.0f)); };
  const BatchNormState state{Variable(ones()), Variable(ones()), Tensor::zeros(backend(), {8}), ones()};
  BatchNormParams with_relu;
  with_relu.relu = true;
  EXPECT_TRUE(has_nan(conv2d(x, weight, {}, {1, 1})));
  EXPECT_TRUE(has_nan(relu(x)));
  EXPECT_TRUE(has_nan(add(x, x)));
  EXPECT_TRUE(has_nan(max_pool2d(x, {2, 2, 0})));
  EXPECT_TRUE(has_nan(avg_pool2d(x, {2, 2, 0})));
  EXPECT_TRUE(has_nan(global_avg_pool(x)));
  EXPECT_TRUE(has_nan(batch_norm(x, state, with_relu, false)));
  EXPECT_TRUE(has_nan(batch_norm(x, state, with_relu, false, x)));
  EXPECT_TRUE(has_nan(batch_norm(x, state, with_relu, true)));
  EXPECT_TRUE(has_nan(batch_norm(x, state, with_relu, true, x)));
}

INSTANTIATE_TEST_SUITE_P(Devices, BackendTest, ::testing::ValuesIn(devices()), device_name);

TEST(MakeBackendTest, DefaultsToTheProcessor) { EXPECT_EQ(make_backend(Device{})->device(), Device{}); }

TEST(MakeBackendTest, TheProcessorHasNoTF32) {
  BackendOptions options;
  options.precision = Precision::kTF32;
  EXPECT_EQ(error_of([&] { make_backend(Device{}, options); }),
            "the device cpu has the precisions f32 and bf16, got tf32");
}

TEST(MakeBackendTest, EveryDeviceHasItsOwnConvolutions) {
  const auto error_with = [](DeviceKind kind, ConvolutionMethod method) {
    return error_of([&] { make_backend(Device{kind}, {.convolution = method}); });
  };
  EXPECT_EQ(error_with(DeviceKind::kCpu, ConvolutionMethod::kMma),
            "the device cpu has the convolutions auto, direct, winograd; got mma");
  EXPECT_EQ(error_with(DeviceKind::kEmulated, ConvolutionMethod::kWinograd),
            "the device emulated has the convolutions auto, naive, mma, hopper; got winograd");
  EXPECT_EQ(error_with(DeviceKind::kCuda, ConvolutionMethod::kDirect),
            "the device cuda has the convolutions auto, naive, mma, hopper; got direct");
}

TEST(MakeBackendTest, KnowsEveryDevice) {
  const std::vector<DeviceStatus> statuses = device_statuses();
  ASSERT_EQ(statuses.size(), 3u);
  EXPECT_EQ(statuses[0].device.kind, DeviceKind::kCpu);
  EXPECT_TRUE(statuses[0].available);
  EXPECT_EQ(statuses[1].device.kind, DeviceKind::kCuda);
  EXPECT_EQ(statuses[1].description.rfind("cuda: ", 0), 0u) << statuses[1].description;
  EXPECT_EQ(statuses[2].device.kind, DeviceKind::kEmulated);
  EXPECT_TRUE(statuses[2].available);
  if (!statuses[1].available) {
    EXPECT_NE(error_of([] { make_backend(Device{DeviceKind::kCuda}); }), "");
  }
}

}  // namespace
}  // namespace gradamp::test

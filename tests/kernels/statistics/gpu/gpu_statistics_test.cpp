// SPDX-License-Identifier: MIT
// gradamp::statistics on a GPU, against the CPU: the sums to the bit, what is made of them but for the order of sums.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/statistics/gradamp_statistics.h"

namespace gradamp {
namespace {

using namespace GRADAMP_GPU;
using testing::HasSubstr;

struct Destroy {
  void operator()(gradamp_statistics* statistics) const { gradamp_statistics_destroy(statistics); }
};
using Statistics = std::unique_ptr<gradamp_statistics, Destroy>;

/// The first layer has more elements than a task and no multiple of four; its tensors are apart. The second is short
/// rows, the third a vector, the fourth rows that a whole task adds.
const std::vector<gradamp_tensor> kTensors = {{40 * 901, 40, 0, 0}, {7 * 30, 7, 1, 0}, {40, 40, 0, 0},
                                              {7, 7, 1, 0},         {33, 33, 2, 0},    {2 * 20001, 2, 3, 0}};
constexpr int kLayers = 4;

Statistics make(std::int32_t device, std::int32_t by_neuron) {
  const gradamp_statistics_options options = {by_neuron, 2, device, 0};
  gradamp_statistics* made = nullptr;
  EXPECT_EQ(gradamp_statistics_create(kTensors.data(), static_cast<int>(kTensors.size()), &options, &made), GRADAMP_OK)
      << gradamp_statistics_last_error();
  return Statistics(made);
}

/// A copy in the device's memory, which begins `shift` bytes behind an aligned address.
class OnDevice {
 public:
  OnDevice(std::span<const char> bytes, std::size_t shift) : bytes_(bytes.size()), shift_(shift) {
    void* memory = nullptr;
    check_cuda(cudaMalloc(&memory, bytes.size() + shift), "cudaMalloc");
    memory_ = static_cast<char*>(memory);
    check_cuda(cudaMemcpy(data(), bytes.data(), bytes.size(), cudaMemcpyHostToDevice), "cudaMemcpy");
  }
  OnDevice(OnDevice&& other) noexcept
      : bytes_(other.bytes_), shift_(other.shift_), memory_(std::exchange(other.memory_, nullptr)) {}
  ~OnDevice() { cudaFree(memory_); }
  void* data() const { return memory_ + shift_; }
  std::vector<char> to_host() const {
    std::vector<char> bytes(bytes_);
    check_cuda(cudaMemcpy(bytes.data(), data(), bytes_, cudaMemcpyDeviceToHost), "cudaMemcpy");
    return bytes;
  }

 private:
  std::size_t bytes_, shift_;
  char* memory_ = nullptr;
};

/// Gradients of kTensors of one iteration, as bytes of their types; some are 0, and with `bad` some are not finite.
struct Gradients {
  std::vector<std::vector<char>> host;
  std::vector<OnDevice> device;
  std::vector<std::int32_t> types;
  std::vector<const void*> host_addresses, device_addresses;
};

template <typename T>
std::vector<char> bytes_of(const std::vector<T>& values) {
  std::vector<char> bytes(values.size() * sizeof(T));
  std::memcpy(bytes.data(), values.data(), bytes.size());
  return bytes;
}

/// `all_f32`: else of three types in turn. `aligned`: else no address is a multiple of more than the element's size.
Gradients draw(int iteration, bool all_f32 = true, bool aligned = true, bool bad = false) {
  PhiloxSequence random(11, RandomStream::kTest, static_cast<std::uint32_t>(iteration));
  Gradients drawn;
  for (std::size_t t = 0; t < kTensors.size(); ++t) {
    const auto type = static_cast<std::int32_t>(all_f32 ? 0 : t % 3);
    std::vector<float> f32;
    std::vector<std::uint16_t> bits;
    for (std::int64_t i = 0; i < kTensors[t].count; ++i) {
      float value = static_cast<float>(random.below(2001)) / 1000.0f - (t % 2 == 1 ? 0.5f : 1.0f);
      if (i % 10 == 3) value = 0;
      if (bad && i % 97 == 5) value = i % 2 == 0 ? NAN : -INFINITY;
      f32.push_back(value);
      bits.push_back(type == GRADAMP_BF16 ? to_bf16(value) : to_f16(value));
    }
    drawn.types.push_back(type);
    drawn.host.push_back(type == GRADAMP_F32 ? bytes_of(f32) : bytes_of(bits));
  }
  for (std::size_t t = 0; t < kTensors.size(); ++t) {
    const std::size_t element = drawn.types[t] == GRADAMP_F32 ? 4 : 2;
    drawn.device.emplace_back(drawn.host[t], aligned ? 0 : element);
    drawn.host_addresses.push_back(drawn.host[t].data());
    drawn.device_addresses.push_back(drawn.device[t].data());
  }
  return drawn;
}

void accumulate(const Statistics& statistics, const std::vector<const void*>& addresses,
                const std::vector<std::int32_t>& types) {
  ASSERT_EQ(gradamp_statistics_accumulate(statistics.get(), addresses.data(), types.data()), GRADAMP_OK)
      << gradamp_statistics_last_error();
}

std::vector<gradamp_layer_measures> measure(const Statistics& statistics) {
  std::vector<gradamp_layer_measures> layers(kLayers);
  EXPECT_EQ(gradamp_statistics_measure(statistics.get(), layers.data()), GRADAMP_OK) << gradamp_statistics_last_error();
  return layers;
}

std::vector<char> state_of(const Statistics& statistics) {
  std::vector<char> state(gradamp_statistics_state_size(statistics.get()));
  EXPECT_EQ(gradamp_statistics_save(statistics.get(), state.data(), state.size()), GRADAMP_OK);
  return state;
}

/// The sums per weight or neuron, which are the end of a state.
std::vector<float> sums_of(const Statistics& statistics, std::size_t count) {
  const std::vector<char> state = state_of(statistics);
  std::vector<float> sums(2 * count);
  std::memcpy(sums.data(), state.data() + state.size() - sums.size() * sizeof(float), sums.size() * sizeof(float));
  return sums;
}

void expect_equal_measures(const Statistics& gpu, const Statistics& cpu) {
  const auto got = measure(gpu), want = measure(cpu);
  for (int l = 0; l < kLayers; ++l) {
    SCOPED_TRACE(l);
    const auto& g = got[static_cast<std::size_t>(l)];
    const auto& w = want[static_cast<std::size_t>(l)];
    EXPECT_NEAR(g.g, w.g, 1e-12);
    EXPECT_NEAR(g.g_prime, w.g_prime, 1e-12);
    EXPECT_NEAR(g.normalized_g, w.normalized_g, 1e-9);
    EXPECT_NEAR(g.normalized_g_prime, w.normalized_g_prime, 1e-9);
    EXPECT_NEAR(g.l1, w.l1, 1e-12 * w.l1);
    EXPECT_NEAR(g.l2, w.l2, 1e-12 * w.l2);
    EXPECT_EQ(g.maximum, w.maximum);
    EXPECT_NEAR(g.mean, w.mean, 1e-14);
    EXPECT_EQ(g.zeros, w.zeros);
    EXPECT_EQ(g.sign_agreement, w.sign_agreement);
    EXPECT_EQ(g.count, w.count);
    EXPECT_EQ(g.not_finite, w.not_finite);
  }
}

class GpuStatistics : public testing::TestWithParam<int> {
 protected:
  Statistics cpu_ = make(GRADAMP_CPU, GetParam()), gpu_ = make(GRADAMP_CUDA, GetParam());
};

TEST_P(GpuStatistics, AreTheCpus) {
  for (int iteration = 0; iteration < 4; ++iteration) {
    // Values that are not finite, every type, addresses that are aligned to nothing.
    const Gradients drawn = draw(iteration, iteration == 0, iteration < 2, iteration == 3);
    accumulate(cpu_, drawn.host_addresses, drawn.types);
    accumulate(gpu_, drawn.device_addresses, drawn.types);
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");  // before the gradients are gone
  }
  EXPECT_EQ(gradamp_statistics_iterations(gpu_.get()), 4);
  expect_equal_measures(gpu_, cpu_);
  EXPECT_GT(measure(gpu_)[0].not_finite, 0);
  const std::size_t count = GetParam() == 0 ? 40 * 901 : 40;
  EXPECT_EQ(sums_of(gpu_, count), sums_of(cpu_, count));
}

TEST_P(GpuStatistics, AStateFitsEveryDeviceAndGoesOnToTheSameBits) {
  const Gradients first = draw(0), second = draw(1);
  accumulate(gpu_, first.device_addresses, first.types);
  const std::vector<char> state = state_of(gpu_);
  Statistics restored = make(GRADAMP_CUDA, GetParam());
  for (Statistics* statistics : {&restored, &cpu_})
    ASSERT_EQ(gradamp_statistics_restore(statistics->get(), state.data(), state.size()), GRADAMP_OK);
  EXPECT_TRUE(state_of(cpu_) == state);
  for (Statistics* statistics : {&gpu_, &restored}) accumulate(*statistics, second.device_addresses, second.types);
  EXPECT_TRUE(state_of(restored) == state_of(gpu_));
  accumulate(cpu_, second.host_addresses, second.types);
  expect_equal_measures(gpu_, cpu_);

  ASSERT_EQ(gradamp_statistics_reset(gpu_.get()), GRADAMP_OK);
  EXPECT_TRUE(state_of(gpu_) == state_of(make(GRADAMP_CPU, GetParam())));
}

TEST_P(GpuStatistics, ATensorWithoutAGradientHasZerosAndAddressesMayChange) {
  Gradients drawn = draw(0);
  for (const std::size_t missing : {std::size_t{0}, std::size_t{3}}) {
    auto host = drawn.host_addresses, device = drawn.device_addresses;
    host[missing] = device[missing] = nullptr;
    accumulate(cpu_, host, drawn.types);
    accumulate(gpu_, device, drawn.types);
  }
  expect_equal_measures(gpu_, cpu_);
}

TEST_P(GpuStatistics, GoToTheGivenStream) {
  cudaStream_t stream = nullptr;
  check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
  ASSERT_EQ(gradamp_statistics_set_stream(gpu_.get(), stream), GRADAMP_OK);
  const Gradients drawn = draw(0);
  accumulate(gpu_, drawn.device_addresses, drawn.types);
  accumulate(cpu_, drawn.host_addresses, drawn.types);
  expect_equal_measures(gpu_, cpu_);
  ASSERT_EQ(gradamp_statistics_set_stream(gpu_.get(), nullptr), GRADAMP_OK);
  check_cuda(cudaStreamDestroy(stream), "cudaStreamDestroy");
  EXPECT_EQ(gradamp_statistics_set_stream(cpu_.get(), nullptr), GRADAMP_OK);
  EXPECT_EQ(gradamp_statistics_set_stream(cpu_.get(), this), GRADAMP_INVALID_ARGUMENT);
  EXPECT_THAT(gradamp_statistics_last_error(), HasSubstr("stream: expected NULL"));
}

TEST_P(GpuStatistics, ScaleMultipliesAsTheCpuDoes) {
  Gradients drawn = draw(0, false);
  const std::vector<float> factors = {2, 1, 0.3f, -7};
  std::vector<void*> host, device;
  for (std::size_t t = 0; t < kTensors.size(); ++t) {
    host.push_back(drawn.host[t].data());
    device.push_back(drawn.device[t].data());
  }
  host[2] = device[2] = nullptr;
  ASSERT_EQ(gradamp_statistics_scale(cpu_.get(), host.data(), drawn.types.data(), factors.data()), GRADAMP_OK);
  ASSERT_EQ(gradamp_statistics_scale(gpu_.get(), device.data(), drawn.types.data(), factors.data()), GRADAMP_OK);
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  for (std::size_t t = 0; t < kTensors.size(); ++t) EXPECT_TRUE(drawn.device[t].to_host() == drawn.host[t]) << t;
}

INSTANTIATE_TEST_SUITE_P(By, GpuStatistics, testing::Values(0, 1),
                         [](const auto& by) { return by.param == 0 ? "weight" : "neuron"; });

TEST(GpuStatisticsLibrary, SaysThatItHasCuda) { EXPECT_EQ(gradamp_statistics_has_cuda(), 1); }

TEST(GpuStatisticsLibrary, RefusesADeviceThatIsNotThere) {
  const gradamp_statistics_options options = {0, 0, GRADAMP_CUDA, 77};
  gradamp_statistics* none = nullptr;
  EXPECT_EQ(gradamp_statistics_create(kTensors.data(), static_cast<int>(kTensors.size()), &options, &none),
            GRADAMP_FAILED);
  EXPECT_THAT(gradamp_statistics_last_error(), HasSubstr("cudaErrorInvalidDevice"));
  int current = -1;
  check_cuda(cudaGetDevice(&current), "cudaGetDevice");
  EXPECT_EQ(current, 0);
}

}  // namespace
}  // namespace gradamp

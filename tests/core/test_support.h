// SPDX-License-Identifier: MIT
// Shared by the tests of core, kernels and layers: the devices under test, reproducible numbers, and a comparison that
// fails for a NaN.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <memory>
#include <ostream>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/core/autograd.h"
#include "gradamp/core/backend.h"
#include "gradamp/core/bf16.h"
#include "gradamp/core/philox.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp::test {

/// A backend on which every operation is tested.
struct TestDevice {
  std::string name;
  Device device;
  BackendOptions options;

  std::unique_ptr<Backend> make() const { return make_backend(device, options); }
  friend void PrintTo(const TestDevice& device, std::ostream* out) { *out << device.name; }
};

/// A new row here tests a new backend. The CPU has one and three threads: work is split differently, and three does not
/// divide the sizes in the tests. A GPU is included if there is one.
inline std::vector<TestDevice> devices() {
  std::vector<TestDevice> all = {{"cpu_1_thread", Device{DeviceKind::kCpu}, BackendOptions{1}},
                                 {"cpu_3_threads", Device{DeviceKind::kCpu}, BackendOptions{3}},
                                 {"emulated", Device{DeviceKind::kEmulated}, BackendOptions{}}};
  for (const DeviceStatus& status : device_statuses())
    if (status.device.kind == DeviceKind::kCuda && status.available) all.push_back({"cuda", status.device, {}});
  return all;
}

/// Standard normal values by the Box-Muller method; the same for the same `substream`.
inline std::vector<float> normal_values(std::int64_t count, std::uint32_t substream) {
  PhiloxSequence sequence(20240517, RandomStream::kTest, substream);
  std::vector<float> values(static_cast<std::size_t>(count));
  for (float& value : values) {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - static_cast<double>(sequence.uniform())));
    value = static_cast<float>(radius * std::cos(6.283185307179586 * static_cast<double>(sequence.uniform())));
  }
  return values;
}

inline void round_to_bf16(std::vector<float>& values) {
  for (float& value : values) value = from_bf16(to_bf16(value));
}

inline Tensor normal_tensor(Backend& backend, const Shape& shape, std::uint32_t substream) {
  return Tensor::from_host(backend, shape, normal_values(shape.count(), substream));
}

inline Tensor tensor_of(Backend& backend, const Shape& shape, const std::vector<float>& values) {
  return Tensor::from_host(backend, shape, values);
}

/// A trained variable whose gradient's memory contains NaN: the first gradient must write all of it.
inline Variable parameter_of(Backend& backend, const Shape& shape, const std::vector<float>& values) {
  const std::vector<float> stale(values.size(), std::nanf(""));
  return Variable::parameter(tensor_of(backend, shape, values), tensor_of(backend, shape, stale));
}

struct StepNumbers {
  std::int64_t seed = 1, epoch = 1, step = 0, position = 0;
};

inline StepState make_step_state(Backend& backend, const StepNumbers& numbers = {}) {
  StepState state;
  std::vector<std::int64_t> counters(kStepCounterCount, 0);
  counters[kSeed] = numbers.seed;
  counters[kEpoch] = numbers.epoch;
  counters[kStep] = numbers.step;
  counters[kPosition] = numbers.position;
  state.counters = Tensor::from_host(backend, {kStepCounterCount}, counters);
  state.metrics = Tensor::zeros(backend, {kStepMetricCount}, DType::kF64);
  state.learning_rate = tensor_of(backend, {1}, {0.1f});
  return state;
}

/// ||actual - expected|| <= tolerance ||expected||, and no element differs by more than 10 tolerances of the largest.
template <typename T>
::testing::AssertionResult agrees(const std::vector<T>& actual, const std::vector<double>& expected, double tolerance) {
  if (actual.size() != expected.size()) {
    return ::testing::AssertionFailure() << "expected " << expected.size() << " values, got " << actual.size();
  }
  double error = 0, norm = 0, worst = 0, largest = 0;
  std::size_t worst_at = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const double difference = std::abs(static_cast<double>(actual[i]) - expected[i]);
    error += difference * difference;
    norm += expected[i] * expected[i];
    largest = std::max(largest, std::abs(expected[i]));
    if (!(difference <= worst)) {  // once a NaN, `worst` stays a NaN
      worst = difference;
      worst_at = i;
      if (std::isnan(difference)) break;
    }
  }
  error = std::sqrt(error);
  norm = std::sqrt(norm);
  // With these comparisons a NaN on either side fails.
  if (error <= tolerance * norm && worst <= 10 * tolerance * largest) return ::testing::AssertionSuccess();
  return ::testing::AssertionFailure() << "relative error " << error / norm << " in norm (limit " << tolerance
                                       << "), largest error " << worst << " at " << worst_at << " of "
                                       << expected.size() << ": expected " << expected[worst_at] << ", got "
                                       << +actual[worst_at] << " (limit " << 10 * tolerance * largest << ")";
}

inline std::vector<double> to_double(const std::vector<float>& values) { return {values.begin(), values.end()}; }

/// The bits of f32 values: determinism means equal bits, and a NaN then equals itself.
inline std::vector<std::uint32_t> bits_of(const Tensor& tensor) {
  std::vector<std::uint32_t> bits(static_cast<std::size_t>(tensor.count()));
  tensor.copy_bytes_to_host(std::as_writable_bytes(std::span(bits)));
  return bits;
}

/// A test that runs on each of devices().
class DeviceTest : public ::testing::TestWithParam<TestDevice> {
 protected:
  Backend& backend() { return *backend_; }

 private:
  std::unique_ptr<Backend> backend_ = GetParam().make();
};

inline std::string device_name(const ::testing::TestParamInfo<TestDevice>& info) { return info.param.name; }

}  // namespace gradamp::test

// SPDX-License-Identifier: MIT
// The loops over the conformance table: every operation on every device, forward and backward, against the float64
// references; the references' backwards against finite differences; the implementations against their own differences.
#include <algorithm>
#include <set>
#include <tuple>
#include <utility>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"
#include "gradamp/tests/kernels/operation_cases.h"

namespace gradamp::test {
namespace {

using reference::Array;
using reference::Arrays;
using Values = std::vector<std::vector<float>>;

Arrays arrays_of(const OperationCase& operation_case, const Values& values) {
  Arrays arrays;
  for (std::size_t i = 0; i < values.size(); ++i) {
    arrays.emplace_back(operation_case.inputs[i].shape, to_double(values[i]));
  }
  return arrays;
}

/// The gradient that arrives at the output.
std::vector<float> seed_values(const Shape& shape, bool rounded = false) {
  std::vector<float> values = normal_values(shape.count(), 999);
  if (rounded) round_to_bf16(values);
  return values;
}

double dot(const std::vector<float>& seed, const std::vector<double>& y) {
  double sum = 0;
  for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(seed[i]) * y[i];
  return sum;
}

/// `samples` indices below `count`, or all of them if there are not more.
std::vector<std::int64_t> places(std::int64_t count, std::int64_t samples) {
  std::vector<std::int64_t> result;
  PhiloxSequence sequence(3, RandomStream::kTest, 0);
  for (std::int64_t i = 0; i < std::min(count, samples); ++i) {
    result.push_back(count <= samples ? i : sequence.below(static_cast<std::uint32_t>(count)));
  }
  return result;
}

/// Central differences of seed * forward, in float64: exact to about 1e-8, since the step is 1e-6 of an input's size.
std::vector<double> differences(const OperationCase& operation_case, Arrays inputs, std::size_t input,
                                const std::vector<float>& seed, const std::vector<std::int64_t>& at) {
  std::vector<double> result;
  for (const std::int64_t i : at) {
    double& element = inputs[input].at(i);
    const double value = element;
    const double above = value + 1e-6 * std::max(1.0, std::abs(value));
    const double below = value - 1e-6 * std::max(1.0, std::abs(value));
    element = above;
    const double upper = dot(seed, operation_case.forward(inputs).values);
    element = below;
    const double lower = dot(seed, operation_case.forward(inputs).values);
    element = value;
    result.push_back((upper - lower) / (above - below));
  }
  return result;
}

/// The gradients of seed * output by the reference.
Arrays reference_gradients(const OperationCase& operation_case, const Arrays& inputs, const Array& y,
                           bool rounded = false) {
  const std::vector<float> seed = seed_values(y.shape, rounded);
  if (operation_case.backward) return operation_case.backward(inputs, Array(y.shape, to_double(seed)));
  Arrays grads;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const std::int64_t count = inputs[i].shape.count();
    grads.emplace_back(inputs[i].shape, differences(operation_case, inputs, i, seed, places(count, count)));
  }
  return grads;
}

/// In bf16 an activation is rounded to 8 bits when it is written: relative errors of up to 2^-9, 1.1e-3 in norm. The
/// error doubles if a kernel's result is a nearly canceling difference of its inputs. tf32 has 11 bits, and rounds
/// only the inputs of a convolution; this is exact for a single operation, since the inputs are rounded already.
double tolerance_of(const OperationCase& operation_case, Precision precision) {
  double rounding = 0;
  if (precision == Precision::kBF16) rounding = operation_case.is_chain ? 8e-3 : 4e-3;
  if (precision == Precision::kTF32) rounding = operation_case.is_chain ? 1e-3 : 0;
  return std::max(rounding, operation_case.tolerance);
}

/// Memory from a cache has arbitrary contents, here NaN. An operation must write all of its results.
void leave_stale_memory(Backend& backend, const std::vector<Shape>& shapes) {
  std::vector<Tensor> tensors;
  for (const Shape& shape : shapes) {
    for (int copy = 0; copy < 3; ++copy) {
      tensors.push_back(tensor_of(backend, shape, std::vector<float>(static_cast<std::size_t>(shape.count()), NAN)));
    }
  }
}

/// The bits of an operation's results.
struct Outcome {
  Shape shape;
  std::vector<std::uint32_t> y;
  std::vector<std::vector<std::uint32_t>> inputs, grads;

  friend bool operator==(const Outcome&, const Outcome&) = default;
};

std::vector<float> floats(const std::vector<std::uint32_t>& bits) {
  std::vector<float> values(bits.size());
  std::copy_n(reinterpret_cast<const std::byte*>(bits.data()), 4 * bits.size(),
              reinterpret_cast<std::byte*>(values.data()));
  return values;
}

constexpr std::size_t kEveryInput = ~std::size_t{0};

/// Computes forward and, unless the case has none, backward with respect to one input or all. Inputs, outputs and
/// gradients are f32; in between, activations have the backend's type.
Outcome compute(Backend& backend, const OperationCase& operation_case, const Values& values, const Shape& y_shape,
                bool rounded, std::size_t differentiated = kEveryInput) {
  std::vector<Variable> inputs;
  std::vector<Shape> shapes = {y_shape};
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Shape& shape = operation_case.inputs[i].shape;
    const bool trained = operation_case.has_backward && (differentiated == kEveryInput || differentiated == i);
    inputs.push_back(trained ? parameter_of(backend, shape, values[i])
                             : Variable(tensor_of(backend, shape, values[i])));
    shapes.push_back(shape);
  }
  leave_stale_memory(backend, shapes);
  std::vector<Variable> activations;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    const bool is_activation = operation_case.inputs[i].role == Role::kActivation;
    activations.push_back(is_activation ? cast(inputs[i], backend.activation_dtype()) : inputs[i]);
  }
  const Variable y = cast(operation_case.compute(activations), DType::kF32);
  Outcome run{y.shape(), bits_of(y.value()), {}, {}};
  if (operation_case.has_backward) {
    const std::vector<float> seeds = seed_values(y.shape(), rounded);
    const Tensor seed = tensor_of(backend, y.shape(), seeds);
    y.backward(seed);
    EXPECT_EQ(floats(bits_of(seed)), seeds) << "the backward changed the gradient it was given";
    EXPECT_EQ(bits_of(y.value()), run.y) << "the backward changed the output";
  }
  for (const Variable& input : inputs) {
    run.inputs.push_back(bits_of(input.value()));
    run.grads.push_back(input.requires_grad() ? bits_of(input.grad()) : std::vector<std::uint32_t>());
  }
  return run;
}

void check_case(Backend& backend, const OperationCase& operation_case, Precision precision) {
  const bool rounded = precision != Precision::kF32;
  const Values values = input_values(operation_case, rounded);
  const Arrays inputs = arrays_of(operation_case, values);
  const Array expected = operation_case.forward(inputs);
  const double tolerance = tolerance_of(operation_case, precision);

  const Outcome run = compute(backend, operation_case, values, expected.shape, rounded);
  ASSERT_EQ(run.shape, expected.shape);
  EXPECT_TRUE(agrees(floats(run.y), expected.values, tolerance)) << "forward";
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(floats(run.inputs[i]), values[i]) << "input " << i << " was changed";
  }
  EXPECT_TRUE(compute(backend, operation_case, values, expected.shape, rounded) == run) << "other bits the second time";
  if (!operation_case.has_backward) return;

  const Arrays grads = reference_gradients(operation_case, inputs, expected, rounded);
  for (std::size_t i = 0; i < values.size(); ++i) {
    EXPECT_TRUE(agrees(floats(run.grads[i]), grads[i].values, tolerance)) << "gradient of input " << i;
    const Outcome alone = compute(backend, operation_case, values, expected.shape, rounded, i);
    EXPECT_TRUE(agrees(floats(alone.grads[i]), grads[i].values, tolerance))
        << "gradient of input " << i << " where no other is wanted";
  }
}

/// Compares finite differences of seed * output, as the implementation computes it in f32, with its own gradients.
void check_differences(Backend& backend, const OperationCase& operation_case) {
  const Values values = input_values(operation_case);
  const Shape y_shape = operation_case.forward(arrays_of(operation_case, values)).shape;
  const std::vector<float> seed = seed_values(y_shape);
  const Outcome run = compute(backend, operation_case, values, y_shape, false);
  const auto output = [&](const Values& moved) {
    std::vector<Variable> inputs;
    for (std::size_t i = 0; i < moved.size(); ++i) {
      inputs.emplace_back(tensor_of(backend, operation_case.inputs[i].shape, moved[i]));
    }
    return dot(seed, to_double(operation_case.compute(inputs).value().to_host<float>()));
  };
  for (std::size_t input = 0; input < values.size(); ++input) {
    std::vector<double> expected;
    std::vector<float> actual;
    for (const std::int64_t i : places(static_cast<std::int64_t>(values[input].size()), 40)) {
      const auto place = static_cast<std::size_t>(i);
      Values above = values, below = values;
      above[input][place] += static_cast<float>(operation_case.step);
      below[input][place] -= static_cast<float>(operation_case.step);
      const double width = static_cast<double>(above[input][place]) - static_cast<double>(below[input][place]);
      expected.push_back((output(above) - output(below)) / width);
      actual.push_back(floats(run.grads[input])[place]);
    }
    // The rounding error of f32, about 1e-6 in the sum, divided by a step of 1e-2, plus the step's square: see kStep.
    EXPECT_TRUE(agrees(actual, expected, 2e-3)) << "gradient of input " << input;
  }
}

std::vector<std::string> operations() {
  std::vector<std::string> names;
  for (const OperationCase& operation_case : operation_cases()) {
    if (std::find(names.begin(), names.end(), operation_case.operation) == names.end()) {
      names.push_back(operation_case.operation);
    }
  }
  return names;
}

template <typename Check>
void for_each_case(const std::string& operation, Check check_one) {
  for (const OperationCase& operation_case : operation_cases()) {
    if (operation_case.operation != operation) continue;
    SCOPED_TRACE(operation + " " + operation_case.name);
    check_one(operation_case);
  }
}

class Conformance : public ::testing::TestWithParam<std::tuple<TestDevice, std::string>> {
 protected:
  TestDevice device_ = std::get<0>(GetParam());
  std::unique_ptr<Backend> backend_ = device_.make();
  std::string operation_ = std::get<1>(GetParam());
};

TEST_P(Conformance, AgreesWithTheReference) {
  for_each_case(operation_, [&](const OperationCase& operation_case) {
    check_case(*backend_, operation_case, device_.options.precision);
  });
}

// A loss that is not finite stops a run: no operation may hide a NaN on its way.
TEST_P(Conformance, ANaNOfTheFirstElementIsInTheOutput) {
  bool is_first = true;  // (in later cases of dropout the element can be a dropped one)
  for_each_case(operation_, [&](const OperationCase& operation_case) {
    if (!operation_case.passes_nan || !std::exchange(is_first, false)) return;
    Values values = input_values(operation_case);
    values[0][0] = NAN;
    const Shape y_shape = operation_case.forward(arrays_of(operation_case, values)).shape;
    const std::vector<float> y = floats(compute(*backend_, operation_case, values, y_shape, false).y);
    EXPECT_TRUE(std::any_of(y.begin(), y.end(), [](float value) { return std::isnan(value); }));
  });
  EXPECT_FALSE(is_first) << "no case passes a NaN";
}

class ThreadOrders : public Conformance {};

// A kernel with a missing synchronization gives other bits in another order.
TEST_P(ThreadOrders, GiveTheSameBits) {
  const bool rounded = device_.options.precision != Precision::kF32;
  for_each_case(operation_, [&](const OperationCase& operation_case) {
    const Values values = input_values(operation_case, rounded);
    const Shape y_shape = operation_case.forward(arrays_of(operation_case, values)).shape;
    const auto run_in = [&](ThreadOrder order, std::uint64_t seed) {
      BackendOptions options = device_.options;
      options.thread_order = order;
      options.shuffle_seed = seed;
      return compute(*make_backend(device_.device, options), operation_case, values, y_shape, rounded);
    };
    const Outcome forward = run_in(ThreadOrder::kForward, 1);
    EXPECT_TRUE(run_in(ThreadOrder::kReverse, 1) == forward) << "in reverse order";
    EXPECT_TRUE(run_in(ThreadOrder::kShuffled, 1) == forward) << "in shuffled order 1";
    EXPECT_TRUE(run_in(ThreadOrder::kShuffled, 2) == forward) << "in shuffled order 2";
  });
}

class Differences : public Conformance {};

TEST_P(Differences, AreTheGradients) {
  int derivatives = 0, checked = 0;
  for_each_case(operation_, [&](const OperationCase& operation_case) {
    derivatives += operation_case.is_derivative;
    if (operation_case.step == 0 || !operation_case.is_derivative) return;
    check_differences(*backend_, operation_case);
    ++checked;
  });
  EXPECT_TRUE(checked > 0 || derivatives == 0);
}

/// devices(), and the same devices with other precisions.
std::vector<TestDevice> devices_of_every_precision() {
  std::vector<TestDevice> all = devices();
  for (const TestDevice& device : devices()) {
    for (const Precision precision : {Precision::kTF32, Precision::kBF16}) {
      if (device.device.kind == DeviceKind::kCpu && precision == Precision::kTF32) continue;
      TestDevice other = device;
      other.name += std::string("_") + name_of(precision);
      other.options.precision = precision;
      all.push_back(other);
    }
  }
  return all;
}

std::vector<TestDevice> emulated_devices() {
  std::vector<TestDevice> all = devices_of_every_precision();
  std::erase_if(all, [](const TestDevice& device) { return device.device.kind != DeviceKind::kEmulated; });
  return all;
}

/// The devices with their methods of convolution other than kAuto and kMma, which the devices have above.
std::vector<TestDevice> convolution_methods(const std::vector<Precision>& precisions) {
  std::vector<TestDevice> all;
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kEmulated}) {
    for (const ConvolutionMethod method : kConvolutionMethods) {
      if (method == ConvolutionMethod::kAuto || method == ConvolutionMethod::kMma || !has_method(kind, method))
        continue;
      for (const Precision precision : precisions) {
        if (method == ConvolutionMethod::kHopper && precision != Precision::kBF16) continue;  // kMma
        const std::string suffix = precision == Precision::kF32 ? "" : std::string("_") + name_of(precision);
        all.push_back({std::string(name_of(kind)) + "_" + name_of(method) + suffix, Device{kind},
                       BackendOptions{.threads = 3, .precision = precision, .convolution = method}});
      }
    }
  }
  return all;
}

const auto kConvolutions = ::testing::Values(std::string("conv2d"), std::string("batch_norm"));

std::string conformance_name(const ::testing::TestParamInfo<std::tuple<TestDevice, std::string>>& suite) {
  return std::get<0>(suite.param).name + "_" + std::get<1>(suite.param);
}

INSTANTIATE_TEST_SUITE_P(Devices, Conformance,
                         ::testing::Combine(::testing::ValuesIn(devices_of_every_precision()),
                                            ::testing::ValuesIn(operations())),
                         conformance_name);
INSTANTIATE_TEST_SUITE_P(Devices, ThreadOrders,
                         ::testing::Combine(::testing::ValuesIn(emulated_devices()), ::testing::ValuesIn(operations())),
                         conformance_name);
// Only in f32: in other precisions a difference would consist of rounding errors.
INSTANTIATE_TEST_SUITE_P(Devices, Differences,
                         ::testing::Combine(::testing::ValuesIn(devices()), ::testing::ValuesIn(operations())),
                         conformance_name);

INSTANTIATE_TEST_SUITE_P(
    Methods, Conformance,
    ::testing::Combine(::testing::ValuesIn(convolution_methods({Precision::kF32, Precision::kBF16})), kConvolutions),
    conformance_name);
INSTANTIATE_TEST_SUITE_P(Methods, Differences,
                         ::testing::Combine(::testing::ValuesIn(convolution_methods({Precision::kF32})), kConvolutions),
                         conformance_name);

class Reference : public ::testing::TestWithParam<std::string> {};

TEST_P(Reference, BackwardIsTheFiniteDifferenceOfForward) {
  for_each_case(GetParam(), [](const OperationCase& operation_case) {
    if (!operation_case.has_backward || !operation_case.backward || !operation_case.is_derivative) return;
    const Arrays inputs = arrays_of(operation_case, input_values(operation_case));
    const Array y = operation_case.forward(inputs);
    const Arrays grads = reference_gradients(operation_case, inputs, y);
    for (std::size_t i = 0; i < inputs.size(); ++i) {
      const auto at = places(inputs[i].shape.count(), operation_case.samples);
      std::vector<double> sampled;
      for (const std::int64_t place : at) sampled.push_back(grads[i].at(place));
      const auto slopes = differences(operation_case, inputs, i, seed_values(y.shape), at);
      EXPECT_TRUE(agrees(sampled, slopes, 1e-6)) << "gradient of input " << i;
    }
  });
}

INSTANTIATE_TEST_SUITE_P(Operations, Reference, ::testing::ValuesIn(operations()),
                         [](const auto& suite) { return suite.param; });

}  // namespace
}  // namespace gradamp::test

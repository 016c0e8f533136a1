// SPDX-License-Identifier: MIT
// The C++ side of tests/oracle: reads the files of record.py, makes the same inputs, and estimates the difference
// between a tensor and a recorded sketch. The README in this folder has the formulas.
#pragma once

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gradamp/core/operations.h"
#include "gradamp/core/philox.h"
#include "gradamp/layers/state_dict.h"

namespace gradamp::oracle {

inline constexpr std::uint64_t kSeed = 2026;
inline constexpr std::uint32_t kParameterSubstream = 1000;
inline constexpr std::uint32_t kSignSubstream = 500000;
inline constexpr std::uint32_t kStatisticSignSubstream = 600000;

/// Reads "nets/recorded/resnet8_10.json" in the tests folder, or in the folder of the environment variable
/// GRADAMP_TEST_DATA: the programs can run on a machine without the sources.
inline nlohmann::json read(const std::string& name) {
  const char* const other = std::getenv("GRADAMP_TEST_DATA");
  const std::string path = std::string(other != nullptr ? other : GRADAMP_TEST_DATA) + "/" + name;
  std::ifstream file(path);
  check(file.good(), "{} is missing; tests/oracle/record.py makes it", path);
  return nlohmann::json::parse(file);
}

inline Shape shape_of(const nlohmann::json& extents) {
  Shape shape;
  for (const std::int64_t extent : extents) shape.push_back(extent);
  return shape;
}

/// Images (count, 32, 32, 3) and labels of a recorded batch.
inline Batch make_batch(Backend& backend, std::int64_t count, std::uint32_t image_substream,
                        std::uint32_t label_substream, int classes) {
  PhiloxSequence random(kSeed, RandomStream::kTest, image_substream);
  std::vector<float> planar(static_cast<std::size_t>(count * 3 * 32 * 32));
  for (float& value : planar) value = (random.uniform() - 0.5f) * 4.0f;
  const Shape shape = {count, 32, 32, 3};
  PhiloxSequence draws(kSeed, RandomStream::kTest, label_substream);
  std::vector<std::int32_t> labels(static_cast<std::size_t>(count));
  for (std::int32_t& label : labels)
    label = static_cast<std::int32_t>((std::uint64_t{draws.next() >> 8} * static_cast<std::uint64_t>(classes)) >> 24);
  return {Tensor::from_host(backend, shape, from_pytorch_layout(shape, planar)),
          Tensor::from_host(backend, {count}, labels)};
}

/// A parameter's recorded initial values, in PyTorch's layout.
inline std::vector<float> initial_values(const nlohmann::json& initial, std::uint32_t ordinal, const Shape& shape) {
  const auto scale = initial.at("scale").get<float>(), center = initial.at("center").get<float>();
  PhiloxSequence random(kSeed, RandomStream::kTest, kParameterSubstream + ordinal);
  std::vector<float> values(static_cast<std::size_t>(shape.count()));
  for (float& value : values) value = (2.0f * random.uniform() - 1.0f) * scale;
  const auto row = static_cast<std::size_t>(shape.count() / shape[0]);
  if (initial.at("paired").get<bool>()) {  // input channel 2j + 1 is the negative of channel 2j
    const auto plane = static_cast<std::size_t>(shape[2] * shape[3]);
    for (std::size_t k = 0; k < values.size(); k += row) {
      for (std::size_t odd = plane; odd < row; odd += 2 * plane) {
        for (std::size_t i = 0; i < plane; ++i) values[k + odd + i] = -values[k + odd - plane + i];
      }
    }
  }
  const bool negative = initial.at("negative").get<bool>();
  for (std::size_t i = 0; i < values.size(); ++i) values[i] += negative && i / row % 8 >= 6 ? -center : center;
  return values;
}

/// Initializes `network` with the recorded start. Its parameters must be the recorded ones, in the recorded order.
inline void set_initial(Module& network, const nlohmann::json& parameters) {
  const std::vector<NamedParameter> ours = network.named_parameters();
  check(ours.size() == parameters.size(), "expected {} parameters, got {}", parameters.size(), ours.size());
  for (std::size_t i = 0; i < ours.size(); ++i) {
    const nlohmann::json& recorded = parameters[i];
    const Tensor& value = ours[i].variable.value();
    check(ours[i].name == recorded.at("name").get<std::string>(), "expected parameter {}, got {}",
          recorded.at("name").get<std::string>(), ours[i].name);
    check(pytorch_shape(value.shape()) == shape_of(recorded.at("shape")), "{}: expected another shape than {}",
          ours[i].name, value.shape().to_string());
    const std::vector<float> initial =
        initial_values(recorded.at("initial"), static_cast<std::uint32_t>(i), shape_of(recorded.at("shape")));
    for (std::size_t j = 0; j < recorded.at("initial").at("first").size(); ++j) {
      const auto first = recorded.at("initial").at("first")[j].get<float>();
      check(first == initial[j], "{}: the initial values were not made as recorded: expected {}, got {}", ours[i].name,
            first, initial[j]);
    }
    value.copy_from_host(std::span<const float>(from_pytorch_layout(value.shape(), initial)));
  }
}

/// The difference between a tensor and a sketch of the true one.
struct Difference {
  double norm = 0;        // of the recorded tensor
  double estimate = 0;    // of the difference's norm: the root of the mean square of its random projections
  double norm_error = 0;  // | norm of ours - recorded norm |

  double relative() const { return std::max(estimate, norm_error) / norm; }
};

/// `values` in PyTorch's layout; `substream` is that of the sketch's signs.
inline Difference compare(const std::vector<float>& values, const nlohmann::json& sketch, std::uint32_t substream) {
  const auto projections = sketch.at("projections").get<std::vector<double>>();
  std::vector<double> sums(projections.size(), 0.0);
  PhiloxSequence signs(kSeed, RandomStream::kTest, substream);
  double square = 0;
  for (const float value : values) {
    const std::uint32_t word = signs.next();
    for (std::size_t k = 0; k < sums.size(); ++k) sums[k] += ((word >> k) & 1) != 0 ? value : -value;
    square += double{value} * value;
  }
  Difference difference;
  difference.norm = sketch.at("norm").get<double>();
  for (std::size_t k = 0; k < sums.size(); ++k)
    difference.estimate += (sums[k] - projections[k]) * (sums[k] - projections[k]);
  difference.estimate = std::sqrt(difference.estimate / static_cast<double>(sums.size()));
  difference.norm_error = std::abs(std::sqrt(square) - difference.norm);
  return difference;
}

inline std::vector<float> host_values(const Tensor& tensor) {
  return to_pytorch_layout(tensor.shape(), tensor.to_host<float>());
}

/// Norm of the difference divided by the norm of the expected values.
inline double relative_error(const std::vector<float>& found, const std::vector<double>& expected) {
  double difference = 0, norm = 0;
  check(found.size() == expected.size(), "expected {} values, got {}", expected.size(), found.size());
  for (std::size_t i = 0; i < found.size(); ++i) {
    difference += (found[i] - expected[i]) * (found[i] - expected[i]);
    norm += expected[i] * expected[i];
  }
  return std::sqrt(difference / norm);
}

/// A new run's state.
inline StepState make_state(Backend& backend) {
  return {Tensor::zeros(backend, {kStepCounterCount}, DType::kI64),
          Tensor::zeros(backend, {kStepMetricCount}, DType::kF64), Tensor::zeros(backend, {1})};
}

}  // namespace gradamp::oracle

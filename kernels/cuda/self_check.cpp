// SPDX-License-Identifier: MIT
// Runs the parts of the self-check, which are in the files self_check_*.cpp, and compares results.
#include <chrono>

#include "gradamp/core/bf16.h"
#include "gradamp/kernels/cuda/gpu_backends.h"
#include "gradamp/kernels/cuda/self_check_support.h"

namespace gradamp::GRADAMP_GPU {
namespace {

BackendOptions with_precision(BackendOptions options, Precision precision) {
  options.precision = precision;
  return options;
}

/// "y[n 0, p 1, q 2, k 3]"
std::string element_name(const ResultName& result, const Shape& shape, std::size_t index) {
  std::string text;
  auto rest = static_cast<std::int64_t>(index);
  int dimension = shape.rank();
  for (auto name = std::rbegin(result.dimensions); name != std::rend(result.dimensions); ++name) {
    const std::int64_t extent = shape[--dimension];
    text = fmt::format("{} {}", *name, rest % extent) + (text.empty() ? "" : ", ") + text;
    rest /= extent;
  }
  return fmt::format("{}[{}]", result.name, text);
}

}  // namespace

CheckedBackends::CheckedBackends(const BackendOptions& options)
    : f32(with_precision(options, Precision::kF32)),
      tf32(with_precision(options, Precision::kTF32)),
      bf16(with_precision(options, Precision::kBF16)) {}

CudaBackend& CheckedBackends::of(Precision precision) {
  return precision == Precision::kF32 ? f32 : precision == Precision::kTF32 ? tf32 : bf16;
}

Tensor to_device(Backend& backend, const Shape& shape, const std::vector<float>& values, DType type) {
  const Tensor tensor = Tensor::empty(backend, shape, type);
  if (type == DType::kBF16) {
    std::vector<std::uint16_t> rounded(values.size());
    for (std::size_t i = 0; i < values.size(); ++i) rounded[i] = gradamp::to_bf16(values[i]);
    tensor.copy_bytes_from_host(std::as_bytes(std::span(rounded)));
  } else {
    tensor.copy_from_host(std::span<const float>(values));
  }
  return tensor;
}

std::vector<float> to_host(const Tensor& tensor) {
  if (tensor.dtype() != DType::kBF16) return tensor.to_host<float>();
  std::vector<std::uint16_t> bits(static_cast<std::size_t>(tensor.count()));
  tensor.copy_bytes_to_host(std::as_writable_bytes(std::span(bits)));
  std::vector<float> values(bits.size());
  for (std::size_t i = 0; i < bits.size(); ++i) values[i] = gradamp::from_bf16(bits[i]);
  return values;
}

std::string disagreement(const ResultName& result, const Shape& shape, std::span<const float> got,
                         std::span<const float> expected) {
  std::size_t count = 0, first = 0;
  float largest = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (got[i] == expected[i]) continue;
    if (count++ == 0) first = i;
    const float difference = std::abs(got[i] - expected[i]);
    if (!(difference <= largest)) largest = difference;  // once a NaN, stays a NaN
  }
  if (count == 0) return {};
  return fmt::format("{}: got {}, expected {}, off by {} ({} of {} elements differ, by up to {})",
                     element_name(result, shape, first), got[first], expected[first],
                     std::abs(got[first] - expected[first]), count, expected.size(), largest);
}

std::string disagreement_of_words(const ResultName& result, const Shape& shape, std::span<const std::uint32_t> got,
                                  std::span<const std::uint32_t> expected) {
  std::size_t count = 0, first = 0;
  for (std::size_t i = 0; i < expected.size(); ++i) {
    if (got[i] != expected[i] && count++ == 0) first = i;
  }
  if (count == 0) return {};
  return fmt::format("{}: got {:#010x}, expected {:#010x} ({} of {} elements differ)",
                     element_name(result, shape, first), got[first], expected[first], count, expected.size());
}

SelfCheckReport self_check(const BackendOptions& options) {
  CheckedBackends backends(options);
  SelfCheckReport report;
  for (const auto parts : {instruction_parts, convolution_parts, operation_parts}) {
    for (const CheckedPart& checked : parts(backends)) {
      SelfCheckPart& part = report.parts.emplace_back();
      part.name = checked.name;
      part.precisions = checked.precisions;
      const auto start = std::chrono::steady_clock::now();
      try {
        part.disagreement = checked.run();
      } catch (const OutOfMemory&) {
        throw;
      } catch (const Error& error) {
        // A failed kernel makes the GPU unusable for this process, in every precision.
        part.precisions = {Precision::kF32, Precision::kTF32, Precision::kBF16};
        part.disagreement = fmt::format("it failed: {}", error.what());
        return report;
      }
      part.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
  }
  return report;
}

}  // namespace gradamp::GRADAMP_GPU

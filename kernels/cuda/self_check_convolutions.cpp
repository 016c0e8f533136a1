// SPDX-License-Identifier: MIT
// Compares the tiled convolutions with the naive ones (kernels/cuda/convolution_naive.h) on the same device. Their sums
// have at most 1000 products of whole numbers up to 4, so they stay below 2^24 and are exact in every order of
// addition. If the result is bf16, both round the same number. Therefore the results must be equal.
#include <utility>

#include "gradamp/kernels/cuda/convolution_naive.h"
#include "gradamp/kernels/cuda/self_check_support.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kLimit = 4;  // of the operands

/// Square filters.
struct Problem {
  std::int64_t batch, height, width, in_channels, out_channels, kernel;
  Conv2dParams params;

  Shape x() const { return {batch, height, width, in_channels}; }
  Shape filter() const { return {out_channels, kernel, kernel, in_channels}; }
  Shape y() const {
    const auto extent = [&](std::int64_t in) { return (in + 2 * params.padding - kernel) / params.stride + 1; };
    return {batch, extent(height), extent(width), out_channels};
  }
  ConvolutionShape shape() const {
    const Shape out = y();
    return {.batch = static_cast<int>(batch),
            .height = static_cast<int>(height),
            .width = static_cast<int>(width),
            .in_channels = static_cast<int>(in_channels),
            .out_height = static_cast<int>(out[1]),
            .out_width = static_cast<int>(out[2]),
            .out_channels = static_cast<int>(out_channels),
            .kernel_h = static_cast<int>(kernel),
            .kernel_w = static_cast<int>(kernel),
            .stride = params.stride,
            .padding = params.padding};
  }
  std::string describe() const {
    return fmt::format("x {}, filter {}, stride {}, padding {}", x().to_string(), filter().to_string(), params.stride,
                       params.padding);
  }
};

/// Each problem has, in every direction, more than five stages of depth (32 bf16, or 16 f32) in some block, so that the
/// ring of four stages is refilled. Results fill no tile, and there are pixels at the border.
constexpr Problem kProblems[] = {
    // Copies of 16 bytes. The filter's gradient splits the 585 pixels into two parts, which a second kernel adds.
    {3, 15, 13, 24, 40, 3, {1, 1}},
    // A stride: the gradient of the input is four products. 96 output channels are whole stages there, and the filter's
    // gradient uses the tile of 128 x 128.
    {6, 9, 11, 24, 96, 3, {2, 1}},
    // 64 input channels: the gradient of the filter by wgmma, on the devices that use it.
    {3, 9, 11, 64, 72, 3, {1, 1}},
    // Channels that are not a multiple of 16 bytes, like an image's three: copies of single elements.
    {7, 9, 11, 19, 45, 3, {2, 1}},
};

enum class Direction { kForward, kBackwardInput, kBackwardFilter };

std::string check_convolution(CudaBackend& backend, Precision precision, Direction direction, const Problem& problem) {
  const DType type = precision == Precision::kBF16 ? DType::kBF16 : DType::kF32;
  const auto operand = [&](const Shape& shape, std::uint32_t seed) {
    return to_device(backend, shape, whole_numbers(shape.count(), kLimit, seed), type);
  };
  const auto result = [&](const Shape& shape, DType result_type) {  // NaN unless a kernel writes it
    return to_device(backend, shape, std::vector<float>(static_cast<std::size_t>(shape.count()), NAN), result_type);
  };
  const Stream stream = make_stream();
  const ConvolutionShape shape = problem.shape();
  ResultName name{"y", {"n", "p", "q", "k"}};
  Tensor tiled, naive;
  switch (direction) {
    case Direction::kForward: {
      const Tensor x = operand(problem.x(), 1), filter = operand(problem.filter(), 2);
      tiled = result(problem.y(), type);
      naive = result(problem.y(), type);
      backend.conv2d_forward({.x = x, .weight = filter, .bias = {}, .y = tiled, .moments = {}}, problem.params);
      launch_naive_convolution(stream.get(), type, {shape}, x.raw_data(), filter.raw_data(), nullptr, naive.raw_data());
      check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
      break;
    }
    case Direction::kBackwardInput: {
      const Tensor grad_y = operand(problem.y(), 3), filter = operand(problem.filter(), 2);
      name = {"grad_x", {"n", "h", "w", "c"}};
      tiled = result(problem.x(), type);
      naive = result(problem.x(), type);
      backend.conv2d_backward_input({grad_y, filter, tiled}, problem.params);
      launch_naive_convolution_backward_input(stream.get(), type, {shape}, grad_y.raw_data(), filter.raw_data(),
                                              naive.raw_data());
      check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
      break;
    }
    case Direction::kBackwardFilter: {
      const Tensor x = operand(problem.x(), 1), grad_y = operand(problem.y(), 3);
      name = {"grad_filter", {"k", "r", "s", "c"}};
      tiled = result(problem.filter(), DType::kF32);
      naive = result(problem.filter(), DType::kF32);
      backend.conv2d_backward_filter(x, grad_y, problem.params, tiled);
      launch_naive_convolution_backward_filter(stream.get(), type, {shape}, x.raw_data(), grad_y.raw_data(),
                                               naive.data<float>());
      check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
      break;
    }
  }
  return disagreement(name, tiled.shape(), to_host(tiled), to_host(naive));
}

std::string check_convolutions(CudaBackend& backend, Precision precision, Direction direction) {
  for (const Problem& problem : kProblems) {
    const std::string found = check_convolution(backend, precision, direction, problem);
    if (!found.empty()) return fmt::format("{} (by the plain kernel; {})", found, problem.describe());
  }
  return {};
}

constexpr std::pair<Direction, const char*> kDirections[] = {{Direction::kForward, "forward"},
                                                             {Direction::kBackwardInput, "backward input"},
                                                             {Direction::kBackwardFilter, "backward filter"}};

}  // namespace

std::string disagreement_of_convolutions(CudaBackend& backend, Precision precision) {
  for (const auto& [direction, name] : kDirections) {
    const std::string found = check_convolutions(backend, precision, direction);
    if (!found.empty()) return fmt::format("convolution {}: {}", name, found);
  }
  return {};
}

std::vector<CheckedPart> convolution_parts(CheckedBackends& backends) {
  std::vector<CheckedPart> parts;
  for (const Precision precision : {Precision::kF32, Precision::kTF32, Precision::kBF16}) {
    CudaBackend* const backend = &backends.of(precision);
    for (const auto& [direction, name] : kDirections) {
      parts.push_back({fmt::format("convolution {}, {}", name, name_of(precision)),
                       {precision},
                       [=, direction = direction] { return check_convolutions(*backend, precision, direction); }});
    }
  }
  return parts;
}

}  // namespace gradamp::GRADAMP_GPU

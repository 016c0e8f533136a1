// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/hopper_check.h"

#include <cmath>
#include <map>
#include <mutex>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/convolution_hopper.h"
#include "gradamp/kernels/cuda/cuda_backend.h"
#include "gradamp/kernels/cuda/runtime.h"
#include "gradamp/kernels/cuda/self_check_support.h"

namespace gradamp::GRADAMP_GPU {

#if defined(GRADAMP_EMULATION)

HopperRefusal hopper_refusal() { return {}; }

#else

namespace {

// Every block has more than four stages, so that the ring of slots is refilled, and there are partial tiles, borders
// and, with the stride, four residues with different corners.
constexpr Conv2dParams kPlain{.stride = 1, .padding = 1}, kStrided{.stride = 2, .padding = 1};

/// Compares the three convolutions with those by mma.sync. The operands are whole numbers up to 4 and sums have at most
/// 600 products, so they are exact in every order.
std::string disagreement_of(const Conv2dParams& params) {
  CudaBackend mma({.precision = Precision::kBF16, .convolution = ConvolutionMethod::kMma});
  const std::int64_t out_h = (9 - 1) / params.stride + 1, out_w = (11 - 1) / params.stride + 1;
  const Shape x_shape = {3, 9, 11, 64}, y_shape = {3, out_h, out_w, 72}, filter_shape = {72, 3, 3, 64};
  const ConvolutionShape shape{.batch = 3,
                               .height = 9,
                               .width = 11,
                               .in_channels = 64,
                               .out_height = static_cast<int>(out_h),
                               .out_width = static_cast<int>(out_w),
                               .out_channels = 72,
                               .kernel_h = 3,
                               .kernel_w = 3,
                               .stride = params.stride,
                               .padding = params.padding};
  const auto operand = [&](const Shape& of, std::uint32_t seed) {
    return to_device(mma, of, whole_numbers(of.count(), 4, seed), DType::kBF16);
  };
  const auto unwritten = [&](const Shape& of, DType type) {
    return to_device(mma, of, std::vector<float>(static_cast<std::size_t>(of.count()), NAN), type);
  };
  const auto compare = [](const ResultName& name, const Tensor& got, const Tensor& expected) {
    check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    return disagreement(name, got.shape(), to_host(got), to_host(expected));
  };
  const Stream stream = make_stream();
  const Tensor x = operand(x_shape, 1), filter = operand(filter_shape, 2), grad_y = operand(y_shape, 3);

  Tensor got = unwritten(y_shape, DType::kBF16), expected = unwritten(y_shape, DType::kBF16);
  launch_hopper_convolution(
      stream.get(), shape,
      {.x = x.raw_data(), .filter = filter.raw_data(), .bias = nullptr, .y = got.raw_data(), .moments = {}});
  mma.conv2d_forward({.x = x, .weight = filter, .bias = {}, .y = expected, .moments = {}}, params);
  if (std::string found = compare({"y", {"n", "p", "q", "k"}}, got, expected); !found.empty()) return found;

  got = unwritten(x_shape, DType::kBF16);
  expected = unwritten(x_shape, DType::kBF16);
  mma.conv2d_backward_input({grad_y, filter, expected}, params);
  launch_hopper_backward_input(stream.get(), shape,
                               {.grad_y = grad_y.raw_data(), .filter = filter.raw_data(), .grad_x = got.raw_data()});
  if (std::string found = compare({"grad_x", {"n", "h", "w", "c"}}, got, expected); !found.empty()) return found;

  got = unwritten(filter_shape, DType::kF32);
  expected = unwritten(filter_shape, DType::kF32);
  const Tensor workspace =
      unwritten({static_cast<std::int64_t>(hopper_backward_filter_workspace(shape)) + 1}, DType::kF32);
  mma.conv2d_backward_filter(x, grad_y, params, expected);
  launch_hopper_backward_filter(stream.get(), shape, x.raw_data(), grad_y.raw_data(), got.data<float>(),
                                workspace.data<float>());
  return compare({"grad_filter", {"k", "r", "s", "c"}}, got, expected);
}

HopperRefusal look(int device) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, device), "cudaGetDeviceProperties");
  if (properties.major != 9 || properties.minor != 0) {
    return {fmt::format("they need compute capability 9.0, {} has {}.{}", properties.name, properties.major,
                        properties.minor)};
  }
  try {
    for (const Conv2dParams& params : {kPlain, kStrided}) {
      if (const std::string found = disagreement_of(params); !found.empty())
        return {fmt::format("they disagree with those by mma.sync: {}", found), true};
    }
  } catch (const Error& error) {  // for example, the driver is too old
    return {error.what()};
  }
  return {};
}

}  // namespace

HopperRefusal hopper_refusal() {
  static std::mutex mutex;
  static std::map<int, HopperRefusal> known;
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  const std::lock_guard lock(mutex);
  const auto at = known.find(device);
  return at != known.end() ? at->second : known[device] = look(device);
}

#endif

}  // namespace gradamp::GRADAMP_GPU

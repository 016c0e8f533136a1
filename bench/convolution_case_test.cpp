// SPDX-License-Identifier: MIT
// The verification of a convolution accepts correct results and rejects wrong ones, statistics and moments included.
#include <algorithm>
#include <cmath>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/bench/convolution_case.h"
#include "gradamp/core/f16.h"
#include "gradamp/tests/core/error_of.h"

namespace gradamp::bench {
namespace {

using test::error_of;
using ::testing::HasSubstr;

constexpr TimingOptions kOnce{0, 1, 1, 0, 0, 1};
const ConvolutionShape kShape{2, 8, 4, 8, 3, {1, 1}};

TEST(ConvolutionCase, EveryPassIsVerified) {
  const std::unique_ptr<Backend> backend = make_backend({});
  for (const ConvolutionPass pass :
       {ConvolutionPass::kForward, ConvolutionPass::kBackwardInput, ConvolutionPass::kBackwardFilter}) {
    const ConvolutionCase problem(*backend, kShape, pass, DType::kF32, ConvolutionExtra::kNone, kOnce);
    EXPECT_EQ(error_of([&] { problem.verify([&] { problem.call(0); }, 1e-5); }), "");
    EXPECT_THAT(error_of([&] { problem.verify([] {}, 1e-5); }), HasSubstr("not written"));
  }
}

TEST(ConvolutionCase, OurMomentsAreVerified) {
  for (const DeviceKind kind : {DeviceKind::kCpu, DeviceKind::kEmulated}) {
    SCOPED_TRACE(name_of(kind));
    const std::unique_ptr<Backend> backend = make_backend({kind});
    const ConvolutionCase problem(*backend, kShape, ConvolutionPass::kForward, DType::kF32, ConvolutionExtra::kMoments,
                                  kOnce);
    EXPECT_EQ(error_of([&] { problem.verify([&] { problem.call(0); }, 5e-5); }), "");
    const ConvolutionCase without(*backend, kShape, ConvolutionPass::kForward, DType::kF32, ConvolutionExtra::kNone,
                                  kOnce);
    // A call that computes the same y without moments: they stay unwritten.
    const auto only_y = [&] {
      without.call(0);
      const std::size_t bytes = static_cast<std::size_t>(kShape.y().count()) * sizeof(float);
      backend->synchronize();
      std::vector<std::byte> y(bytes);
      backend->copy_to_host(y.data(), without.buffers()[0].y, bytes);
      backend->copy_to_device(problem.buffers()[0].y, y.data(), bytes);
    };
    EXPECT_THAT(error_of([&] { problem.verify(only_y, 5e-5); }), HasSubstr("moments"));
  }
  const std::unique_ptr<Backend> naive =
      make_backend({DeviceKind::kEmulated}, {.convolution = ConvolutionMethod::kNaive});
  EXPECT_THROW(
      ConvolutionCase(*naive, kShape, ConvolutionPass::kForward, DType::kF32, ConvolutionExtra::kMoments, kOnce),
      LeftOut);
}

/// A library's convolution with statistics, like cuDNN's fused kernel, simulated by our convolution and loops on the
/// host.
class WithStatistics : public ::testing::TestWithParam<Precision> {
 protected:
  void SetUp() override {
    BackendOptions options;
    options.precision = GetParam();
    backend_ = make_backend({DeviceKind::kEmulated}, options);
    problem_ = std::make_unique<ConvolutionCase>(*backend_, kShape, ConvolutionPass::kForward, DType::kF32,
                                                 ConvolutionExtra::kStatistics, kOnce);
  }

  bool f16() const { return GetParam() == Precision::kBF16; }

  std::vector<float> read(void* memory, std::int64_t count) const {
    std::vector<float> values(static_cast<std::size_t>(count));
    if (!f16()) {
      backend_->copy_to_host(values.data(), memory, values.size() * sizeof(float));
      return values;
    }
    std::vector<std::uint16_t> bits(values.size());
    backend_->copy_to_host(bits.data(), memory, bits.size() * sizeof(std::uint16_t));
    std::transform(bits.begin(), bits.end(), values.begin(), from_f16);
    return values;
  }

  /// Computes y, truncated to values that fp16 represents exactly if y is fp16, and the sums plus the arguments.
  void compute(float wrong_sum, float wrong_square_sum) const {
    const ConvolutionBuffers buffers = problem_->buffers()[0];
    const std::vector<float> x = read(buffers.x, kShape.x().count());
    const std::vector<float> weight = read(buffers.weight, kShape.weight().count());
    const std::unique_ptr<Backend> f32 = make_backend({});
    const Tensor y = Tensor::empty(*f32, kShape.y());
    f32->conv2d_forward(
        {Tensor::from_host(*f32, kShape.x(), x), Tensor::from_host(*f32, kShape.weight(), weight), Tensor(), y, {}},
        kShape.params);
    std::vector<float> values = y.to_host<float>(), sums(8, wrong_sum), square_sums(8, wrong_square_sum);
    std::vector<std::uint16_t> bits;
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (f16()) values[i] = std::trunc(values[i] * 128) / 128;
      if (f16()) bits.push_back(to_f16(values[i]));
      sums[i % 8] += values[i];
      square_sums[i % 8] += values[i] * values[i];
    }
    if (f16()) {
      backend_->copy_to_device(buffers.y, bits.data(), bits.size() * sizeof(std::uint16_t));
    } else {
      backend_->copy_to_device(buffers.y, values.data(), values.size() * sizeof(float));
    }
    backend_->copy_to_device(buffers.sums, sums.data(), sums.size() * sizeof(float));
    backend_->copy_to_device(buffers.square_sums, square_sums.data(), square_sums.size() * sizeof(float));
  }

  std::unique_ptr<Backend> backend_;
  std::unique_ptr<ConvolutionCase> problem_;
};

TEST_P(WithStatistics, IsVerified) {
  EXPECT_EQ(error_of([&] { problem_->verify([&] { compute(0, 0); }, 1e-2); }), "");
  EXPECT_THAT(error_of([&] { problem_->verify([&] { compute(100, 0); }, 1e-2); }), HasSubstr("sum of channel 0"));
  EXPECT_THAT(error_of([&] { problem_->verify([&] { compute(0, 100); }, 1e-2); }), HasSubstr("sums of squares"));
  EXPECT_THAT(error_of([&] { problem_->verify([&] { compute(NAN, 0); }, 1e-2); }), HasSubstr("sum of channel 0"));
}

INSTANTIATE_TEST_SUITE_P(Precisions, WithStatistics, ::testing::Values(Precision::kF32, Precision::kBF16),
                         [](const auto& suite) { return std::string(gradamp::name_of(suite.param)); });

}  // namespace
}  // namespace gradamp::bench

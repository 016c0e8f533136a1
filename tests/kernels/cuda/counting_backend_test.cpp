// SPDX-License-Identifier: MIT
// Compares the counts of the budgets' backend with sums by hand.
#include "gradamp/tests/kernels/cuda/budgets/counting_backend.h"

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"

namespace gradamp {
namespace {

TEST(CountingBackend, ConvolutionAndBatchNormForwardInBf16) {
  CountingBackend backend(DType::kBF16);
  const Variable x(Tensor::empty(backend, {2, 8, 8, 16}, DType::kBF16));
  const Variable weight(Tensor::empty(backend, {32, 3, 3, 16}, DType::kBF16));
  const NoGrad no_grad;
  conv2d(x, weight, Variable(), {.stride = 1, .padding = 1});
  // x: 2 x 64 pixels x 16, filter: 32 x 9 x 16, y: 2 x 64 pixels x 32; 2 bytes each.
  EXPECT_EQ(backend.bytes(), 2u * (2 * 64 * 16 + 32 * 9 * 16 + 2 * 64 * 32));
  ASSERT_EQ(backend.operations().size(), 1u);
  const CountingBackend::Operation& operation = backend.operations().front();
  EXPECT_EQ(operation.name, "conv2d_forward");
  EXPECT_EQ(operation.bytes, backend.bytes());
  EXPECT_EQ(operation.shapes, (std::vector<std::optional<Shape>>{Shape{2, 8, 8, 16}, Shape{32, 3, 3, 16}, std::nullopt,
                                                                 Shape{2, 8, 8, 32}, std::nullopt}));
}

TEST(CountingBackend, OptimizerStepWithStatistics) {
  CountingBackend backend(DType::kBF16);
  constexpr std::int64_t kCount = 4096;
  Arena arena;
  arena.weights = arena.gradients = arena.momentum = Tensor::empty(backend, {kCount});
  arena.weights_bf16 = Tensor::empty(backend, {kCount}, DType::kBF16);
  arena.signed_sums = arena.absolute_sums = Tensor::empty(backend, {kCount});
  const Tensor factors = Tensor::empty(backend, {3});
  SgdParams params;
  params.accumulate = false;
  backend.sgd_step(arena, factors, {}, params);
  // Per weight: gradient read; weight, momentum read and written, 4 bytes each; 2 bytes of the copy. 3 factors.
  EXPECT_EQ(backend.bytes(), kCount * (5 * 4 + 2) + 3 * 4);
  backend.clear();
  params.accumulate = true;
  backend.sgd_step(arena, factors, {}, params);
  EXPECT_EQ(backend.bytes(), kCount * (9 * 4 + 2) + 3 * 4);  // two sums are also read and written
  backend.clear();
  backend.accumulate_sums(arena, Granularity::kWeight, {});
  EXPECT_EQ(backend.bytes(), kCount * 5 * 4);  // the gradient is read, two sums are read and written
}

TEST(CountingBackend, ConcatenationReadsAndWritesItsParts) {
  CountingBackend backend(DType::kBF16);
  const Variable a(Tensor::empty(backend, {6, 5}, DType::kBF16)), b(Tensor::empty(backend, {6, 3}, DType::kBF16));
  concat({a, b});
  EXPECT_EQ(backend.bytes(), 2u * 2 * 6 * (5 + 3));
  EXPECT_EQ(backend.operations().size(), 2u);
}

TEST(CountingBackend, GatherReadsThePixelsOfTheBatch) {
  CountingBackend backend(DType::kF32);
  const Tensor images = Tensor::empty(backend, {1000, 32, 32, 3}, DType::kU8);
  const Tensor labels = Tensor::empty(backend, {1000}, DType::kI32);
  const Tensor x = Tensor::empty(backend, {8, 32, 32, 3});
  backend.gather_batch(images, labels, labels, {}, {}, x, Tensor::empty(backend, {8}, DType::kI32));
  EXPECT_EQ(backend.bytes(), 8u * 3072 * (1 + 4) + 8 * 4 * 3);  // index and label read, label written
  backend.clear();
  const Tensor f32_images = Tensor::empty(backend, {1000, 32, 32, 3});
  backend.gather_batch(f32_images, labels, labels, {}, {}, x, Tensor::empty(backend, {8}, DType::kI32));
  EXPECT_EQ(backend.bytes(), 8u * 3072 * (4 + 4) + 8 * 4 * 3);
}

}  // namespace
}  // namespace gradamp

// SPDX-License-Identifier: MIT
// The graph: which variable receives which gradient, when, and in which memory. The operations' own gradients are
// tested in tests/kernels.
#include "gradamp/core/autograd.h"

#include <cmath>
#include <stdexcept>
#include <thread>

#include <gtest/gtest.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp::test {
namespace {

using Floats = std::vector<float>;

class AutogradTest : public DeviceTest {
 protected:
  Tensor tensor(const Floats& values) {
    return tensor_of(backend(), {static_cast<std::int64_t>(values.size())}, values);
  }
  /// The gradient's memory contains NaN.
  Variable parameter(const Floats& values) {
    return parameter_of(backend(), {static_cast<std::int64_t>(values.size())}, values);
  }
  /// factor * x, in a node that counts the calls of its backward.
  Variable times(const Variable& x, float factor, int* runs = nullptr) {
    const Tensor scale = tensor({factor});
    const Tensor y = Tensor::empty(backend(), x.shape());
    backend().scale(x.value(), scale, 0, y);
    return make_result(y, {x}, [x, scale, runs](const Tensor& grad_y) {
      if (runs) ++*runs;
      x.receive_grad_from([&](const Tensor& out) { grad_y.backend().scale(grad_y, scale, 0, out); });
    });
  }
};

Floats grad_of(const Variable& variable) { return variable.grad().to_host<float>(); }

TEST_P(AutogradTest, AConstantNeedsNoGradient) {
  const Variable x(tensor({1, 2}));
  EXPECT_FALSE(x.requires_grad());
  EXPECT_FALSE(add(x, x).requires_grad());
  EXPECT_FALSE(Variable().requires_grad());
  EXPECT_FALSE(Variable().defined());
}

TEST_P(AutogradTest, TheFirstGradientReplacesWhatWasThere) {
  const Variable x = parameter({1, -2});
  EXPECT_FALSE(x.has_grad());
  relu(x).backward(tensor({3, 4}));
  EXPECT_TRUE(x.has_grad());
  EXPECT_EQ(grad_of(x), (Floats{3, 0}));
}

TEST_P(AutogradTest, ALeafsGradientStaysInItsMemory) {
  const Tensor memory = tensor({NAN, NAN});
  const Variable x = Variable::parameter(tensor({1, 2}), memory);
  relu(x).backward(tensor({3, 4}));     // written in place
  add(x, x).backward(tensor({10, 1}));  // added
  EXPECT_EQ(memory.to_host<float>(), (Floats{23, 6}));
  EXPECT_EQ(x.grad().raw_data(), memory.raw_data());
  x.clear_grad();
  EXPECT_FALSE(x.has_grad());
  add(x, x).backward(tensor({1, 1}));  // copied, then added
  EXPECT_EQ(memory.to_host<float>(), (Floats{2, 2}));
  EXPECT_EQ(x.grad().raw_data(), memory.raw_data());
}

TEST_P(AutogradTest, GradientsOfSeveralUsesAddUp) {
  const Variable x = parameter({1, 2});
  // x + (2 x + 3 (2 x)), through a shared intermediate result.
  const Variable twice = times(x, 2);
  add(x, add(twice, times(twice, 3))).backward(tensor({1, 10}));
  EXPECT_EQ(grad_of(x), (Floats{9, 90}));
}

TEST_P(AutogradTest, AnInputUsedTwiceByOneOperationCountsTwice) {
  const Variable x = parameter({1, 2});
  const Variable y = times(x, 1);
  add(y, y).backward(tensor({1, 10}));
  EXPECT_EQ(grad_of(x), (Floats{2, 20}));
}

// A sum passes the same memory to both operands. A later gradient of one of them must not reach the other, in either
// order: a second gradient is added to memory that another variable reads.
TEST_P(AutogradTest, OperandsThatShareAGradientKeepApart) {
  for (const bool left_first : {false, true}) {
    SCOPED_TRACE(left_first);
    const Variable p = parameter({1, 1}), q = parameter({1, 1});
    const Variable a = times(p, 1), b = times(q, 1);
    const Variable more_of_a = times(a, 100), more_of_b = times(b, 1000);
    const Variable both = left_first ? add(a, b) : add(b, a);
    const Variable y = add(add(both, more_of_a), more_of_b);
    const Tensor seed = tensor({1, 2});
    y.backward(seed);
    EXPECT_EQ(grad_of(p), (Floats{101, 202}));
    EXPECT_EQ(grad_of(q), (Floats{1001, 2002}));
    EXPECT_EQ(seed.to_host<float>(), (Floats{1, 2})) << "the seed was written to";
  }
}

TEST_P(AutogradTest, AChainOfResidualBlocksKeepsItsGradients) {
  // y_{i+1} = y_i + 2 y_i: each block's input receives its gradient in two parts, the first of them shared.
  const Variable x = parameter({1, -1});
  Variable y = times(x, 1);
  for (int i = 0; i < 5; ++i) y = i % 2 == 0 ? add(y, times(y, 2)) : add(times(y, 2), y);
  const Variable kept = y;
  y.backward(tensor({1, 2}));
  EXPECT_EQ(grad_of(x), (Floats{243, 486}));
  EXPECT_EQ(kept.value().to_host<float>(), (Floats{243, -243})) << "backward changed a result";
}

TEST_P(AutogradTest, AFlattenedGradientIsNotWrittenOver) {
  // flatten passes on a view of its gradient, here the seed's memory; y then receives a second part.
  const Variable x = parameter_of(backend(), {2, 2, 1}, {1, 2, 3, 4});
  const Variable y = times(x, 1);
  const Variable flat = flatten(y);
  const Variable z = flatten(times(y, 10));
  const Tensor seed = tensor_of(backend(), {2, 2}, {1, 2, 3, 4});
  add(flat, z).backward(seed);
  EXPECT_EQ(grad_of(x), (Floats{11, 22, 33, 44}));
  EXPECT_EQ(seed.to_host<float>(), (Floats{1, 2, 3, 4}));
}

TEST_P(AutogradTest, ANodeRunsOnceAfterAllItsConsumers) {
  const Variable x = parameter({1});
  int shared_runs = 0, late_runs = 0;
  const Variable shared = times(x, 2, &shared_runs);
  Variable y = shared;
  for (int i = 0; i < 4; ++i) y = add(y, times(shared, 1, &late_runs));
  y.backward(tensor({1}));
  EXPECT_EQ(shared_runs, 1);
  EXPECT_EQ(late_runs, 4);
  EXPECT_EQ(grad_of(x), Floats{10});
}

TEST_P(AutogradTest, NothingIsComputedForAConstant) {
  const Variable x = parameter({1, 2}), constant(tensor({3, 4}));
  bool computed = false;
  constant.receive_grad_from([&](const Tensor&) { computed = true; });
  EXPECT_FALSE(computed);
  add(x, constant).backward(tensor({1, 1}));
  EXPECT_FALSE(constant.has_grad());
  EXPECT_EQ(grad_of(x), (Floats{1, 1}));
}

TEST_P(AutogradTest, WhatDoesNotLeadToTheResultGetsNothing) {
  const Variable x = parameter({1}), other = parameter({1});
  int runs = 0;
  const Variable unused = times(add(x, other), 5, &runs);
  times(x, 2).backward(tensor({1}));
  EXPECT_EQ(grad_of(x), Floats{2});
  EXPECT_FALSE(other.has_grad());
  EXPECT_EQ(runs, 0);
}

TEST_P(AutogradTest, BackwardOfALeafIsItsSeed) {
  const Variable x = parameter({1, 2});
  x.backward(tensor({5, 6}));
  EXPECT_EQ(grad_of(x), (Floats{5, 6}));
}

TEST_P(AutogradTest, AScalarNeedsNoSeed) {
  const Variable x = parameter_of(backend(), {}, {4});
  times(x, 3).backward();
  EXPECT_EQ(grad_of(x), Floats{3});
}

TEST_P(AutogradTest, GradientsOfIntermediateResultsAreGoneAfterwards) {
  const Variable x = parameter({1, 2});
  const Variable y = times(x, 2);
  const Variable z = times(y, 2);
  z.backward(tensor({1, 1}));
  EXPECT_FALSE(y.has_grad());
  EXPECT_FALSE(y.grad().defined());
  EXPECT_FALSE(z.grad().defined());
}

TEST_P(AutogradTest, ABatchNormIsPendingForTheLastNodeThatReadsIt) {
  BatchNormState state{parameter({1, 2}), parameter({0, 1}), tensor({0, 0}), tensor({1, 1})};
  const Variable x = parameter_of(backend(), {3, 2}, {1, 2, 3, 4, 5, 7});
  std::vector<bool> pending;
  const auto reader_of = [&](const Variable& y) {
    return make_result(y.value(), {y}, [y, &pending](const Tensor& grad) {
      pending.push_back(y.pending_batch_norm() != nullptr);
      y.receive_grad(grad);
    });
  };
  const Tensor seed = tensor_of(backend(), {3, 2}, {1, 2, 3, 4, 5, 6});
  const Variable y = batch_norm(x, state, {}, true, {});
  EXPECT_EQ(y.pending_batch_norm(), nullptr);  // nobody reads it
  { const Variable gone = reader_of(y); }      // its node does not count
  add(reader_of(y), reader_of(y)).backward(seed);
  EXPECT_EQ(pending, (std::vector<bool>{false, true}));
  EXPECT_EQ(y.pending_batch_norm(), nullptr);  // its backward has run

  pending.clear();
  const Variable without = relu(x);
  const Variable z = batch_norm(x, state, {}, true, {});
  const Variable also_reads = relu(z);  // does not lead to the result
  reader_of(z).backward(seed);
  reader_of(without).backward(seed);
  EXPECT_EQ(pending, (std::vector<bool>{false, false}));
}

TEST_P(AutogradTest, BackwardReleasesWhatTheGraphHeld) {
  const Variable x = parameter({1});
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  const Variable y = make_result(tensor({1}), {x}, [x, held](const Tensor& grad) { x.receive_grad(grad); });
  const Variable z = times(y, 2);
  held.reset();
  EXPECT_FALSE(watched.expired());
  z.backward(tensor({1}));
  EXPECT_TRUE(watched.expired()) << "although z still lives";
}

TEST_P(AutogradTest, AValueThatNoBackwardReadsIsFreeAfterTheForward) {
  const Variable images =
      Variable::parameter(Tensor::zeros(backend(), {2, 4, 4, 8}), Tensor::empty(backend(), {2, 4, 4, 8}));
  const std::pair<const char*, std::function<Variable(const Variable&)>> operations[] = {
      {"relu", relu},
      {"add", [](const Variable& x) { return add(x, x); }},
      {"concat",
       [](const Variable& x) {
         return concat({x, x});
       }},
      {"max_pool2d", [](const Variable& x) { return max_pool2d(x, {}); }},
      {"avg_pool2d", [](const Variable& x) { return avg_pool2d(x, {}); }},
      {"global_avg_pool", global_avg_pool},
      {"zero_pad_shortcut", [](const Variable& x) { return zero_pad_shortcut(x, 16); }},
      {"softmax", softmax},
      {"dropout", [this](const Variable& x) { return dropout(x, {}, make_step_state(backend(), 1)); }},
      {"residual of batch_norm", [&](const Variable& x) {
         const Tensor channels = Tensor::zeros(backend(), {8});
         return batch_norm(images, {Variable(channels), Variable(channels), channels, channels}, {}, true, x);
       }}};
  for (const auto& [name, operation] : operations) {
    Variable result;
    Tensor value;
    {
      const Variable x = add(images, images);
      value = x.value();
      result = operation(x);
    }
    EXPECT_TRUE(value.is_unique()) << name;
    images.clear_grad();
    result.backward(Tensor::zeros(backend(), result.shape()));
    EXPECT_TRUE(images.has_grad()) << name;
  }
}

TEST_P(AutogradTest, AResultThatGoesTakesItsGraphAlong) {
  const Variable x = parameter({1});
  auto held = std::make_shared<int>(1);
  const std::weak_ptr<int> watched = held;
  {
    const Variable y = make_result(tensor({1}), {x}, [x, held](const Tensor&) {});
    const Variable z = times(times(y, 2), 2);
    held.reset();
    EXPECT_FALSE(watched.expired());
  }
  EXPECT_TRUE(watched.expired());
}

TEST_P(AutogradTest, AGraphOfThousandsOfNodesIsWalked) {
  const Variable x = parameter({1});
  Variable y = x;
  // The CPU shows whether the walk needs a deep stack. An emulated launch takes a millisecond.
  const int nodes = GetParam().device.kind == DeviceKind::kCpu ? 5000 : 100;
  for (int i = 0; i < nodes; ++i) y = times(y, 1);
  y.backward(tensor({7}));
  EXPECT_EQ(grad_of(x), Floats{7});
}

TEST_P(AutogradTest, NoGradRecordsNothingWhileItLives) {
  const Variable x = parameter({1, 2});
  {
    const NoGrad outer;
    EXPECT_FALSE(records({x}));
    EXPECT_FALSE(add(x, x).requires_grad());
    { const NoGrad inner; }
    EXPECT_FALSE(add(x, x).requires_grad()) << "the inner one ended the outer one";
  }
  EXPECT_TRUE(add(x, x).requires_grad());
  try {
    const NoGrad guard;
    throw std::runtime_error("");
  } catch (const std::runtime_error&) {
  }
  EXPECT_TRUE(records({x}));
  EXPECT_FALSE(records({Variable(), Variable(tensor({1}))}));
}

TEST_P(AutogradTest, BackwardUnderNoGradStillRuns) {
  const Variable x = parameter({1});
  const Variable y = times(x, 2);
  const NoGrad guard;
  y.backward(tensor({1}));
  EXPECT_EQ(grad_of(x), Floats{2});
}

TEST_P(AutogradTest, CopiesAreTheSameVariable) {
  const Variable x = parameter({1});
  const Variable copy = x;
  times(copy, 2).backward(tensor({1}));
  EXPECT_EQ(grad_of(x), Floats{2});
}

TEST_P(AutogradTest, RebindMovesALeafEverywhere) {
  const Variable x = parameter({1, 2});
  const Variable copy = x;
  times(x, 1).backward(tensor({1, 1}));
  const Tensor arena = tensor({5, 6, 7}), gradients = tensor({NAN, NAN, NAN});
  x.rebind(arena.view({2}, 1), gradients.view({2}, 1));
  EXPECT_FALSE(copy.has_grad());
  EXPECT_EQ(copy.value().to_host<float>(), (Floats{6, 7}));
  times(copy, 2).backward(tensor({1, 3}));
  const Floats written = gradients.to_host<float>();
  EXPECT_TRUE(std::isnan(written[0]));
  EXPECT_EQ((Floats{written[1], written[2]}), (Floats{2, 6}));
}

TEST_P(AutogradTest, RefusesWhatDoesNotFit) {
  const Variable x = parameter({1, 2});
  EXPECT_EQ(error_of([&] {
              Variable::parameter(tensor({1, 2}), tensor({1}));
            }),
            "expected a gradient of shape [2], got [1]");
  EXPECT_EQ(error_of([&] { Variable(tensor({1})).backward(); }),
            "backward() needs a variable that depends on a parameter");
  EXPECT_EQ(error_of([&] { times(x, 2).backward(); }), "backward() without a seed needs a scalar, got shape [2]");
  EXPECT_EQ(error_of([&] { times(x, 2).backward(tensor({1})); }), "expected a gradient of shape [2], got [1]");
  EXPECT_EQ(error_of([&] { x.receive_grad(tensor({1, 2, 3})); }), "expected a gradient of shape [2], got [3]");
  EXPECT_EQ(error_of([&] { x.rebind(tensor({1}), tensor({1, 2})); }), "expected memory of shape [2], got [1] and [2]");
  EXPECT_EQ(error_of([&] { x.rebind(tensor({1, 2}), tensor({1})); }), "expected memory of shape [2], got [2] and [1]");
}

TEST_P(AutogradTest, GraphsOfHalfAMillionNodesAreReleasedWithoutRecursion) {
  const auto chain = [this](const Variable& from) {
    Variable y = from;
    for (int i = 0; i < 500'000; ++i) y = flatten(y);  // a view: nodes without memory of their own
    return y;
  };
  const Variable x = parameter_of(backend(), {1, 1}, {3.0f});
  { const Variable never_walked = chain(x); }
  chain(x).backward();
  EXPECT_EQ(x.grad().to_host<float>(), std::vector<float>{1.0f});
}

TEST_P(AutogradTest, AStoppedParameterIsAConstant) {
  const Variable x = parameter_of(backend(), {2}, {1, 2}), y = parameter_of(backend(), {2}, {3, 4});
  x.stop_gradient();
  add(x, y).backward(tensor_of(backend(), {2}, {5, 6}));
  EXPECT_FALSE(x.requires_grad());
  EXPECT_FALSE(x.grad().defined());
  EXPECT_EQ(y.grad().to_host<float>(), (std::vector<float>{5, 6}));
  EXPECT_NE(error_of([&] { add(y, y).stop_gradient(); }).find("expected a parameter"), std::string::npos);
}

TEST_P(AutogradTest, NoGradIsOfItsThread) {
  const Variable x = parameter({1, 2});
  const NoGrad none;
  EXPECT_FALSE(records({x}));
  bool in_another = false;
  std::thread([&] { in_another = records({x}); }).join();
  EXPECT_TRUE(in_another);
  EXPECT_FALSE(records({x}));
}

INSTANTIATE_TEST_SUITE_P(Devices, AutogradTest, ::testing::ValuesIn(devices()), device_name);

}  // namespace
}  // namespace gradamp::test

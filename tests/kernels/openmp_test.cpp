// SPDX-License-Identifier: MIT
// The CPU backend as a guest: whatever OpenMP's settings are, its numbers are right and its own threads as many as
// asked for, and it leaves the settings alone.
#include <gtest/gtest.h>
#include <omp.h>

#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp {
namespace {

using namespace test;

/// Outputs and gradients of a convolution and a linear layer.
struct Results {
  std::vector<float> y, grad_x, grad_filter, logits, grad_weight;
  bool operator==(const Results&) const = default;
};

Results compute(Backend& backend) {
  const Shape image = {5, 9, 9, 24}, filter = {40, 3, 3, 24}, weight = {7, 9 * 9 * 40};
  Variable x = parameter_of(backend, image, normal_values(image.count(), 1));
  Variable w = parameter_of(backend, filter, normal_values(filter.count(), 2));
  Variable m = parameter_of(backend, weight, normal_values(weight.count(), 3));
  const Variable y = conv2d(x, w, {}, {1, 1});
  const Variable logits = linear(flatten(y), m, {});
  logits.backward(normal_tensor(backend, logits.shape(), 4));
  return {y.value().to_host<float>(), x.grad().to_host<float>(), w.grad().to_host<float>(),
          logits.value().to_host<float>(), m.grad().to_host<float>()};
}

Results on_one_thread() { return compute(*make_backend({DeviceKind::kCpu}, BackendOptions{1})); }

TEST(OpenMp, InsideAParallelRegion) {
  const Results expected = on_one_thread();
  const auto backend = make_backend({DeviceKind::kCpu}, BackendOptions{4});
  compute(*backend);  // its threads exist
  Results got;
#pragma omp parallel num_threads(2)
  {
#pragma omp single
    got = compute(*backend);
  }
  EXPECT_EQ(got, expected);
}

TEST(OpenMp, DynamicTeams) {
  const Results expected = on_one_thread();
  omp_set_dynamic(1);
  const Results got = compute(*make_backend({DeviceKind::kCpu}, BackendOptions{64}));
  EXPECT_NE(omp_get_dynamic(), 0);
  omp_set_dynamic(0);
  EXPECT_EQ(got, expected);
}

TEST(OpenMp, WithoutActiveLevels) {
  const Results expected = on_one_thread();
  const auto backend = make_backend({DeviceKind::kCpu}, BackendOptions{4});
  compute(*backend);
  const int levels = omp_get_max_active_levels();
  omp_set_max_active_levels(0);
  const Results got = compute(*backend);
  omp_set_max_active_levels(levels);
  EXPECT_EQ(got, expected);
}

TEST(OpenMp, ChangesNoNumberOfThreads) {
  omp_set_num_threads(7);
  std::string outside = make_backend({DeviceKind::kCpu}, BackendOptions{3})->description(), inside;
#pragma omp parallel num_threads(2)
  {
#pragma omp single
    inside = make_backend({DeviceKind::kCpu}, BackendOptions{3})->description();
  }
  EXPECT_EQ(outside.find("cpu: 3 threads"), 0u) << outside;
  EXPECT_EQ(inside, outside);
  omp_set_dynamic(1);
  EXPECT_EQ(make_backend({DeviceKind::kCpu}, BackendOptions{64})->description().find("cpu: 64 threads"), 0u);
  omp_set_dynamic(0);
}

TEST(OpenMp, TheCallersNumberOfThreadsStays) {
  const int before = omp_get_max_threads();
  omp_set_num_threads(7);
  compute(*make_backend({DeviceKind::kCpu}, BackendOptions{2}));
  EXPECT_EQ(omp_get_max_threads(), 7);
  omp_set_num_threads(before);
}

}  // namespace
}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Operations on several threads: their number changes no bit, and a child process computes after a fork.
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <memory>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "gradamp/core/error.h"
#include "gradamp/core/operations.h"
#include "gradamp/tests/core/test_support.h"

namespace gradamp {
namespace {

using namespace test;

/// Outputs and gradients of several operations.
struct Results {
  std::vector<float> y, normalized, pooled, logits, grad_x, grad_filter, grad_gamma, grad_weight;
  bool operator==(const Results&) const = default;
};

Results compute(Backend& backend) {
  const Shape image = {5, 9, 11, 32}, filter = {48, 3, 3, 32};
  Variable x = parameter_of(backend, image, normal_values(image.count(), 1));
  Variable w = parameter_of(backend, filter, normal_values(filter.count(), 2));
  const BatchNormState state = {parameter_of(backend, {48}, normal_values(48, 3)),
                                parameter_of(backend, {48}, normal_values(48, 4)), Tensor::zeros(backend, {48}),
                                Tensor::zeros(backend, {48})};
  const Variable y = conv2d(x, w, {}, {1, 1});
  const Variable z = batch_norm(y, state, {.relu = true}, true);
  const Variable pooled = max_pool2d(z, {});
  const Shape weight = {7, pooled.value().count() / image[0]};
  Variable m = parameter_of(backend, weight, normal_values(weight.count(), 6));
  const Variable logits = linear(flatten(pooled), m, {});
  logits.backward(normal_tensor(backend, logits.shape(), 5));
  return {y.value().to_host<float>(),          z.value().to_host<float>(), pooled.value().to_host<float>(),
          logits.value().to_host<float>(),     x.grad().to_host<float>(),  w.grad().to_host<float>(),
          state.gamma.grad().to_host<float>(), m.grad().to_host<float>()};
}

/// The exit code of a child process in which `body` returns true, or minus the signal that ended the child: SIGALRM if
/// it hangs.
template <typename Body>
int in_child(const Body& body) {
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(120);
    try {
      ::_exit(body() ? 0 : 1);
    } catch (const Error& error) {
      std::fprintf(stderr, "%s\n", error.what());
      ::_exit(2);
    }
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

std::unique_ptr<Backend> make_on(DeviceKind kind, int threads) {
  BackendOptions options;
  options.threads = threads;
  return make_backend({kind}, options);
}

class Threads : public testing::TestWithParam<DeviceKind> {
 protected:
  std::unique_ptr<Backend> make(int threads) const { return make_on(GetParam(), threads); }
};

TEST_P(Threads, TheirNumberChangesNoBit) {
  const Results one = compute(*make(1));
  for (const int threads : {2, 3, 4, 5, 6, 7, 64}) EXPECT_EQ(compute(*make(threads)), one) << threads << " threads";
}

using ThreadsDeathTest = Threads;

/// The exit code of a process that computes on the CPU before and after its children compute on `kind`.
int compute_around_forks(DeviceKind kind) {
  const auto backend = make_on(DeviceKind::kCpu, 4);
  const Results results = compute(*backend);
  if (in_child([&] { return compute(*make_on(kind, 4)) == compute(*make_on(kind, 1)); }) != 0) return 1;
  if (in_child([&] { return compute(*backend) == results; }) != 0) return 2;
  return compute(*backend) == results ? 0 : 3;
}

// In a process of its own, which has not used the emulator: like CUDA, it refuses a child of a process that has.
TEST_P(ThreadsDeathTest, AChildOfAForkComputes) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_EXIT(std::exit(compute_around_forks(GetParam())), testing::ExitedWithCode(0), "");
}

const auto kDevices = testing::Values(DeviceKind::kCpu, DeviceKind::kEmulated);
INSTANTIATE_TEST_SUITE_P(, Threads, kDevices, [](const auto& device) { return name_of(device.param); });
INSTANTIATE_TEST_SUITE_P(, ThreadsDeathTest, kDevices, [](const auto& device) { return name_of(device.param); });

TEST(CpuThreads, BackendsOfSeveralThreadsOfTheProgram) {
  const Results expected = compute(*make_on(DeviceKind::kCpu, 1));
  std::vector<Results> results(3);
  std::vector<std::thread> callers;
  for (Results& result : results) callers.emplace_back([&result] { result = compute(*make_on(DeviceKind::kCpu, 3)); });
  for (std::thread& caller : callers) caller.join();
  for (const Results& result : results) EXPECT_EQ(result, expected);
}

}  // namespace
}  // namespace gradamp

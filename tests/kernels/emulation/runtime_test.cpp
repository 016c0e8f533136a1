// SPDX-License-Identifier: MIT
// The emulator's streams, events, graphs and memory, compared with the documentation of CUDA's runtime.
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <numeric>
#include <string>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/emulation/device_access.h"
#include "gradamp/tests/kernels/emulation/emulation_support.h"

namespace gradamp::emulated {
namespace {

using emulation::config;
using emulation::error_of;
using ::testing::Each;
using ::testing::HasSubstr;

__global__ void add_kernel(float* values, float amount) { values[threadIdx.x] += amount; }
__global__ void copy_kernel(const float* source, float* target) { target[threadIdx.x] = source[threadIdx.x]; }
__global__ void failing_kernel(float* values) {
  if (threadIdx.x == 0) __syncthreads();
  values[threadIdx.x] = 0;
}

// A float in pinned memory.
class Pinned {
 public:
  explicit Pinned(float value) {
    check_cuda(cudaMallocHost(&memory_, sizeof value), "cudaMallocHost");
    *memory_ = value;
  }
  ~Pinned() { cudaFreeHost(memory_); }
  Pinned(const Pinned&) = delete;
  Pinned& operator=(const Pinned&) = delete;

  float& operator*() const { return *memory_; }
  float* get() const { return memory_; }

 private:
  float* memory_ = nullptr;
};

class RuntimeTest : public emulation::EmulationTest {
 protected:
  RuntimeTest() {
    check_cuda(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    check_cuda(cudaStreamCreateWithFlags(&other, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    check_cuda(cudaEventCreateWithFlags(&event, cudaEventDefault), "cudaEventCreateWithFlags");
    check_cuda(cudaMemset(values.data(), 0, values.bytes()), "cudaMemset");
  }
  ~RuntimeTest() override {
    cudaEventDestroy(event);
    cudaStreamDestroy(other);
    cudaStreamDestroy(stream);
    cudaGetLastError();
  }

  void add(float amount, cudaStream_t to) { launch(add_kernel, {1, 32, 0, to}, values.data(), amount); }
  // The value in memory, without a wait.
  float now() const { return at(values.data()); }
  static float at(const float* memory) {
    const emulation::DeviceAccess access;
    return *memory;
  }

  DeviceArray<float> values{32};
  cudaStream_t stream = nullptr, other = nullptr;
  cudaEvent_t event = nullptr;
};

// ---- order ----

TEST_F(RuntimeTest, WorkRunsAtOnceUnlessDeferred) {
  add(1, stream);
  EXPECT_EQ(now(), 1);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
}

TEST_F(RuntimeTest, DeferredWorkRunsWhenItsStreamIsWaitedFor) {
  config().deferred = true;
  add(1, stream);
  add(10, other);
  EXPECT_EQ(now(), 0);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(now(), 1);
  EXPECT_EQ(cudaDeviceSynchronize(), cudaSuccess);
  EXPECT_EQ(now(), 11);
}

TEST_F(RuntimeTest, QueriesAnswerNotReadyOnceAndMakeProgress) {
  config().deferred = true;
  add(1, stream);
  EXPECT_EQ(cudaStreamQuery(stream), cudaErrorNotReady);
  EXPECT_EQ(cudaStreamQuery(stream), cudaSuccess);
  EXPECT_EQ(now(), 1);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // "not ready" is not a failure
}

TEST_F(RuntimeTest, EventsStandForWhatIsBeforeThem) {
  config().deferred = true;
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);  // never recorded
  add(1, stream);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  add(10, stream);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorNotReady);
  EXPECT_EQ(now(), 1);
  EXPECT_EQ(cudaEventQuery(event), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventSynchronize(event), cudaSuccess);
  EXPECT_EQ(now(), 11);
}

TEST_F(RuntimeTest, StreamsWaitForEvents) {
  config().deferred = true;
  const DeviceArray<float> copy(32);
  add(1, stream);
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  add(10, stream);
  ASSERT_EQ(cudaStreamWaitEvent(other, event), cudaSuccess);
  launch(copy_kernel, {1, 32, 0, other}, static_cast<const float*>(values.data()), copy.data());
  ASSERT_EQ(cudaStreamSynchronize(other), cudaSuccess);
  EXPECT_EQ(at(copy.data()), 1);
  EXPECT_EQ(now(), 1);  // the rest of the first stream's work was not needed
}

TEST_F(RuntimeTest, StreamsDoNotWaitUnasked) {
  config().deferred = true;
  const DeviceArray<float> copy(32);
  add(1, stream);
  launch(copy_kernel, {1, 32, 0, other}, static_cast<const float*>(values.data()), copy.data());
  ASSERT_EQ(cudaStreamSynchronize(other), cudaSuccess);
  EXPECT_EQ(at(copy.data()), 0);
}

TEST_F(RuntimeTest, TheDefaultStreamWaitsForBlockingStreams) {
  config().deferred = true;
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  add(1, blocking);
  add(10, stream);
  add(100, nullptr);
  ASSERT_EQ(cudaStreamSynchronize(nullptr), cudaSuccess);
  EXPECT_EQ(now(), 101);  // the other stream is a non-blocking one
  add(1000, nullptr);
  add(10000, blocking);
  ASSERT_EQ(cudaStreamSynchronize(blocking), cudaSuccess);
  EXPECT_EQ(now(), 11101);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
}

TEST_F(RuntimeTest, FreeingAndDestroyingLetWorkFinish) {
  config().deferred = true;
  float* memory = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 128), cudaSuccess);
  launch(copy_kernel, {1, 32, 0, stream}, static_cast<const float*>(memory), values.data());
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  EXPECT_TRUE(std::isnan(now()));
  cudaStream_t passing = nullptr;
  ASSERT_EQ(cudaStreamCreate(&passing), cudaSuccess);
  ASSERT_EQ(cudaMemsetAsync(values.data(), 0, values.bytes(), passing), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(passing), cudaSuccess);
  EXPECT_EQ(now(), 0);
}

TEST_F(RuntimeTest, LibraryCallsJoinTheStream) {
  config().deferred = true;
  add(2, stream);
  emulation::enqueue(stream, [memory = values.data()] { *memory *= 5; });
  add(1, stream);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(now(), 11);
}

TEST_F(RuntimeTest, KernelsThatFailThrowFromTheWait) {
  config().deferred = true;
  launch(failing_kernel, {1, 32, 0, stream}, values.data());
  add(1, stream);  // later work never runs
  EXPECT_THAT(error_of([&] { cudaStreamSynchronize(stream); }), HasSubstr("__syncthreads"));
  EXPECT_EQ(error_of([&] { cudaStreamSynchronize(stream); }), "");
  EXPECT_EQ(now(), 0);
}

// As on a GPU: the context is lost, and all later calls fail.
TEST_F(RuntimeTest, NothingWorksAfterAKernelFailed) {
  EXPECT_THROW(launch(failing_kernel, {1, 32, 0, stream}, values.data()), Error);
  float* memory = nullptr;
  float number = 0;
  cudaGraph_t graph = nullptr;
  const std::pair<const char*, std::function<cudaError_t()>> calls[] = {
      {"malloc", [&] { return cudaMalloc(&memory, 4); }},
      {"copy", [&] { return cudaMemcpy(&number, values.data(), 4, cudaMemcpyDeviceToHost); }},
      {"memset", [&] { return cudaMemset(values.data(), 0, 4); }},
      {"stream synchronize", [&] { return cudaStreamSynchronize(other); }},
      {"stream query", [&] { return cudaStreamQuery(other); }},
      {"device synchronize", [&] { return cudaDeviceSynchronize(); }},
      {"record", [&] { return cudaEventRecord(event, other); }},
      {"event query", [&] { return cudaEventQuery(event); }},
      {"begin capture", [&] { return cudaStreamBeginCapture(other, cudaStreamCaptureModeRelaxed); }},
      {"end capture", [&] { return cudaStreamEndCapture(other, &graph); }},
      {"free", [&] { return cudaFree(values.data() + 1); }},
      {"last error", [&] { return cudaGetLastError(); }},
      {"last error again", [&] { return cudaGetLastError(); }},
  };
  for (const auto& [name, call] : calls) EXPECT_EQ(call(), cudaErrorLaunchFailure) << name;
  EXPECT_THAT(error_of([&] { add(1, other); }),
              ::testing::ContainsRegex("the device is lost, because an earlier kernel failed: kernel launched at "
                                       "runtime_test.cpp:[0-9]+: .*__syncthreads"));
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaSuccess);  // the test restored the device
  EXPECT_EQ(now(), 0);
}

TEST_F(RuntimeTest, AChildProcessCannotUseTheDevice) {
  const pid_t child = ::fork();
  if (child == 0) {
    float* memory = nullptr;
    const bool refused = cudaMalloc(&memory, 4) == cudaErrorInitializationError &&
                         cudaFree(values.data()) == cudaErrorInitializationError &&
                         cudaStreamSynchronize(stream) == cudaErrorInitializationError &&
                         error_of([&] { add(1, stream); }).find("forked") != std::string::npos;
    ::_exit(refused ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
}

TEST_F(RuntimeTest, ElapsedTime) {
  cudaEvent_t end = nullptr;
  ASSERT_EQ(cudaEventCreate(&end), cudaSuccess);
  float milliseconds = -1;
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event, end), cudaErrorInvalidResourceHandle);  // not recorded
  ASSERT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  emulation::enqueue(stream, [] {
    const auto until = std::chrono::steady_clock::now() + std::chrono::milliseconds(3);
    while (std::chrono::steady_clock::now() < until) {
    }
  });
  config().deferred = true;
  ASSERT_EQ(cudaEventRecord(end, stream), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event, end), cudaErrorNotReady);
  ASSERT_EQ(cudaEventSynchronize(end), cudaSuccess);
  EXPECT_EQ(cudaEventElapsedTime(&milliseconds, event, end), cudaSuccess);
  EXPECT_GE(milliseconds, 3.0f);
  EXPECT_EQ(cudaEventDestroy(end), cudaSuccess);
  cudaGetLastError();
}

// ---- graphs ----

TEST_F(RuntimeTest, GraphsReplayWhatWasCaptured) {
  for (const bool deferred : {false, true}) {
    SCOPED_TRACE(deferred);
    config().deferred = deferred;
    ASSERT_EQ(cudaMemset(values.data(), 0, values.bytes()), cudaSuccess);
    const Pinned result(-1);
    float amount = 1;
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
    add(amount, stream);
    amount = 100;  // arguments were copied
    emulation::enqueue(stream, [memory = values.data()] { *memory *= 2; });
    ASSERT_EQ(cudaMemcpyAsync(result.get(), values.data(), sizeof(float), cudaMemcpyDeviceToHost, stream), cudaSuccess);
    cudaGraph_t graph = nullptr;
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(now(), 0);  // nothing has run
    std::size_t nodes = 0;
    EXPECT_EQ(cudaGraphGetNodes(graph, nullptr, &nodes), cudaSuccess);
    EXPECT_EQ(nodes, 3u);

    cudaGraphExec_t executable = nullptr;
    ASSERT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
    ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    const std::uint64_t launches_before = emulation::statistics().graph_launches;
    for (int i = 0; i < 3; ++i) ASSERT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);
    EXPECT_EQ(emulation::statistics().graph_launches, launches_before + 3);
    ASSERT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);  // pending launches still run
    EXPECT_EQ(*result, deferred ? -1 : 14);
    ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
    EXPECT_EQ(*result, 14);  // ((0 + 1) 2 + 1) 2 + 1) 2
  }
}

struct Numbers {
  int count;
  float* target;
};
__global__ void number_kernel(Numbers numbers) { numbers.target[threadIdx.x] = static_cast<float>(numbers.count); }

// A later launch of the graph would use the memory, or a new allocation at its address.
TEST_F(RuntimeTest, MemoryThatAGraphNamesIsNotFreed) {
  float *target = nullptr, *unnamed = nullptr, *host = nullptr;
  ASSERT_EQ(cudaMalloc(&target, 256), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&unnamed, 256), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&host, 256), cudaSuccess);
  const auto capture = [&](const std::function<void()>& work) {
    EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
    work();
    cudaGraph_t graph = nullptr;
    cudaGraphExec_t executable = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
    EXPECT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
    return executable;
  };
  const auto expect_named = [&](const std::function<void()>& work, void* memory, const char* by) {
    const cudaGraphExec_t executable = capture(work);
    EXPECT_THAT(error_of([&] { memory == host ? cudaFreeHost(memory) : cudaFree(memory); }),
                ::testing::ContainsRegex(std::string("freed that a graph still uses: ") + by));
    EXPECT_EQ(cudaGraphLaunch(executable, stream), cudaSuccess);  // the memory still exists
    EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  };
  const auto copy = [&](float* from, float* to, cudaMemcpyKind kind) {
    EXPECT_EQ(cudaMemcpyAsync(to, from, 128, kind, stream), cudaSuccess);
  };
  expect_named(
      [&] {
        launch(copy_kernel, {1, 32, 0, stream}, static_cast<const float*>(values.data()), target + 32);
      },
      target, "argument 2 of the kernel launched at runtime_test.cpp:[0-9]+");
  expect_named([&] { launch(number_kernel, {1, 32, 0, stream}, Numbers{1, target}); }, target, "argument 1 of");
  expect_named([&] { copy(target, host, cudaMemcpyDeviceToHost); }, target, "the source of a copy");
  expect_named([&] { copy(target, host, cudaMemcpyDeviceToHost); }, host, "the target of a copy");
  expect_named([&] { EXPECT_EQ(cudaMemsetAsync(target, 0, 128, stream), cudaSuccess); }, target, "the target of a mem");
  const cudaGraphExec_t executable = capture([&] { add(1, stream); });
  EXPECT_EQ(cudaFree(unnamed), cudaSuccess);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaFree(target), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(host), cudaSuccess);
}

TEST_F(RuntimeTest, CaptureStatus) {
  cudaStreamCaptureStatus status{};
  const auto expect_status = [&](cudaStreamCaptureStatus expected) {
    EXPECT_EQ(cudaStreamIsCapturing(stream, &status), cudaSuccess);
    EXPECT_EQ(status, expected);
  };
  cudaGraph_t graph = nullptr;
  expect_status(cudaStreamCaptureStatusNone);
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureUnmatched);
  EXPECT_EQ(cudaStreamBeginCapture(nullptr, cudaStreamCaptureModeGlobal), cudaErrorStreamCaptureUnsupported);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess);
  expect_status(cudaStreamCaptureStatusActive);
  EXPECT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaErrorInvalidValue);
  EXPECT_EQ(cudaStreamSynchronize(stream), cudaErrorStreamCaptureUnsupported);
  expect_status(cudaStreamCaptureStatusInvalidated);
  EXPECT_THAT(error_of([&] { add(1, stream); }), HasSubstr("capture has failed"));
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(graph, nullptr);
  expect_status(cudaStreamCaptureStatusNone);
}

// During a capture each of these calls is refused and invalidates the capture.
TEST_F(RuntimeTest, CaptureRefusesWhatCannotBeReplayed) {
  std::vector<float> pageable(32);
  float* memory = nullptr;
  ASSERT_EQ(cudaEventRecord(event, other), cudaSuccess);
  const std::pair<const char*, std::function<cudaError_t()>> calls[] = {
      {"stream synchronize", [&] { return cudaStreamSynchronize(stream); }},
      {"stream query", [&] { return cudaStreamQuery(stream); }},
      {"device synchronize", [&] { return cudaDeviceSynchronize(); }},
      {"event query", [&] { return cudaEventQuery(event); }},
      {"event synchronize", [&] { return cudaEventSynchronize(event); }},
      {"malloc", [&] { return cudaMalloc(&memory, 4); }},
      {"free", [&] { return cudaFree(values.data()); }},
      {"copy from pageable memory",
       [&] { return cudaMemcpyAsync(values.data(), pageable.data(), 128, cudaMemcpyHostToDevice, stream); }},
      {"copy to pageable memory",
       [&] { return cudaMemcpyAsync(pageable.data(), values.data(), 128, cudaMemcpyDeviceToHost, stream); }},
  };
  for (const auto& [name, call] : calls) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal), cudaSuccess) << name;
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported) << name;
    EXPECT_EQ(cudaGetLastError(), cudaErrorStreamCaptureUnsupported) << name;
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated) << name;
  }
  EXPECT_EQ(memory, nullptr);
}

TEST_F(RuntimeTest, ARelaxedCaptureAllowsAllocations) {
  float* memory = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
}

// These calls wait for the device, whose work is only being recorded.
TEST_F(RuntimeTest, NoCaptureAllowsWhatWaitsForTheDevice) {
  float *memory = nullptr, *pinned = nullptr;
  ASSERT_EQ(cudaMalloc(&memory, 4), cudaSuccess);
  ASSERT_EQ(cudaMallocHost(&pinned, 4), cudaSuccess);
  const std::pair<const char*, std::function<cudaError_t()>> calls[] = {
      {"free", [&] { return cudaFree(memory); }},
      {"free of pinned memory", [&] { return cudaFreeHost(pinned); }},
      {"device synchronize", [&] { return cudaDeviceSynchronize(); }},
  };
  for (const auto& [name, call] : calls) {
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess) << name;
    EXPECT_EQ(call(), cudaErrorStreamCaptureUnsupported) << name;
    cudaGraph_t graph = nullptr;
    EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated) << name;
    EXPECT_EQ(call(), cudaSuccess) << name;
  }
}

// The default stream waits for blocking streams, so it cannot be used while one captures, in any mode.
TEST_F(RuntimeTest, TheDefaultStreamBesideACapture) {
  cudaStream_t blocking = nullptr;
  ASSERT_EQ(cudaStreamCreate(&blocking), cudaSuccess);
  const Pinned pinned(1);
  cudaGraph_t graph = nullptr;
  cudaGraphExec_t executable = nullptr;
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  ASSERT_EQ(cudaGraphInstantiate(&executable, graph), cudaSuccess);
  ASSERT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  const std::pair<const char*, std::function<cudaError_t()>> calls[] = {
      {"copy", [&] { return cudaMemcpyAsync(values.data(), pinned.get(), 4, cudaMemcpyHostToDevice); }},
      {"blocking copy", [&] { return cudaMemcpy(values.data(), pinned.get(), 4, cudaMemcpyHostToDevice); }},
      {"memset", [&] { return cudaMemsetAsync(values.data(), 0, 4); }},
      {"record", [&] { return cudaEventRecord(event); }},
      {"wait", [&] { return cudaStreamWaitEvent(nullptr, event); }},
      {"synchronize", [&] { return cudaStreamSynchronize(nullptr); }},
      {"query", [&] { return cudaStreamQuery(nullptr); }},
      {"graph", [&] { return cudaGraphLaunch(executable, nullptr); }},
  };
  for (const auto& [name, call] : calls) {
    ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed), cudaSuccess) << name;
    EXPECT_EQ(call(), cudaErrorStreamCaptureImplicit) << name;
    EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated) << name;
    // A stream that does not wait for the default stream is not affected.
    ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess) << name;
    EXPECT_EQ(call(), cudaSuccess) << name;
    ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess) << name;
    EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
  }
  ASSERT_EQ(cudaStreamBeginCapture(blocking, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_THAT(error_of([&] { add(1, nullptr); }), HasSubstr("the default stream takes no work"));
  EXPECT_EQ(cudaStreamEndCapture(blocking, &graph), cudaErrorStreamCaptureInvalidated);
  EXPECT_EQ(cudaGraphExecDestroy(executable), cudaSuccess);
  EXPECT_EQ(cudaStreamDestroy(blocking), cudaSuccess);
}

TEST_F(RuntimeTest, EventsAcrossACapture) {
  ASSERT_EQ(cudaEventRecord(event, other), cudaSuccess);
  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaStreamWaitEvent(stream, event), cudaErrorStreamCaptureIsolation);  // an event outside of it
  cudaGraph_t graph = nullptr;
  EXPECT_EQ(cudaStreamEndCapture(stream, &graph), cudaErrorStreamCaptureInvalidated);

  ASSERT_EQ(cudaStreamBeginCapture(stream, cudaStreamCaptureModeRelaxed), cudaSuccess);
  EXPECT_EQ(cudaEventRecord(event, stream), cudaSuccess);
  EXPECT_EQ(cudaEventQuery(event), cudaErrorCapturedEvent);
  EXPECT_EQ(cudaStreamWaitEvent(stream, event), cudaSuccess);
  ASSERT_EQ(cudaStreamEndCapture(stream, &graph), cudaSuccess);
  EXPECT_EQ(cudaGraphDestroy(graph), cudaSuccess);
}

// ---- memory ----

TEST_F(RuntimeTest, MemoryHasALimit) {
  std::size_t free_before = 0, free_now = 0, total = 0;
  config().memory_limit = 1 << 20;
  ASSERT_EQ(cudaMemGetInfo(&free_before, &total), cudaSuccess);
  EXPECT_EQ(total, std::size_t{1} << 20);
  EXPECT_EQ(free_before, total - values.bytes());
  std::byte *memory = nullptr, *more = nullptr;
  EXPECT_EQ(cudaMalloc(&memory, free_before + 1), cudaErrorMemoryAllocation);
  EXPECT_EQ(memory, nullptr);
  EXPECT_EQ(cudaGetLastError(), cudaErrorMemoryAllocation);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);  // cleared
  ASSERT_EQ(cudaMalloc(&memory, free_before), cudaSuccess);
  EXPECT_EQ(cudaMalloc(&more, 1), cudaErrorMemoryAllocation);
  ASSERT_EQ(cudaMemGetInfo(&free_now, &total), cudaSuccess);
  EXPECT_EQ(free_now, 0u);
  EXPECT_EQ(cudaFree(memory), cudaSuccess);
  ASSERT_EQ(cudaMemGetInfo(&free_now, &total), cudaSuccess);
  EXPECT_EQ(free_now, free_before);
}

TEST_F(RuntimeTest, MemoryIsAlignedAndBeginsAsNaN) {
  for (const std::size_t bytes : {std::size_t{1}, std::size_t{100}, std::size_t{256}, std::size_t{5120}}) {
    std::byte* memory = nullptr;
    ASSERT_EQ(cudaMalloc(&memory, bytes), cudaSuccess);
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(memory) % (bytes % 256 == 0 ? 256 : 16), 0u) << bytes;
    std::vector<std::byte> content(bytes);
    ASSERT_EQ(cudaMemcpy(content.data(), memory, bytes, cudaMemcpyDeviceToHost), cudaSuccess);
    EXPECT_THAT(content, Each(std::byte{0xFF}));
    EXPECT_EQ(cudaFree(memory), cudaSuccess);
  }
}

TEST_F(RuntimeTest, FreeKnowsItsOwn) {
  float* memory = nullptr;
  float local = 0;
  EXPECT_EQ(cudaFree(nullptr), cudaSuccess);
  EXPECT_EQ(cudaFree(&local), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFree(values.data() + 1), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMalloc(&memory, 0), cudaSuccess);
  EXPECT_EQ(memory, nullptr);
  ASSERT_EQ(cudaMallocHost(&memory, 8), cudaSuccess);
  EXPECT_EQ(cudaFree(memory), cudaErrorInvalidValue);
  EXPECT_EQ(cudaFreeHost(memory), cudaSuccess);
  EXPECT_EQ(cudaFreeHost(memory), cudaErrorInvalidValue);
}

TEST_F(RuntimeTest, CopiesKnowTheirDirection) {
  std::vector<float> host(32, 5);
  EXPECT_EQ(cudaMemcpy(host.data(), values.data(), 128, cudaMemcpyHostToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values.data(), host.data(), 128, cudaMemcpyDeviceToDevice), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values.data(), host.data(), 128, cudaMemcpyDefault), cudaSuccess);
  EXPECT_THAT(values.host(), Each(5));
  EXPECT_EQ(cudaMemcpy(values.data() + 1, host.data(), 128, cudaMemcpyHostToDevice),
            cudaErrorInvalidValue);  // too long
  EXPECT_EQ(cudaMemset(values.data(), 0, 129), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemset(host.data(), 0, 128), cudaErrorInvalidValue);
  EXPECT_EQ(cudaMemcpy(values.data() + 16, values.data(), 64, cudaMemcpyDeviceToDevice), cudaSuccess);
  EXPECT_EQ(cudaMemset(values.data(), 0, 64), cudaSuccess);
  EXPECT_EQ(values.host()[15], 0);
  EXPECT_EQ(values.host()[16], 5);
}

TEST_F(RuntimeTest, HostCodeCannotTouchTheDevicesMemory) {
  if (!emulation::device_access_is_checked()) GTEST_SKIP() << "this processor has no protection keys";
  GTEST_FLAG_SET(death_test_style, "threadsafe");  // the default warns if there are threads
  const char* message = "host code touched the device's memory at 0x.*: copy it with cudaMemcpy";
  volatile float* const memory = values.data();
  EXPECT_DEATH(std::printf("%f", static_cast<double>(*memory)), message);
  EXPECT_DEATH(*memory = 1, message);
  // The same on a thread that ran blocks before.
  launch(add_kernel, {64, 32, 0, stream}, values.data(), 0.0f);
  EXPECT_DEATH(*memory = 1, message);
  const Pinned pinned(1);  // belongs to the host
  EXPECT_EQ(*pinned, 1);
}

// On a processor with protection keys, with these.
TEST_F(RuntimeTest, HostAccessIsFoundWithoutProtectionKeys) {
  if (emulation::kAddressSanitizer) return;  // nothing is checked
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  config().protect_without_keys = true;
  float *first = nullptr, *second = nullptr;
  ASSERT_EQ(cudaMalloc(&first, 64 * 32 * sizeof(float)), cudaSuccess);
  ASSERT_EQ(cudaMalloc(&second, sizeof(float)), cudaSuccess);
  const char* message = "host code touched the device's memory at 0x.*: copy it with cudaMemcpy";
  EXPECT_DEATH(*static_cast<volatile float*>(second) = 1, message);
  ASSERT_EQ(cudaMemset(first, 0, 64 * 32 * sizeof(float)), cudaSuccess);
  launch(add_kernel, {64, 32, 0, stream}, first, 2.0f);
  EXPECT_DEATH(*static_cast<volatile float*>(first) = 1, message);
  float host = 0;
  ASSERT_EQ(cudaMemcpy(&host, first + 5, sizeof host, cudaMemcpyDeviceToHost), cudaSuccess);
  EXPECT_EQ(host, 128);  // of 64 blocks
  ASSERT_EQ(cudaFree(first), cudaSuccess);
  EXPECT_DEATH(*static_cast<volatile float*>(second) = 1, message);
  ASSERT_EQ(cudaFree(second), cudaSuccess);
}

TEST_F(RuntimeTest, DeferredCopies) {
  config().deferred = true;
  float pageable = 3;
  // From pageable memory: read before the call returns, written when the stream reaches the copy.
  ASSERT_EQ(cudaMemcpyAsync(values.data(), &pageable, sizeof pageable, cudaMemcpyHostToDevice, stream), cudaSuccess);
  pageable = 4;
  EXPECT_EQ(now(), 0);
  // To pageable memory: written when the call returns.
  float result = 0;
  ASSERT_EQ(cudaMemcpyAsync(&result, values.data(), sizeof result, cudaMemcpyDeviceToHost, stream), cudaSuccess);
  EXPECT_EQ(result, 3);
  // Pinned memory is read and written when the stream reaches the copy.
  const Pinned pinned(7);
  ASSERT_EQ(cudaMemcpyAsync(values.data(), pinned.get(), sizeof(float), cudaMemcpyHostToDevice, stream), cudaSuccess);
  *pinned = 8;
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(now(), 8);
  ASSERT_EQ(cudaMemcpyAsync(pinned.get(), values.data() + 1, sizeof(float), cudaMemcpyDeviceToHost, stream),
            cudaSuccess);
  EXPECT_EQ(*pinned, 8);
  ASSERT_EQ(cudaStreamSynchronize(stream), cudaSuccess);
  EXPECT_EQ(*pinned, 0);
}

// ---- the device ----

TEST_F(RuntimeTest, TheDeviceDescribesItself) {
  int count = 0, device = -1, value = 0;
  EXPECT_EQ(cudaGetDeviceCount(&count), cudaSuccess);
  EXPECT_EQ(count, 1);
  EXPECT_EQ(cudaSetDevice(0), cudaSuccess);
  EXPECT_EQ(cudaSetDevice(1), cudaErrorInvalidDevice);
  EXPECT_EQ(cudaGetDevice(&device), cudaSuccess);
  EXPECT_EQ(device, 0);
  cudaDeviceProp properties{};
  ASSERT_EQ(cudaGetDeviceProperties(&properties, 0), cudaSuccess);
  EXPECT_STREQ(properties.name, "CUDA emulator");
  EXPECT_EQ(properties.major * 10 + properties.minor, 90);
  EXPECT_EQ(properties.warpSize, 32);
  EXPECT_EQ(properties.sharedMemPerBlock, std::size_t{48 << 10});
  EXPECT_EQ(properties.sharedMemPerBlockOptin, std::size_t{227 << 10});
  EXPECT_EQ(cudaDeviceGetAttribute(&value, cudaDevAttrMultiProcessorCount, 0), cudaSuccess);
  EXPECT_EQ(value, properties.multiProcessorCount);
  EXPECT_EQ(cudaGetDeviceProperties(&properties, 1), cudaErrorInvalidDevice);
  EXPECT_STREQ(cudaGetErrorName(cudaErrorMemoryAllocation), "cudaErrorMemoryAllocation");
  EXPECT_STREQ(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory");
}

TEST_F(RuntimeTest, StatisticsCount) {
  const emulation::Statistics before = emulation::statistics();
  launch(add_kernel, {5, 32, 0, stream}, values.data(), 0.0f);
  cudaStreamSynchronize(stream);
  const emulation::Statistics after = emulation::statistics();
  EXPECT_EQ(after.launches - before.launches, 1u);
  EXPECT_EQ(after.blocks - before.blocks, 5u);
  EXPECT_EQ(after.waits - before.waits, 1u);
}

TEST_F(RuntimeTest, ErrorsBecomeExceptions) {
  EXPECT_EQ(error_of([] { check_cuda(cudaSuccess, "cudaMalloc"); }), "");
  EXPECT_THAT(error_of([] { check_cuda(cudaErrorMemoryAllocation, "cudaMalloc"); }),
              ::testing::ContainsRegex("cudaMalloc at .*runtime_test.cpp:[0-9]+: out of memory"));
}

}  // namespace
}  // namespace gradamp::emulated

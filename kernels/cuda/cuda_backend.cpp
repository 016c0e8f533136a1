// SPDX-License-Identifier: MIT
// The backend without its operations: device, memory, reads and recordings.
#include "gradamp/kernels/cuda/cuda_backend.h"

#include <array>
#include <chrono>
#include <fstream>
#include <thread>

#include <fmt/format.h>

#include "gradamp/kernels/cuda/batch_norm.h"
#include "gradamp/kernels/cuda/device_code.h"
#include "gradamp/kernels/cuda/gpu_backends.h"
#include "gradamp/kernels/cuda/hopper_check.h"
#include "gradamp/kernels/cuda/messages.h"

#if defined(GRADAMP_EMULATION)
#include "gradamp/kernels/emulation/config.h"
#endif

namespace gradamp::GRADAMP_GPU {
namespace {

#if defined(GRADAMP_EMULATION) && defined(__SANITIZE_ADDRESS__)
constexpr bool kCached = false;
#else
constexpr bool kCached = true;
#endif

int current_device() {
  int device = 0;
  check_cuda(cudaGetDevice(&device), "cudaGetDevice");
  return device;
}

#if defined(GRADAMP_EMULATION)

constexpr DeviceKind kKind = DeviceKind::kEmulated;

void prepare_device(const BackendOptions& options) {
  emulation::Config& config = emulation::config();
  config.os_threads = options.threads;
  config.thread_order = static_cast<emulation::ThreadOrder>(options.thread_order);
  config.seed = options.shuffle_seed;
}

std::string unusable_reason() { return {}; }

std::string device_text() { return "emulated: the CUDA kernels on this machine's processor"; }

/// The emulated device of a process is its own.
std::string gpu_uuid() { return {}; }

DeviceFacts facts() { return {.name = "emulated", .compute_capability = {}, .uuid = {}, .driver = {}}; }

#else

constexpr DeviceKind kKind = DeviceKind::kCuda;

cudaDeviceProp current_properties() {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, current_device()), "cudaGetDeviceProperties");
  return properties;
}

/// The newest CUDA version that the driver supports; 0 if there is no driver.
int driver_version() {
  int version = 0;
  return cudaDriverGetVersion(&version) == cudaSuccess ? version : 0;
}

/// The reason why no GPU can be used; empty if one can.
std::string unusable_reason() {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error == cudaErrorInsufficientDriver) return driver_text(driver_version(), CUDART_VERSION);
  if (error == cudaErrorNoDevice || (error == cudaSuccess && count == 0)) return "there is no GPU";
  if (error != cudaSuccess) return fmt::format("{} ({})", cudaGetErrorString(error), cudaGetErrorName(error));
  const cudaDeviceProp properties = current_properties();
  if (properties.major < 8) {
    return fmt::format("it needs compute capability 8.0 (Ampere) or newer, {} has {}.{}", properties.name,
                       properties.major, properties.minor);
  }
  cudaFuncAttributes attributes{};
  const cudaError_t code = cudaFuncGetAttributes(&attributes, empty_kernel_address());
  if (code == cudaSuccess) return {};
  cudaGetLastError();  // clears the error, which the next call would return
  return no_code_text(code, {properties.name, properties.major, properties.minor}, GRADAMP_CUDA_ARCHITECTURES,
                      driver_version());
}

void prepare_device(const BackendOptions&) {
  const std::string reason = unusable_reason();
  check(reason.empty(), "the device cuda cannot be used: {}; use the device cpu", reason);
}

std::string device_text() {
  const cudaDeviceProp properties = current_properties();
  return fmt::format("cuda: {} (compute capability {}.{}, {} multiprocessors, {:.0f} GiB), driver for CUDA {}",
                     properties.name, properties.major, properties.minor, properties.multiProcessorCount,
                     static_cast<double>(properties.totalGlobalMem) / (1 << 30), version_text(driver_version()));
}

/// As nvidia-smi prints it.
std::string uuid_of(const cudaDeviceProp& properties) {
  std::string text = "GPU-";
  for (std::size_t i = 0; i < sizeof properties.uuid.bytes; ++i)
    text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                        static_cast<unsigned char>(properties.uuid.bytes[i]));
  return text;
}

std::string gpu_uuid() { return uuid_of(current_properties()); }

DeviceFacts facts() {
  const cudaDeviceProp properties = current_properties();
  DeviceFacts facts;
  facts.name = properties.name;
  facts.compute_capability = fmt::format("{}.{}", properties.major, properties.minor);
  facts.uuid = uuid_of(properties);
  facts.driver = fmt::format("for CUDA {}", version_text(driver_version()));
  std::string module;  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.95.05  ..."; can be hidden in a container
  std::ifstream file("/proc/driver/nvidia/version");
  if (std::getline(file, module)) facts.driver += ", " + module;
  return facts;
}

#endif

/// Prepares the device before the members that need it are constructed.
Precision prepared(const BackendOptions& options) {
  prepare_device(options);
  return options.precision;
}

/// kNaive, kMma or kHopper.
ConvolutionMethod intended_method(const BackendOptions& options) {
  if (options.convolution != ConvolutionMethod::kAuto) return options.convolution;
  const bool may_be_hopper = kKind == DeviceKind::kCuda && options.precision == Precision::kBF16;
  return may_be_hopper ? ConvolutionMethod::kHopper : ConvolutionMethod::kMma;
}

}  // namespace

// ---- The backend ----

CudaBackend::CudaBackend(const BackendOptions& options)
    : precision_(prepared(options)),
      method_(intended_method(options)),
      device_index_(current_device()),
      stream_(make_stream()),
      allocator_(std::make_unique<DeviceMemorySource>(), kCached),
      host_allocator_(std::make_unique<PinnedMemorySource>()),
      recorded_memory_(allocator_),
      completion_counters_(allocator_.allocate(kMaxCompletionCounters * sizeof(unsigned))) {
  fill_zero(completion_counters_.get(), kMaxCompletionCounters * sizeof(unsigned));
  if (method_ != ConvolutionMethod::kHopper) return;
  const HopperRefusal refusal = hopper_refusal(*this);
  if (refusal.reason.empty()) return;
  check(options.convolution == ConvolutionMethod::kAuto,
        "the convolutions hopper cannot be used: {}; use the convolutions mma", refusal.reason);
  method_ = ConvolutionMethod::kMma;
  if (refusal.disagrees) warning_ = fmt::format(", convolutions by mma.sync, since by wgmma: {}", refusal.reason);
}

CudaBackend::~CudaBackend() { cudaStreamSynchronize(stream()); }

Device CudaBackend::device() const { return {kKind}; }

std::string CudaBackend::description() const {
  const char* const by_wgmma = method_ == ConvolutionMethod::kHopper ? ", convolutions by wgmma" : "";
  return fmt::format("{}, {}{}{}", device_text(), name_of(precision_), by_wgmma, warning_);
}

ConvolutionMethod CudaBackend::convolution_method() const {
  return kKind == DeviceKind::kCuda ? method_ : ConvolutionMethod::kAuto;
}

bool CudaBackend::is_capturing() const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream(), &status), "cudaStreamIsCapturing");
  return status != cudaStreamCaptureStatusNone;
}

void CudaBackend::copy_to_device(void* destination, const void* source, std::size_t bytes) {
  if (bytes == 0) return;
  check(!is_capturing(), "a recording may not copy from the host: the copy would be of that memory at each replay");
  check_cuda(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyHostToDevice, stream()), "cudaMemcpyAsync");
  synchronize();  // the caller may change the source after the return
}

void CudaBackend::copy_to_host(void* destination, const void* source, std::size_t bytes) {
  check(!is_capturing(), "a recording may not wait for the device");
  if (bytes > 0)
    check_cuda(cudaMemcpyAsync(destination, source, bytes, cudaMemcpyDeviceToHost, stream()), "cudaMemcpyAsync");
  synchronize();
}

void CudaBackend::fill_zero(void* destination, std::size_t bytes) {
  if (bytes > 0) check_cuda(cudaMemsetAsync(destination, 0, bytes, stream()), "cudaMemsetAsync");
}

MatrixProduct& CudaBackend::matrix_product() {
  if (!matrix_product_) {
    check(!is_capturing(),
          "a recording's first replay must do the same work as the later ones: it had no large matrix product");
    matrix_product_ = std::make_unique<MatrixProduct>(stream(), allocator_);
  }
  return *matrix_product_;
}

void CudaBackend::enter_thread() { check_cuda(cudaSetDevice(device_index_), "cudaSetDevice"); }

void CudaBackend::synchronize() {
  wait(
      "cudaStreamSynchronize", [this] { return cudaStreamQuery(stream()); },
      [this] { return cudaStreamSynchronize(stream()); });
}

template <typename Query, typename Wait>
void CudaBackend::wait(const char* call, Query query, Wait wait_alone) const {
  const std::shared_ptr<NcclRanks> ranks = ranks_.lock();
  if (!ranks) return check_cuda(wait_alone(), call);
  // The device may wait for a rank that no longer exists, so the host must be able to give up.
  using Clock = std::chrono::steady_clock;
  const Clock::time_point begin = Clock::now();
  for (;;) {
    const cudaError_t state = query();
    if (state != cudaErrorNotReady) return check_cuda(state, call);
    try {
      ranks->check_others();
      const double seconds = std::chrono::duration<double>(Clock::now() - begin).count();
      check(
          seconds < ranks->timeout(),
          "the device of rank {} has waited for {:g} s: another rank hangs or has ended, or its work takes longer than "
          "--rank-timeout allows",
          ranks->rank(), ranks->timeout());
    } catch (...) {
      ranks->abort();
      throw;
    }
    std::this_thread::sleep_for(std::chrono::microseconds(20));
  }
}

std::unique_ptr<TensorExchange> CudaBackend::connect(Communicator& ranks) {
  check(!is_capturing(), "a recording may not connect the device with other ranks");
  const auto connection = std::make_shared<NcclRanks>(ranks, gpu_uuid());
  ranks_ = connection;
  return std::make_unique<NcclExchange>(stream(), connection);
}

void CudaBackend::release_unused_memory() {
  if (graphs_ == 0) recorded_memory_.give_back();
  allocator_.release_unused();
}

// ---- Reads ----

class CudaBackend::StreamRead final : public PendingRead {
 public:
  StreamRead(CudaBackend& backend, const Tensor& source)
      : backend_(backend), size_(source.bytes()), copy_(backend.host_allocator_.allocate(size_)), event_(make_event()) {
    check_cuda(cudaMemcpyAsync(copy_.get(), source.raw_data(), size_, cudaMemcpyDeviceToHost, backend.stream()),
               "cudaMemcpyAsync");
    check_cuda(cudaEventRecord(event_.get(), backend.stream()), "cudaEventRecord");
  }
  ~StreamRead() override {
    if (!arrived_) cudaEventSynchronize(event_.get());  // before the memory is reused
  }

  bool ready() override {
    if (arrived_) return true;
    const cudaError_t state = cudaEventQuery(event_.get());
    if (state != cudaErrorNotReady) check_cuda(state, "cudaEventQuery");
    return arrived_ = state == cudaSuccess;
  }
  std::span<const std::byte> bytes() override {
    if (!arrived_) {
      backend_.wait(
          "cudaEventSynchronize", [this] { return cudaEventQuery(event_.get()); },
          [this] { return cudaEventSynchronize(event_.get()); });
    }
    arrived_ = true;
    return {static_cast<const std::byte*>(copy_.get()), size_};
  }

 private:
  CudaBackend& backend_;
  std::size_t size_;
  std::shared_ptr<void> copy_;
  Event event_;
  bool arrived_ = false;
};

std::unique_ptr<PendingRead> CudaBackend::start_read(const Tensor& source) {
  check(!is_capturing(), "a recording may not start a read: only one replay could be waited for");
  return std::make_unique<StreamRead>(*this, source);
}

// ---- Recordings ----

/// The first replay runs the work without a graph, so that everything that is loaded or allocated at first use is
/// ready. The second replay captures the work as a graph and launches it. Later replays launch the graph.
class CudaBackend::GraphRecording final : public Recording {
 public:
  GraphRecording(CudaBackend& backend, std::function<void()> work) : backend_(backend), work_(std::move(work)) {}

  ~GraphRecording() override { backend_.graphs_ -= graph_ ? 1 : 0; }

  void replay() override {
    if (!warm_) {
      const CachingAllocator::Reservation::Scope scope(backend_.recorded_memory_);
      work_();
      warm_ = true;
      return;
    }
    if (!graph_) {
      graph_ = capture();
      ++backend_.graphs_;
    }
    check_cuda(cudaGraphLaunch(graph_.get(), backend_.stream()), "cudaGraphLaunch");
  }

 private:
  GraphExecutable capture() {
    check_cuda(cudaStreamBeginCapture(backend_.stream(), cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
    cudaGraph_t captured{};
    try {
      const CachingAllocator::Reservation::Scope scope(backend_.recorded_memory_);
      work_();
    } catch (...) {
      cudaStreamEndCapture(backend_.stream(), &captured);
      const Graph unused(captured);
      throw;
    }
    check_cuda(cudaStreamEndCapture(backend_.stream(), &captured), "cudaStreamEndCapture");
    const Graph graph(captured);
    return GraphExecutable(instantiate(graph.get()));
  }

  /// A graph needs a little device memory, which the allocator's cache may hold.
  cudaGraphExec_t instantiate(cudaGraph_t graph) {
    cudaGraphExec_t executable{};
    cudaError_t error = cudaGraphInstantiate(&executable, graph, 0);
    if (error == cudaErrorMemoryAllocation) {
      cudaGetLastError();
      backend_.allocator_.release_unused();
      error = cudaGraphInstantiate(&executable, graph, 0);
    }
    check_cuda(error, "cudaGraphInstantiate");
    return executable;
  }

  CudaBackend& backend_;
  std::function<void()> work_;
  GraphExecutable graph_;
  bool warm_ = false;
};

std::unique_ptr<Recording> CudaBackend::record(std::function<void()> work) {
  return std::make_unique<GraphRecording>(*this, std::move(work));
}

// ---- Entry points ----

std::unique_ptr<Backend> make_backend(const BackendOptions& options) { return std::make_unique<CudaBackend>(options); }

DeviceStatus status() {
  const std::string reason = unusable_reason();
  if (reason.empty()) return {{kKind}, true, device_text()};
  return {{kKind}, false, fmt::format("{}: cannot be used: {}", name_of(kKind), reason)};
}

#if !defined(GRADAMP_EMULATION)

void select_gpu_of_rank(int local_rank) {
  int count = 0;
  check_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (count == 1) return;  // all ranks of this host see one, or each its own
  check(local_rank < count,
        "expected at most one rank per GPU, got {} or more ranks on a host where {} GPUs are visible", local_rank + 1,
        count);
  check_cuda(cudaSetDevice(local_rank), "cudaSetDevice");
}

std::string gpu_of_rank(int local_rank) {
  if (!unusable_reason().empty()) return {};
  int count = 0;
  check_cuda(cudaGetDeviceCount(&count), "cudaGetDeviceCount");
  if (count > 1 && local_rank >= count) return {};
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, count > 1 ? local_rank : 0), "cudaGetDeviceProperties");
  return uuid_of(properties);
}

#endif

DeviceFacts device_facts() {
  prepare_device({});
  return facts();
}

std::optional<Precision> precision_of(const Backend& backend) {
  const auto* ours = dynamic_cast<const CudaBackend*>(&backend);
  return ours == nullptr ? std::nullopt : std::optional(ours->precision());
}

}  // namespace gradamp::GRADAMP_GPU

// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/cpu_backend.h"

#include <sys/mman.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>
#include <vector>

#include "gradamp/core/processors.h"
#include "gradamp/core/thread_pool.h"

namespace gradamp {
namespace {

#if defined(__SANITIZE_ADDRESS__)
constexpr bool kCached = false;
#else
constexpr bool kCached = true;
#endif

/// The host's memory; large blocks are aligned to 2 MiB, for huge pages.
class HostMemory final : public MemorySource {
 public:
  void* allocate(std::size_t bytes) override {
    const bool large = bytes >= kHugePage;
    void* memory = nullptr;
    if (posix_memalign(&memory, large ? kHugePage : kAlignment, bytes) != 0) return nullptr;
    if (large) madvise(memory, bytes, MADV_HUGEPAGE);
    return memory;
  }
  void release(void* memory, std::size_t) noexcept override { std::free(memory); }

 private:
  static constexpr std::size_t kAlignment = 64;
  static constexpr std::size_t kHugePage = std::size_t{2} << 20;
};

/// Its replay is the work itself: there is nothing to be gained by recording it.
class DirectRecording final : public Recording {
 public:
  explicit DirectRecording(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

/// What a description says about the method: nothing about the usual one. Other methods give other bits.
const char* note_of(ConvolutionMethod method) {
  switch (method) {
    case ConvolutionMethod::kAuto: return "";
    case ConvolutionMethod::kDirect: return ", direct convolutions only";
    case ConvolutionMethod::kWinograd: return ", Winograd convolutions wherever possible";
    default: break;
  }
  fail("the device cpu has no {} convolutions", name_of(method));
}

class FinishedRead final : public PendingRead {
 public:
  explicit FinishedRead(const Tensor& source) : bytes_(source.bytes()) { source.copy_bytes_to_host(bytes_); }
  bool ready() override { return true; }
  std::span<const std::byte> bytes() override { return bytes_; }

 private:
  std::vector<std::byte> bytes_;
};

}  // namespace

CpuBackend::CpuBackend(int threads, ConvolutionMethod convolution, DType activations, InstructionSet set)
    : threads_(std::min(threads > 0 ? threads : default_threads(), kMaxPoolThreads)),
      convolution_(convolution),
      activations_(activations),
      instruction_set_(set),
      kernels_(simd_kernels(set)),
      allocator_(std::make_unique<HostMemory>(), kCached) {}

std::string CpuBackend::description() const {
  return fmt::format("cpu: {} threads, {}{}", threads_, name_of(instruction_set_), note_of(convolution_));
}

std::shared_ptr<void> CpuBackend::allocate(std::size_t bytes) { return allocator_.allocate(bytes); }

void CpuBackend::copy_to_device(void* destination, const void* source, std::size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

void CpuBackend::copy_to_host(void* destination, const void* source, std::size_t bytes) {
  if (bytes > 0) std::memcpy(destination, source, bytes);
}

void CpuBackend::fill_zero(void* destination, std::size_t bytes) {
  if (bytes > 0) std::memset(destination, 0, bytes);
}

std::unique_ptr<PendingRead> CpuBackend::start_read(const Tensor& source) {
  return std::make_unique<FinishedRead>(source);
}

std::unique_ptr<Recording> CpuBackend::record(std::function<void()> work) {
  return std::make_unique<DirectRecording>(std::move(work));
}

std::unique_ptr<TensorExchange> CpuBackend::connect(Communicator& ranks) {
  return std::make_unique<HostTensorExchange>(ranks);
}

}  // namespace gradamp

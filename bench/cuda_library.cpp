// SPDX-License-Identifier: MIT
// bench/gpu_library.h by CUDA's runtime and cuBLAS, and nothing of ours.
#include <algorithm>
#include <vector>

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include "bench/bench_support.h"
#include "bench/cuda_objects.h"
#include "bench/gpu_library.h"
#include "core/bf16.h"

namespace gradamp::bench {
namespace {

void check_cublas(cublasStatus_t status, const char* call) {
  check(status == CUBLAS_STATUS_SUCCESS, "{}: cuBLAS reports '{}'", call, cublasGetStatusString(status));
}

/// Seconds of the work that `enqueue` puts into the stream: the best of several rounds, by events.
template <typename Enqueue>
double best_seconds(cudaStream_t stream, const Enqueue& enqueue) {
  constexpr int kWarm = 3, kRounds = 7;
  const CudaEvent begin, end;
  for (int i = 0; i < kWarm; ++i) enqueue();
  float best = 0;
  for (int round = 0; round < kRounds; ++round) {
    check_cuda(cudaEventRecord(begin.get(), stream), "cudaEventRecord");
    enqueue();
    check_cuda(cudaEventRecord(end.get(), stream), "cudaEventRecord");
    check_cuda(cudaEventSynchronize(end.get()), "cudaEventSynchronize");
    float milliseconds = 0;
    check_cuda(cudaEventElapsedTime(&milliseconds, begin.get(), end.get()), "cudaEventElapsedTime");
    best = round == 0 ? milliseconds : std::min(best, milliseconds);
  }
  return static_cast<double>(best) / 1e3;
}

class CublasHandle {
 public:
  explicit CublasHandle(cudaStream_t stream) {
    check_cublas(cublasCreate(&handle_), "cublasCreate");
    check_cublas(cublasSetStream(handle_, stream), "cublasSetStream");
  }
  ~CublasHandle() { cublasDestroy(handle_); }
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;
  cublasHandle_t get() const { return handle_; }

 private:
  cublasHandle_t handle_ = nullptr;
};

/// A matrix of random numbers: a product of zeros is faster than one of data.
void upload_random(CudaMemory& memory, std::int64_t count, bool bf16, std::uint32_t substream) {
  const std::vector<float> values = random_values(count, substream);
  if (!bf16) {
    check_cuda(cudaMemcpy(memory.get(), values.data(), values.size() * sizeof(float), cudaMemcpyHostToDevice),
               "cudaMemcpy");
    return;
  }
  std::vector<std::uint16_t> rounded(values.size());
  std::transform(values.begin(), values.end(), rounded.begin(), to_bf16);
  check_cuda(cudaMemcpy(memory.get(), rounded.data(), rounded.size() * sizeof(std::uint16_t), cudaMemcpyHostToDevice),
             "cudaMemcpy");
}

}  // namespace

std::optional<double> library_copy_rate(std::size_t bytes) {
  constexpr std::size_t kRotated = std::size_t{256} << 20, kMostSets = 64;
  const std::size_t sets = std::clamp<std::size_t>(kRotated / bytes, 1, kMostSets), calls = 4 * sets;
  const CudaStream stream;
  const CudaMemory from(sets * bytes), to(sets * bytes);
  check_cuda(cudaMemset(from.get(), 0x5a, sets * bytes), "cudaMemset");
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const auto copy_all = [&] {
    for (std::size_t i = 0; i < calls; ++i) {
      const std::size_t offset = i % sets * bytes;
      check_cuda(cudaMemcpyAsync(static_cast<std::byte*>(to.get()) + offset,
                                 static_cast<const std::byte*>(from.get()) + offset, bytes, cudaMemcpyDeviceToDevice,
                                 stream.get()),
                 "cudaMemcpyAsync");
    }
  };
  const CudaGraph graph(stream.get(), copy_all);
  // A recorded copy may be done by another engine than one that is asked for directly.
  const double seconds =
      std::min(best_seconds(stream.get(), copy_all), best_seconds(stream.get(), [&] { graph.launch(stream.get()); }));
  return 2.0 * static_cast<double>(bytes) * static_cast<double>(calls) / seconds;
}

std::optional<double> library_matrix_rate(Precision precision) {
  constexpr int kSize = 8192;
  constexpr std::int64_t kCount = std::int64_t{kSize} * kSize;
  const bool bf16 = precision == Precision::kBF16;
  const std::size_t bytes = static_cast<std::size_t>(kCount) * (bf16 ? 2 : 4);
  const CudaStream stream;
  const CublasHandle cublas(stream.get());
  CudaMemory a(bytes), b(bytes);
  const CudaMemory c(bytes);
  upload_random(a, kCount, bf16, 1);
  upload_random(b, kCount, bf16, 2);
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const cudaDataType_t type = bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t compute = precision == Precision::kTF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const float one = 1.0f, zero = 0.0f;
  constexpr int kCalls = 5;
  const auto multiply = [&] {
    check_cublas(cublasGemmEx(cublas.get(), CUBLAS_OP_T, CUBLAS_OP_N, kSize, kSize, kSize, &one, a.get(), type, kSize,
                              b.get(), type, kSize, &zero, c.get(), type, kSize, compute, CUBLAS_GEMM_DEFAULT),
                 "cublasGemmEx");
  };
  const double seconds = best_seconds(stream.get(), [&] {
    for (int i = 0; i < kCalls; ++i) multiply();
  });
  return kCalls * 2.0 * kSize * kSize * kSize / seconds;
}

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
// Implements bench/cuda_library.h with CUDA's runtime and cuBLAS, and nothing of ours. cuBLAS is loaded at its first
// use, so that the benchmarks also run if it is not installed.
#include "gradamp/bench/cuda_library.h"

#include <algorithm>
#include <type_traits>
#include <vector>

#include <cublas_v2.h>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/cuda/cuda_objects.h"
#include "gradamp/core/bf16.h"
#include "gradamp/kernels/cuda/shared_library.h"

#define GRADAMP_TEXT_OF(value) #value
#define GRADAMP_TEXT(value) GRADAMP_TEXT_OF(value)

namespace gradamp::bench {
namespace {

using cuda::check_cuda;
using cuda::CudaEvent;
using cuda::CudaGraph;
using cuda::CudaMemory;
using cuda::CudaStream;

/// The header also has an overload of cublasGemmEx, so decltype cannot be used.
using GemmEx = cublasStatus_t(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                              const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                              cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t);
static_assert(std::is_same_v<decltype(static_cast<GemmEx*>(cublasGemmEx)), GemmEx*>);

/// The functions of cuBLAS that we call. In the library, the names of some have a suffix that the header hides.
struct CublasLibrary {
  SharedLibrary file{"libcublas.so." GRADAMP_TEXT(CUBLAS_VER_MAJOR), GRADAMP_BENCH_LIBRARIES};
  decltype(cublasCreate_v2)* create = file.find<decltype(cublasCreate_v2)>("cublasCreate_v2");
  decltype(cublasDestroy_v2)* destroy = file.find<decltype(cublasDestroy_v2)>("cublasDestroy_v2");
  decltype(cublasSetStream_v2)* set_stream = file.find<decltype(cublasSetStream_v2)>("cublasSetStream_v2");
  GemmEx* gemm = file.find<GemmEx>("cublasGemmEx");
  decltype(cublasGetStatusString)* status_string = file.find<decltype(cublasGetStatusString)>("cublasGetStatusString");

  void check_status(cublasStatus_t status, const char* call) const {
    check(status == CUBLAS_STATUS_SUCCESS, "{}: cuBLAS reports '{}'", call, status_string(status));
  }
};

/// Seconds of the work that `enqueue` puts into the stream: the best of several rounds, timed by events.
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
  CublasHandle(const CublasLibrary& library, cudaStream_t stream) : library_(library) {
    library_.check_status(library_.create(&handle_), "cublasCreate");
    library_.check_status(library_.set_stream(handle_, stream), "cublasSetStream");
  }
  ~CublasHandle() { library_.destroy(handle_); }
  CublasHandle(const CublasHandle&) = delete;
  CublasHandle& operator=(const CublasHandle&) = delete;
  cublasHandle_t get() const { return handle_; }

 private:
  const CublasLibrary& library_;
  cublasHandle_t handle_ = nullptr;
};

/// Fills a matrix with random numbers, since a product of zeros is faster than one of real data.
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

double copy_rate(std::size_t bytes, std::size_t rotated) {
  constexpr std::size_t kMaxSets = 64;
  const std::size_t sets = std::clamp<std::size_t>(rotated / bytes, 1, kMaxSets), calls = 4 * sets;
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
  // A recorded copy can use another copy engine than a direct one.
  const double seconds =
      std::min(best_seconds(stream.get(), copy_all), best_seconds(stream.get(), [&] { graph.launch(stream.get()); }));
  return 2.0 * static_cast<double>(bytes) * static_cast<double>(calls) / seconds;
}

double matrix_rate(Precision precision, int size) {
  const CublasLibrary library;
  const std::int64_t count = std::int64_t{size} * size;
  const bool bf16 = precision == Precision::kBF16;
  const std::size_t bytes = static_cast<std::size_t>(count) * (bf16 ? 2 : 4);
  const CudaStream stream;
  const CublasHandle cublas(library, stream.get());
  CudaMemory a(bytes), b(bytes);
  const CudaMemory c(bytes);
  upload_random(a, count, bf16, 1);
  upload_random(b, count, bf16, 2);
  check_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
  const cudaDataType_t type = bf16 ? CUDA_R_16BF : CUDA_R_32F;
  const cublasComputeType_t compute = precision == Precision::kTF32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F;
  const float one = 1.0f, zero = 0.0f;
  constexpr int kCalls = 5;
  const auto multiply = [&] {
    library.check_status(
        library.gemm(cublas.get(), CUBLAS_OP_T, CUBLAS_OP_N, size, size, size, &one, a.get(), type, size, b.get(), type,
                     size, &zero, c.get(), type, size, compute, CUBLAS_GEMM_DEFAULT),
        "cublasGemmEx");
  };
  const double seconds = best_seconds(stream.get(), [&] {
    for (int i = 0; i < kCalls; ++i) multiply();
  });
  return kCalls * 2.0 * static_cast<double>(count) * size / seconds;
}

}  // namespace

LibraryRate library_copy_rate(std::size_t bytes, std::size_t rotated) {
  try {
    return {copy_rate(bytes, rotated), ""};
  } catch (const Error& error) {
    return {0, error.what()};
  }
}

LibraryRate library_matrix_rate(Precision precision, int size) {
  try {
    return {matrix_rate(precision, size), ""};
  } catch (const Error& error) {
    return {0, error.what()};
  }
}

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/matrix_product.h"

#if defined(GRADAMP_EMULATION)

#include <algorithm>
#include <cstdint>

// The emulator's version: plain loops, in the stream's order like a kernel.
namespace gradamp::emulated {

struct MatrixProduct::Library {
  cudaStream_t stream;
};

MatrixProduct::MatrixProduct(cudaStream_t stream, CachingAllocator&) : library_(new Library{stream}) {}
MatrixProduct::~MatrixProduct() = default;

void MatrixProduct::multiply(Transposed a_transposed, Transposed b_transposed, int m, int n, int k, const float* a,
                             const float* b, float* c) const {
  emulation::enqueue(library_->stream, [=] {
    const std::int64_t rows = m, columns = n, depth = k;
    const auto a_at = [&](std::int64_t i, std::int64_t l) {
      return a[a_transposed == Transposed::kYes ? l * rows + i : i * depth + l];
    };
    for (std::int64_t i = 0; i < rows; ++i) {
      float* const c_row = c + i * columns;
      if (b_transposed == Transposed::kYes) {  // the inner loop runs along b's rows, which are contiguous
        for (std::int64_t j = 0; j < columns; ++j) {
          float sum = 0;
          for (std::int64_t l = 0; l < depth; ++l) sum += a_at(i, l) * b[j * depth + l];
          c_row[j] = sum;
        }
      } else {
        std::fill_n(c_row, columns, 0.0f);
        for (std::int64_t l = 0; l < depth; ++l) {
          const float factor = a_at(i, l);
          for (std::int64_t j = 0; j < columns; ++j) c_row[j] += factor * b[l * columns + j];
        }
      }
    }
  });
}

}  // namespace gradamp::emulated

#else

// cuBLAS, loaded at the first large product, so that the program also runs if it is not installed.

#include <cublas_v2.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/cuda/shared_library.h"

#define GRADAMP_TEXT_OF(value) #value
#define GRADAMP_TEXT(value) GRADAMP_TEXT_OF(value)

namespace gradamp::cuda {
namespace {

/// Workspace for cuBLAS, which would otherwise allocate its own inside a capture. NVIDIA recommends 32 MiB for Hopper.
constexpr std::size_t kWorkspaceBytes = std::size_t{32} << 20;

/// In the library, a function that replaced an older one has a suffix in its name (_v2).
constexpr const char* kLibrary = "libcublas.so." GRADAMP_TEXT(CUBLAS_VER_MAJOR);

}  // namespace

struct MatrixProduct::Library {
  SharedLibrary file{kLibrary, GRADAMP_CUDA_LIBRARIES};
  decltype(cublasCreate_v2)* create = file.find<decltype(cublasCreate_v2)>("cublasCreate_v2");
  decltype(cublasDestroy_v2)* destroy = file.find<decltype(cublasDestroy_v2)>("cublasDestroy_v2");
  decltype(cublasSetStream_v2)* set_stream = file.find<decltype(cublasSetStream_v2)>("cublasSetStream_v2");
  decltype(cublasSetWorkspace_v2)* set_workspace = file.find<decltype(cublasSetWorkspace_v2)>("cublasSetWorkspace_v2");
  decltype(cublasSgemm_v2)* sgemm = file.find<decltype(cublasSgemm_v2)>("cublasSgemm_v2");
  decltype(cublasGetStatusString)* status_string = file.find<decltype(cublasGetStatusString)>("cublasGetStatusString");
  std::shared_ptr<void> workspace;
  std::unique_ptr<cublasContext, decltype(destroy)> handle{nullptr, destroy};

  void check_status(cublasStatus_t status, const char* call) const {
    check(status == CUBLAS_STATUS_SUCCESS, "{}: cuBLAS reports '{}'", call, status_string(status));
  }

  Library(cudaStream_t stream, CachingAllocator& allocator) : workspace(allocator.allocate(kWorkspaceBytes)) {
    cublasHandle_t created = nullptr;
    check_status(create(&created), "cublasCreate");
    handle.reset(created);
    check_status(set_stream(created, stream), "cublasSetStream");
    check_status(set_workspace(created, workspace.get(), kWorkspaceBytes), "cublasSetWorkspace");
  }
};

MatrixProduct::MatrixProduct(cudaStream_t stream, CachingAllocator& allocator)
    : library_(std::make_unique<Library>(stream, allocator)) {}
MatrixProduct::~MatrixProduct() = default;

void MatrixProduct::multiply(Transposed a_transposed, Transposed b_transposed, int m, int n, int k, const float* a,
                             const float* b, float* c) const {
  // cuBLAS is column-major: a row-major matrix is its transpose there, and c^T = op(b)^T op(a)^T.
  const auto operation = [](Transposed transposed) {
    return transposed == Transposed::kYes ? CUBLAS_OP_T : CUBLAS_OP_N;
  };
  const float one = 1.0f, zero = 0.0f;
  library_->check_status(library_->sgemm(library_->handle.get(), operation(b_transposed), operation(a_transposed), n, m,
                                         k, &one, b, b_transposed == Transposed::kYes ? k : n, a,
                                         a_transposed == Transposed::kYes ? m : k, &zero, c, n),
                         "cublasSgemm");
}

}  // namespace gradamp::cuda

#endif

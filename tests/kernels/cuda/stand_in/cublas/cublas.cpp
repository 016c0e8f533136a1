// SPDX-License-Identifier: MIT
// A stand-in for cuBLAS, a shared library that replaces it: it checks the calls' arguments, and the program that loaded
// it computes the product (blas_product.cpp).
#include <cublas_v2.h>
#include <dlfcn.h>

#include <cstddef>
#include <cstdint>

struct cublasContext {
  cudaStream_t stream = nullptr;
  void* workspace = nullptr;
};

namespace {

/// A function of the program, which exports it for this purpose.
template <typename Function>
Function* of_program(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_DEFAULT, name));
}

bool is_alive(cublasHandle_t handle) { return handle != nullptr; }

}  // namespace

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  *handle = nullptr;
  using Usable = bool();
  if (!of_program<Usable>("stand_in_device_is_usable")()) return CUBLAS_STATUS_NOT_INITIALIZED;
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}

cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  if (!is_alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}

/// Resets the workspace to the library's own (cuBLAS manual, cublasSetStream).
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  if (!is_alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  handle->stream = stream;
  handle->workspace = nullptr;
  return CUBLAS_STATUS_SUCCESS;
}

/// The workspace must be aligned to 256 bytes (cuBLAS manual, cublasSetWorkspace).
cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t handle, void* workspace, std::size_t bytes) {
  if (!is_alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (reinterpret_cast<std::uintptr_t>(workspace) % 256 != 0 || bytes == 0) return CUBLAS_STATUS_INVALID_VALUE;
  handle->workspace = workspace;
  return CUBLAS_STATUS_SUCCESS;
}

/// Supports only the engine's use: alpha = 1, beta = 0 and dense matrices. Fails inside a capture without a workspace,
/// since the library would allocate its own there.
cublasStatus_t cublasSgemm_v2(cublasHandle_t handle, cublasOperation_t a_operation, cublasOperation_t b_operation,
                              int m, int n, int k, const float* alpha, const float* a, int lda, const float* b, int ldb,
                              const float* beta, float* c, int ldc) {
  if (!is_alive(handle)) return CUBLAS_STATUS_NOT_INITIALIZED;
  if (m <= 0 || n <= 0 || k <= 0 || ldc != m || lda != (a_operation == CUBLAS_OP_N ? m : k) ||
      ldb != (b_operation == CUBLAS_OP_N ? k : n))
    return CUBLAS_STATUS_INVALID_VALUE;
  if (*alpha != 1.0f || *beta != 0.0f) return CUBLAS_STATUS_NOT_SUPPORTED;
  using Capturing = bool(void*);
  if (of_program<Capturing>("stand_in_is_capturing")(handle->stream) && handle->workspace == nullptr)
    return CUBLAS_STATUS_EXECUTION_FAILED;
  // Column-major c = op(a) op(b) is row-major c^T = op(b)^T op(a)^T.
  using Product = void(void*, bool, bool, int, int, int, const float*, const float*, float*);
  of_program<Product>("stand_in_product")(handle->stream, b_operation == CUBLAS_OP_T, a_operation == CUBLAS_OP_T, n, m,
                                          k, b, a, c);
  return CUBLAS_STATUS_SUCCESS;
}

/// A benchmark's ceiling, which the stand-in does not compute.
cublasStatus_t cublasGemmEx(cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void*,
                            const void*, cudaDataType, int, const void*, cudaDataType, int, const void*, void*,
                            cudaDataType, int, cublasComputeType_t, cublasGemmAlgo_t) {
  return CUBLAS_STATUS_NOT_SUPPORTED;
}

const char* cublasGetStatusString(cublasStatus_t status) {
  switch (status) {
    case CUBLAS_STATUS_SUCCESS: return "the function completed successfully";
    case CUBLAS_STATUS_NOT_INITIALIZED: return "the library was not initialized";
    case CUBLAS_STATUS_INVALID_VALUE: return "an unsupported value or parameter was passed to the function";
    case CUBLAS_STATUS_EXECUTION_FAILED: return "the GPU program failed to execute";
    default: return "the functionality requested is not supported";
  }
}

}  // extern "C"

// SPDX-License-Identifier: MIT
#include "kernels/cpu/cpu_backend.h"

#include <cstring>

#include <omp.h>

#include "kernels/cpu/onednn.h"

namespace gradamp {

CpuBackend::CpuBackend(int threads)
    : threads_(threads > 0 ? threads : omp_get_max_threads()), onednn_(std::make_unique<OneDnn>()) {}

CpuBackend::~CpuBackend() = default;

std::string CpuBackend::description() const {
  const dnnl_version_t* version = dnnl_version();
  return fmt::format("cpu: {} threads, oneDNN {}.{}.{}", threads_, version->major, version->minor, version->patch);
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

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/bench/cuda/cudnn_library.h"

#include <array>

namespace gradamp::bench {

const CudnnLibrary& cudnn() {
  static const CudnnLibrary library;
  return library;
}

void check_cudnn(cudnnStatus_t status, const char* call) {
  if (status == CUDNN_STATUS_SUCCESS) return;
  std::array<char, 1024> message{};
  cudnn().last_error_string(message.data(), message.size() - 1);
  fail("{}: cuDNN reports '{}' ({})", call, cudnn().error_string(status), message.data());
}

}  // namespace gradamp::bench

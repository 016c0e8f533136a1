// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/stream_devices.h"

#include <map>
#include <mutex>

namespace gradamp::stand_in {
namespace {

std::mutex mutex;
std::map<cudaStream_t, int>& devices() {
  static std::map<cudaStream_t, int> map;
  return map;
}

}  // namespace

int& current_device() {
  static thread_local int device = 0;
  return device;
}

void add_stream(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  devices()[stream] = current_device();
}

void remove_stream(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  devices().erase(stream);
}

bool is_of_current_device(cudaStream_t stream) {
  const std::lock_guard lock(mutex);
  const auto found = devices().find(stream);
  return found == devices().end() || found->second == current_device();
}

}  // namespace gradamp::stand_in

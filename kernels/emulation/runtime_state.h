// SPDX-License-Identifier: MIT
// What the runtime's words share: the streams there are, and one lock for all of it.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/runtime.h"
#include "gradamp/kernels/emulation/stream.h"

namespace gradamp::emulation {

class RuntimeState {
 public:
  static RuntimeState& instance();

  /// Held while a word of the runtime works; work that runs may use such words.
  std::recursive_mutex mutex;

  Stream& stream(emulated::cudaStream_t handle) { return handle ? *handle : *default_stream_; }
  bool is_default(const Stream& stream) const { return &stream == default_stream_.get(); }
  const std::vector<std::shared_ptr<Stream>>& streams() const { return streams_; }  // with the default stream
  Stream* create_stream(bool blocking);
  /// Null where there is no such stream.
  std::shared_ptr<Stream> remove_stream(emulated::cudaStream_t handle);

  /// cudaSuccess, or why no word works any more: a kernel failed, or this is a child of the process that used the
  /// device.
  emulated::cudaError_t unusable() const;
  /// Work on the device failed: drops what is queued, and nothing works from then on. `why` is for messages.
  void lose_device(const std::string& why);
  /// While the mutex is held.
  const std::string& why_lost() const { return why_lost_; }
  /// For tests: the device works again. CUDA has no such thing.
  void restore_device();

  /// The graphs that can be launched.
  std::vector<std::shared_ptr<const Graph>> executables;
  /// Error if one of them names memory of this allocation.
  void check_unnamed(const void* allocation) const;

  /// Runs all that was handed to any stream.
  void run_all();

  /// The work of all streams that work on `stream` waits for by itself: CUDA's rule for the default stream.
  std::vector<Stream::Position> implied_prerequisites(const Stream& stream);

  /// For calls that a capture does not allow: ends the captures that it would harm; false where there was one.
  bool allowed_beside_captures();
  /// For calls that wait for the whole device, which no capture allows: ends every capture; false if there was one.
  bool device_can_be_waited_for();
  /// Whether `stream` takes work now, or can be waited for: an error if its capture has failed, or if it is the default
  /// stream while a stream that waits for it captures. That capture is ended then.
  emulated::cudaError_t accepts_work(const Stream& stream);

 private:
  RuntimeState();

  std::shared_ptr<Stream> default_stream_;
  std::vector<std::shared_ptr<Stream>> streams_;
  const int process_;  // that uses the device
  std::atomic<bool> lost_ = false;
  std::string why_lost_;
};

/// Remembers `error` for cudaGetLastError.
emulated::cudaError_t returned(emulated::cudaError_t error);

}  // namespace gradamp::emulation

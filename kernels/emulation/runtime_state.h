// SPDX-License-Identifier: MIT
// The state that the runtime's functions share: the streams, and one lock for all of it.
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

  /// Held while a runtime function runs. Recursive, since work that runs may call such functions.
  std::recursive_mutex mutex;

  Stream& stream(emulated::cudaStream_t handle) { return handle ? *handle : *default_stream_; }
  bool is_default(const Stream& stream) const { return &stream == default_stream_.get(); }
  const std::vector<std::shared_ptr<Stream>>& streams() const { return streams_; }  // with the default stream
  Stream* create_stream(bool blocking);
  /// Null if there is no such stream.
  std::shared_ptr<Stream> remove_stream(emulated::cudaStream_t handle);

  /// cudaSuccess, or the error that every call returns: a kernel failed, or this is a child of the process that used
  /// the device.
  emulated::cudaError_t unusable() const;
  /// Called if work on the device failed: drops queued work and makes the device unusable. `why` is for messages.
  void lose_device(const std::string& why);
  /// Call it while the mutex is held.
  const std::string& why_lost() const { return why_lost_; }
  /// For tests: makes the device usable again. CUDA has no such function.
  void restore_device();

  /// The graphs that can be launched.
  std::vector<std::shared_ptr<const Graph>> executables;
  /// Error if one of them contains an address in this allocation.
  void check_unnamed(const void* allocation) const;

  /// Runs all queued work of every stream.
  void run_all();

  /// The pending work of other streams for which new work on `stream` must wait by CUDA's rule for the default stream.
  std::vector<Stream::Position> implied_prerequisites(const Stream& stream);

  /// For calls that a capture forbids: invalidates the captures that forbid it; false if there was one.
  bool allowed_beside_captures();
  /// For calls that wait for the whole device, which every capture forbids: invalidates all; false if there was one.
  bool device_can_be_waited_for();
  /// Whether `stream` accepts work, or a wait, now. An error if its capture has failed. Also an error, which
  /// invalidates the capture, if it is the default stream while a blocking stream captures.
  emulated::cudaError_t accepts_work(const Stream& stream);

 private:
  RuntimeState();

  std::shared_ptr<Stream> default_stream_;
  std::vector<std::shared_ptr<Stream>> streams_;
  const int process_;  // the one that uses the device
  std::atomic<bool> lost_ = false;
  std::string why_lost_;
};

/// Stores `error` for cudaGetLastError and returns it. `why`: for messages.
emulated::cudaError_t returned(emulated::cudaError_t error, std::string why = "");

/// Why the last call on this OS thread that failed did so; may be "".
std::string why_refused();
/// How often the program has looked at a call's error by cudaGetLastError or cudaPeekAtLastError.
int looks_at_errors();

}  // namespace gradamp::emulation

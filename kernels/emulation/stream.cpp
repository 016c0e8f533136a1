// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/stream.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <exception>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/device_access.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/runtime_state.h"

namespace gradamp::emulation {

void Stream::push(Work work, std::vector<Position> prerequisites) {
  queue_.push_back({std::move(work), std::move(prerequisites)});
  ++pushed_;
  if (!config().deferred) run_all();
}

void Stream::run_until(std::uint64_t count) {
  while (done_ < count) {
    const Item item = std::move(queue_.front());
    queue_.pop_front();
    for (const Position& position : item.prerequisites) position.stream->run_until(position.count);
    ++done_;
    try {
      const DeviceAccess access;
      item.work();
    } catch (const std::exception& error) {
      RuntimeState::instance().lose_device(error.what());
      throw;
    }
  }
}

void Stream::drop_all() {
  queue_.clear();
  done_ = pushed_;
}

RuntimeState& RuntimeState::instance() {
  static auto* state = new RuntimeState;  // outlives objects that destroy a stream at exit
  return *state;
}

RuntimeState::RuntimeState()
    : default_stream_(std::make_shared<Stream>(true)), streams_{default_stream_}, process_(getpid()) {}

Stream* RuntimeState::create_stream(bool blocking) {
  streams_.push_back(std::make_shared<Stream>(blocking));
  return streams_.back().get();
}

std::shared_ptr<Stream> RuntimeState::remove_stream(emulated::cudaStream_t handle) {
  const auto found =
      std::find_if(streams_.begin(), streams_.end(), [&](const auto& stream) { return stream.get() == handle; });
  if (found == streams_.end()) return nullptr;
  std::shared_ptr<Stream> stream = *found;
  streams_.erase(found);
  return stream;
}

emulated::cudaError_t RuntimeState::unusable() const {
  if (getpid() != process_) return emulated::cudaErrorInitializationError;
  return lost_ ? emulated::cudaErrorLaunchFailure : emulated::cudaSuccess;
}

void RuntimeState::lose_device(const std::string& why) {
  const std::lock_guard lock(mutex);
  if (!lost_) why_lost_ = why;
  lost_ = true;
  for (const auto& stream : streams_) stream->drop_all();
}

void RuntimeState::restore_device() {
  const std::lock_guard lock(mutex);
  lost_ = false;
}

void RuntimeState::run_all() {
  for (std::size_t i = 0; i < streams_.size(); ++i) streams_[i]->run_all();
}

std::vector<Stream::Position> RuntimeState::implied_prerequisites(const Stream& stream) {
  std::vector<Stream::Position> positions;
  if (!stream.blocking()) return positions;
  if (!is_default(stream)) {
    if (!default_stream_->idle()) positions.push_back(default_stream_->end());
    return positions;
  }
  for (const auto& other : streams_)
    if (other->blocking() && other.get() != &stream && !other->idle()) positions.push_back(other->end());
  return positions;
}

bool RuntimeState::allowed_beside_captures() {
  bool allowed = true;
  for (const auto& stream : streams_) {
    if (!stream->capture || stream->capture->mode == CaptureMode::kRelaxed) continue;
    if (stream->capture->mode == CaptureMode::kThreadLocal && stream->capture->thread != std::this_thread::get_id())
      continue;
    stream->capture->invalidated = true;
    allowed = false;
  }
  return allowed;
}

bool RuntimeState::device_can_be_waited_for() {
  bool allowed = true;
  for (const auto& stream : streams_) {
    if (!stream->capture) continue;
    stream->capture->invalidated = true;
    allowed = false;
  }
  return allowed;
}

emulated::cudaError_t RuntimeState::accepts_work(const Stream& stream) {
  if (stream.capture)
    return stream.capture->invalidated ? emulated::cudaErrorStreamCaptureInvalidated : emulated::cudaSuccess;
  if (!is_default(stream)) return emulated::cudaSuccess;
  emulated::cudaError_t error = emulated::cudaSuccess;
  for (const auto& other : streams_) {
    if (!other->capture || !other->blocking()) continue;
    other->capture->invalidated = true;
    error = emulated::cudaErrorStreamCaptureImplicit;
  }
  return error;
}

std::shared_ptr<Graph> graph_of_capture(Stream* handle) {
  RuntimeState& state = RuntimeState::instance();
  const std::lock_guard lock(state.mutex);
  const Stream& stream = state.stream(handle);
  return stream.capture ? stream.capture->graph : nullptr;
}

void name_memory(Graph& graph, const void* bytes, std::size_t size, const std::string& by) {
  const auto* first = static_cast<const char*>(bytes);
  for (std::size_t offset = 0; offset + sizeof(void*) <= size; offset += sizeof(void*)) {
    const void* address = nullptr;
    std::memcpy(&address, first + offset, sizeof address);
    if (DeviceMemory::instance().allocation_of(address)) graph.memory.push_back({address, by});
  }
}

void RuntimeState::check_unnamed(const void* allocation) const {
  const DeviceMemory& memory = DeviceMemory::instance();
  for (const auto& graph : executables)
    for (const NamedMemory& named : graph->memory)
      check(memory.allocation_of(named.address) != allocation,
            "memory is freed that a graph still uses: {} points to it", named.by);
}

void enqueue(Stream* handle, Work work) {
  RuntimeState& state = RuntimeState::instance();
  const emulated::cudaError_t unusable = state.unusable();
  check(unusable != emulated::cudaErrorInitializationError,
        "this process was forked from one that used the device: it cannot use it");
  const std::lock_guard lock(state.mutex);
  check(unusable == emulated::cudaSuccess, "the device is lost, because an earlier kernel failed: {}",
        state.why_lost());
  Stream& stream = state.stream(handle);
  const emulated::cudaError_t refused = state.accepts_work(stream);
  check(refused != emulated::cudaErrorStreamCaptureInvalidated,
        "the stream's capture has failed: it takes no more work until it is ended");
  check(refused != emulated::cudaErrorStreamCaptureImplicit,
        "the default stream takes no work while a stream that waits for it captures");
  if (stream.capture) {
    stream.capture->graph->nodes.push_back(std::move(work));
    return;
  }
  stream.push(std::move(work), state.implied_prerequisites(stream));
}

}  // namespace gradamp::emulation

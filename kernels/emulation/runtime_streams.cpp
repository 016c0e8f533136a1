// SPDX-License-Identifier: MIT
// Streams, events and graphs.
#include <algorithm>
#include <utility>

#include "gradamp/kernels/emulation/counters.h"
#include "gradamp/kernels/emulation/runtime.h"
#include "gradamp/kernels/emulation/runtime_state.h"

namespace gradamp::emulated {

using emulation::Capture;
using emulation::CaptureMode;
using emulation::Event;
using emulation::Graph;
using emulation::returned;
using emulation::RuntimeState;
using emulation::Stream;

// Handles to graphs; launches that have not run keep the graph's contents alive.
struct EmulatedGraph {
  std::shared_ptr<Graph> graph;
};
struct EmulatedGraphExec {
  std::shared_ptr<const Graph> graph;
};

namespace {

// Invalidates the capture of a stream that received a call which captures forbid.
cudaError_t refuse(Capture& capture) {
  capture.invalidated = true;
  return returned(cudaErrorStreamCaptureUnsupported);
}

// Runs the work before the event, but returns its status from before the call.
cudaError_t query(Stream& stream, std::uint64_t count) {
  if (stream.done() >= count) return cudaSuccess;
  stream.run_until(count);
  return cudaErrorNotReady;  // not an error, so not stored for cudaGetLastError
}

}  // namespace

// ---- streams ----

cudaError_t cudaStreamCreate(cudaStream_t* stream) { return cudaStreamCreateWithFlags(stream, cudaStreamDefault); }

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  *stream = state.create_stream(flags != cudaStreamNonBlocking);
  return cudaSuccess;
}

cudaError_t cudaStreamDestroy(cudaStream_t handle) {
  RuntimeState& state = RuntimeState::instance();
  const cudaError_t unusable = state.unusable();
  if (unusable == cudaErrorInitializationError) return returned(unusable);
  const std::lock_guard lock(state.mutex);
  if (!handle) return returned(cudaErrorInvalidResourceHandle);
  const std::shared_ptr<Stream> stream = state.remove_stream(handle);
  if (!stream) return returned(cudaErrorInvalidResourceHandle);
  stream->capture.reset();
  stream->run_all();
  return returned(unusable);
}

cudaError_t cudaStreamSynchronize(cudaStream_t handle) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  Stream& stream = state.stream(handle);
  if (stream.capture) return refuse(*stream.capture);
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  emulation::count_wait();
  stream.run_all();
  return cudaSuccess;
}

cudaError_t cudaStreamQuery(cudaStream_t handle) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  Stream& stream = state.stream(handle);
  if (stream.capture) return refuse(*stream.capture);
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  return query(stream, stream.end().count);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t handle, cudaEvent_t event, unsigned) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  Stream& stream = state.stream(handle);
  if (stream.capture) {
    // The stream's own order already includes an event of the same capture.
    if (event->captured && event->position.stream.get() == &stream) return cudaSuccess;
    stream.capture->invalidated = true;
    return returned(cudaErrorStreamCaptureIsolation);
  }
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  if (event->captured) return returned(cudaErrorStreamCaptureUnsupported);  // a capture over several streams
  if (!event->position.stream) return cudaSuccess;                          // never recorded
  std::vector<Stream::Position> prerequisites = state.implied_prerequisites(stream);
  prerequisites.push_back(event->position);
  stream.push([] {}, std::move(prerequisites));
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  if (!state.device_can_be_waited_for()) return returned(cudaErrorStreamCaptureUnsupported);
  emulation::count_wait();
  state.run_all();
  return cudaSuccess;
}

// ---- events ----

cudaError_t cudaEventCreate(cudaEvent_t* event) { return cudaEventCreateWithFlags(event, cudaEventDefault); }

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  if (const cudaError_t error = RuntimeState::instance().unusable(); error != cudaSuccess) return returned(error);
  *event = std::make_unique<Event>().release();
  (*event)->timed = (flags & cudaEventDisableTiming) == 0;
  return cudaSuccess;
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  const std::unique_ptr<Event> owner(event);
  return returned(event ? RuntimeState::instance().unusable() : cudaErrorInvalidResourceHandle);
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t handle) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  Stream& stream = state.stream(handle);
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  event->captured = stream.capture.has_value();
  event->time.reset();
  event->position = stream.end();
  if (stream.capture) return cudaSuccess;
  event->time = std::make_shared<std::chrono::steady_clock::time_point>();
  stream.push([time = event->time] { *time = std::chrono::steady_clock::now(); }, state.implied_prerequisites(stream));
  event->position = stream.end();
  return cudaSuccess;
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  if (event->captured) return returned(cudaErrorCapturedEvent);
  if (!state.allowed_beside_captures()) return returned(cudaErrorStreamCaptureUnsupported);
  return event->position.stream ? query(*event->position.stream, event->position.count) : cudaSuccess;
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  if (event->captured) return returned(cudaErrorCapturedEvent);
  if (!state.allowed_beside_captures()) return returned(cudaErrorStreamCaptureUnsupported);
  emulation::count_wait();
  if (event->position.stream) event->position.stream->run_until(event->position.count);
  return cudaSuccess;
}

cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t begin, cudaEvent_t end) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  for (const Event* event : {begin, end}) {
    if (!event->timed || !event->time) return returned(cudaErrorInvalidResourceHandle);
    if (event->position.stream->done() < event->position.count) return cudaErrorNotReady;
  }
  *milliseconds = std::chrono::duration<float, std::milli>(*end->time - *begin->time).count();
  return cudaSuccess;
}

// ---- graphs ----

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, cudaStreamCaptureMode mode) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  if (!handle) return returned(cudaErrorStreamCaptureUnsupported);
  if (handle->capture) return returned(cudaErrorInvalidValue);
  handle->capture =
      Capture{static_cast<CaptureMode>(mode), std::this_thread::get_id(), std::make_shared<Graph>(), false};
  return cudaSuccess;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t* graph) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  *graph = nullptr;
  if (!handle || !handle->capture) return returned(cudaErrorStreamCaptureUnmatched);
  const Capture capture = std::move(*handle->capture);
  handle->capture.reset();
  if (capture.invalidated) return returned(cudaErrorStreamCaptureInvalidated);
  *graph = std::make_unique<EmulatedGraph>(EmulatedGraph{capture.graph}).release();
  return cudaSuccess;
}

cudaError_t cudaStreamIsCapturing(cudaStream_t handle, cudaStreamCaptureStatus* status) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  const Stream& stream = state.stream(handle);
  *status = !stream.capture               ? cudaStreamCaptureStatusNone
            : stream.capture->invalidated ? cudaStreamCaptureStatusInvalidated
                                          : cudaStreamCaptureStatusActive;
  return cudaSuccess;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t* nodes, std::size_t* count) {
  if (const cudaError_t error = RuntimeState::instance().unusable(); error != cudaSuccess) return returned(error);
  if (nodes) return returned(cudaErrorInvalidValue);
  *count = graph->graph->nodes.size();
  return cudaSuccess;
}

cudaError_t cudaGraphInstantiate(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  if (const cudaError_t error = RuntimeState::instance().unusable(); error != cudaSuccess) return returned(error);
  RuntimeState& state = RuntimeState::instance();
  const std::lock_guard lock(state.mutex);
  state.executables.push_back(graph->graph);
  *executable = std::make_unique<EmulatedGraphExec>(EmulatedGraphExec{graph->graph}).release();
  return cudaSuccess;
}

cudaError_t cudaGraphUpload(cudaGraphExec_t, cudaStream_t) { return returned(RuntimeState::instance().unusable()); }

cudaError_t cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t handle) {
  RuntimeState& state = RuntimeState::instance();
  if (const cudaError_t error = state.unusable(); error != cudaSuccess) return returned(error);
  const std::lock_guard lock(state.mutex);
  const Stream& stream = state.stream(handle);
  if (const cudaError_t error = state.accepts_work(stream); error != cudaSuccess) return returned(error);
  emulation::count_graph_launch();
  emulation::enqueue(handle, [graph = executable->graph] {
    for (const emulation::Work& node : graph->nodes) node();
  });
  return cudaSuccess;
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
  const std::unique_ptr<EmulatedGraph> owner(graph);
  return returned(graph ? RuntimeState::instance().unusable() : cudaErrorInvalidValue);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t executable) {
  RuntimeState& state = RuntimeState::instance();
  if (state.unusable() == cudaErrorInitializationError) return returned(cudaErrorInitializationError);
  const std::lock_guard lock(state.mutex);
  const std::unique_ptr<EmulatedGraphExec> owner(executable);
  auto& graphs = state.executables;
  if (executable) graphs.erase(std::find(graphs.begin(), graphs.end(), executable->graph));
  return returned(executable ? RuntimeState::instance().unusable() : cudaErrorInvalidValue);
}

}  // namespace gradamp::emulated

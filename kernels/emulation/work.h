// SPDX-License-Identifier: MIT
// How work gets into a stream: what launches and the runtime's declarations need of stream.h, with few headers, because
// every kernel file includes it.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>

namespace gradamp::emulation {

class Stream;
struct Event;
struct Graph;

using Work = std::function<void()>;

/// Queues work other than kernels and copies on a stream (null: the default stream), for example to replace a library
/// call. While the stream captures, the work becomes part of the graph. Error if the stream accepts no work.
void enqueue(Stream* stream, Work work);

/// The graph that `stream` captures into; null if it does not capture.
std::shared_ptr<Graph> graph_of_capture(Stream* stream);

/// Records in the graph every aligned word of these bytes, an argument, that is an address in allocated memory.
void name_memory(Graph& graph, const void* bytes, std::size_t size, const std::string& by);

}  // namespace gradamp::emulation

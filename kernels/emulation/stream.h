// SPDX-License-Identifier: MIT
// Streams, events and graphs: when the work that a program hands to the device is done.
//
// Work runs at once, or, where config().deferred says so, when the program waits for it. While a stream captures, work
// goes into a graph instead.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace gradamp::emulation {

using Work = std::function<void()>;

/// An address that captured work was given, and by what: "argument 2 of the kernel launched at gather.cu:70".
struct NamedMemory {
  const void* address;
  std::string by;
};

/// The work of a captured stream, in order. The memory that it names must not be freed while the graph can be launched.
struct Graph {
  std::vector<Work> nodes;
  std::vector<NamedMemory> memory;
};

enum class CaptureMode { kGlobal, kThreadLocal, kRelaxed };

struct Capture {
  CaptureMode mode;
  std::thread::id thread;
  std::shared_ptr<Graph> graph;
  bool invalidated = false;
};

class Stream : public std::enable_shared_from_this<Stream> {
 public:
  /// A place in a stream: all the work before it.
  struct Position {
    std::shared_ptr<Stream> stream;
    std::uint64_t count = 0;
  };

  explicit Stream(bool blocking) : blocking_(blocking) {}

  /// Hands over work; it waits for `prerequisites`, too.
  void push(Work work, std::vector<Position> prerequisites = {});
  /// Runs what is before `count`, and what that waits for.
  void run_until(std::uint64_t count);
  void run_all() { run_until(pushed_); }
  /// Forgets work that has not run.
  void drop_all();
  bool idle() const { return done_ == pushed_; }
  Position end() { return {shared_from_this(), pushed_}; }
  std::uint64_t done() const { return done_; }

  /// Whether work on the default stream and on this one wait for each other.
  bool blocking() const { return blocking_; }

  std::optional<Capture> capture;

 private:
  struct Item {
    Work work;
    std::vector<Position> prerequisites;
  };

  bool blocking_;
  std::deque<Item> queue_;
  std::uint64_t pushed_ = 0;
  std::uint64_t done_ = 0;
};

struct Event {
  Stream::Position position;  // no stream: never recorded
  bool captured = false;      // recorded last while its stream captured
  bool timed = true;
  /// When what was before it had run.
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
};

/// Work on a stream (null: the default stream) beside the kernels and copies: what stands in for a library's call. It
/// joins a graph while the stream captures. Error where the stream takes none.
void enqueue(Stream* stream, Work work);

/// The graph that `stream` captures into; null if it does not capture.
std::shared_ptr<Graph> graph_of_capture(Stream* stream);

/// Every aligned word in these bytes, an argument, that is an address in allocated memory is named by the graph.
void name_memory(Graph& graph, const void* bytes, std::size_t size, const std::string& by);

}  // namespace gradamp::emulation

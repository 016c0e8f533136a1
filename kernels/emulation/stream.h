// SPDX-License-Identifier: MIT
// Streams, events and graphs: when the work that a program hands to the device is done.
//
// Work runs at once, or, where config().deferred says so, when the program waits for it. While a stream captures, work
// goes into a graph instead.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

namespace gradamp::emulation {

using Work = std::function<void()>;

/// The work of a captured stream, in order.
struct Graph {
  std::vector<Work> nodes;
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

}  // namespace gradamp::emulation

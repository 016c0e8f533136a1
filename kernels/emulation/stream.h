// SPDX-License-Identifier: MIT
// Streams, events and graphs: when the work that a program issues to the device runs.
//
// Work runs at once or, if config().deferred is set, when the program waits for it. While a stream captures, its work
// becomes a node of a graph instead.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gradamp/kernels/emulation/work.h"

namespace gradamp::emulation {

/// An address that captured work received, and its origin: "argument 2 of the kernel launched at gather.cu:70".
struct NamedMemory {
  const void* address;
  std::string by;
};

/// The work of a captured stream, in order. Its memory must not be freed while the graph can be launched.
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
  /// A position in a stream: stands for all the work before it.
  struct Position {
    std::shared_ptr<Stream> stream;
    std::uint64_t count = 0;
  };

  explicit Stream(bool blocking) : blocking_(blocking) {}

  /// Queues work, which also waits for `prerequisites`.
  void push(Work work, std::vector<Position> prerequisites = {});
  /// Runs the work before `count` and its prerequisites.
  void run_until(std::uint64_t count);
  void run_all() { run_until(pushed_); }
  /// Drops work that has not run.
  void drop_all();
  bool idle() const { return done_ == pushed_; }
  Position end() { return {shared_from_this(), pushed_}; }
  std::uint64_t done() const { return done_; }

  /// Whether this stream and the default stream wait for each other.
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
  bool captured = false;      // its last recording was in a capture
  bool timed = true;
  /// The time when the work before the event had run.
  std::shared_ptr<std::chrono::steady_clock::time_point> time;
};

}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
// Lockstep: several functions that go on in turn, from one meeting to the next, as the forwards of a batch's shards
// from one batch norm to the next:
//
//     function 0   ---|          |------|           |---
//     function 1      |---       |      |-----      |   |---
//     function 2         |---work|            |-work|       |---
//                     first meeting        second meeting
//
// Each has a thread of its own, but one at a time runs, and always in this order: so they may use one Backend.
#pragma once

#include <condition_variable>
#include <exception>
#include <functional>
#include <mutex>
#include <vector>

namespace gradamp {

class Lockstep {
 public:
  /// For `count` functions. `on_turn(i)` is called on the thread of function i whenever it begins or goes on.
  Lockstep(int count, std::function<void(int i)> on_turn);
  Lockstep(const Lockstep&) = delete;
  Lockstep& operator=(const Lockstep&) = delete;

  /// Calls body(i) for each function and returns when all have returned. If one throws, the others are ended by an
  /// exception at their next meeting, and the first exception is rethrown. Error if they do not meet equally often, or
  /// if the system does not permit as many threads.
  void run(const std::function<void(int i)>& body);
  /// Function i calls it: waits until all others have come to this meeting. The last one then calls its `work`, once.
  void meet(int i, const std::function<void()>& work);

 private:
  void run_one(int i, const std::function<void(int i)>& body);
  void wait_for_turn(int i);
  void pass_turn(int i);
  void keep_error();
  void check_meetings(int i) const;

  int count_;
  std::function<void(int i)> on_turn_;
  std::mutex mutex_;  // protects all below; the function whose turn it is may read what it has written
  std::condition_variable turn_has_passed_;
  int turn_ = -1;  // -1: nobody's
  std::vector<bool> has_ended_;
  std::vector<int> meetings_;  // of each function
  std::exception_ptr error_;   // the first
};

}  // namespace gradamp

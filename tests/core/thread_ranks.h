// SPDX-License-Identifier: MIT
// Ranks of a run as threads of this process.
#pragma once

#include <atomic>
#include <barrier>
#include <cstring>
#include <exception>
#include <functional>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "gradamp/core/communicator.h"
#include "gradamp/core/error.h"

namespace gradamp::test {

class ThreadRanks {
 public:
  explicit ThreadRanks(int size)
      : barrier_(size), sent_(static_cast<std::size_t>(size)), failures_(static_cast<std::size_t>(size)) {}

  /// Calls `work` in a thread for each rank. If some throw, throws what the lowest of them threw; the exchanges of the
  /// others then throw, too.
  void run(const std::function<void(Communicator&)>& work) {
    std::vector<std::thread> threads;
    for (std::size_t r = 0; r < sent_.size(); ++r) {
      threads.emplace_back([&, r] {
        Rank rank(*this, static_cast<int>(r));
        try {
          work(rank);
        } catch (...) {
          failures_[r] = std::current_exception();
          has_failed_ = true;
          barrier_.arrive_and_drop();
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    for (const std::exception_ptr& failure : failures_)
      if (failure) std::rethrow_exception(failure);
  }

 private:
  class Rank final : public Communicator {
   public:
    Rank(ThreadRanks& all, int rank) : all_(all), rank_(rank) {}
    int rank() const override { return rank_; }
    int size() const override { return static_cast<int>(all_.sent_.size()); }
    std::string name_of(int rank) const override { return fmt::format("rank {}", rank); }

   protected:
    void move_bytes(std::span<const std::span<const std::byte>> send,
                    std::span<const std::span<std::byte>> receive) override {
      all_.sent_[static_cast<std::size_t>(rank_)] = send;
      all_.wait();
      for (std::size_t r = 0; r < receive.size(); ++r) {
        if (static_cast<int>(r) == rank_ || receive[r].empty()) continue;
        const std::span<const std::byte> block = all_.sent_[r][static_cast<std::size_t>(rank_)];
        check(block.size() == receive[r].size(), "expected {} bytes from rank {}, got {}", receive[r].size(), r,
              block.size());
        std::memcpy(receive[r].data(), block.data(), block.size());
      }
      all_.wait();
    }

   private:
    ThreadRanks& all_;
    int rank_;
  };

  void wait() {
    barrier_.arrive_and_wait();
    check(!has_failed_, "another rank has failed");
  }

  std::barrier<> barrier_;
  std::atomic<bool> has_failed_ = false;
  std::vector<std::span<const std::span<const std::byte>>> sent_;
  std::vector<std::exception_ptr> failures_;
};

}  // namespace gradamp::test

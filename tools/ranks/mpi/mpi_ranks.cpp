// SPDX-License-Identifier: MIT
// RankProcess by MPI: messages between two ranks, sent and received without blocking, so that a wait can end and can
// say which rank it was for.
#include <algorithm>
#include <array>
#include <chrono>
#include <cstdio>
#include <exception>
#include <thread>
#include <vector>

#include <fmt/ranges.h>
#include <mpi.h>

#include "gradamp/core/error.h"
#include "gradamp/tools/ranks/ranks.h"

namespace gradamp {
namespace {

enum Tag : int { kData, kFailure, kSpeaks };
// In seconds, after a rank other than 0 has failed: until rank 0 has answered, and until it has then said what failed
// and ended all ranks. If it does not, the lowest rank that waits does it.
constexpr double kPatience = 10, kPatienceToSpeak = 60, kBetweenRanks = 2;

using Clock = std::chrono::steady_clock;

void succeed(int result, const char* call) {
  if (result == MPI_SUCCESS) return;
  std::array<char, MPI_MAX_ERROR_STRING> text{};
  int length = 0;
  MPI_Error_string(result, text.data(), &length);
  fail("{}: {}", call, std::string(text.data(), static_cast<std::size_t>(length)));
}

/// Pauses between looks at a message: at first short ones, since ranks are about equally fast.
class Pause {
 public:
  void operator()() {
    if (++looks_ < kShort) {
      std::this_thread::yield();
    } else {
      std::this_thread::sleep_for(std::chrono::microseconds(50));
    }
  }

 private:
  static constexpr int kShort = 2000;
  int looks_ = 0;
};

class MpiRanks final : public RankProcess {
 public:
  explicit MpiRanks(double timeout) : timeout_(timeout) {
    int provided = 0;  // shards in step (optim/training/lockstep.h) exchange on threads of their own
    succeed(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
    check(provided >= MPI_THREAD_SERIALIZED,
          "expected an MPI with which any thread may communicate (MPI_THREAD_SERIALIZED), got one for the first thread "
          "alone; install another one, or build that one with support for threads");
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    succeed(MPI_Comm_rank(MPI_COMM_WORLD, &rank_), "MPI_Comm_rank");
    succeed(MPI_Comm_size(MPI_COMM_WORLD, &size_), "MPI_Comm_size");
    std::array<char, MPI_MAX_PROCESSOR_NAME> name{};
    int length = 0;
    succeed(MPI_Get_processor_name(name.data(), &length), "MPI_Get_processor_name");
    hosts_ = std::vector<std::string>(static_cast<std::size_t>(size_));
    hosts_ = all_gather_texts(*this, std::string(name.data(), static_cast<std::size_t>(length)));
  }

  ~MpiRanks() override {
    // After an error the others may wait for messages, so that this would wait for ever: abort() ends them.
    if (std::uncaught_exceptions() == 0) MPI_Finalize();
  }

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  int local_size() const override {
    return static_cast<int>(std::count(hosts_.begin(), hosts_.end(), hosts_[static_cast<std::size_t>(rank_)]));
  }
  int local_rank() const override {
    const auto own = hosts_.begin() + rank_;
    return static_cast<int>(std::count(hosts_.begin(), own, *own));
  }
  double timeout() const override { return timeout_; }
  std::string name_of(int rank) const override {
    const std::string& host = hosts_[static_cast<std::size_t>(rank)];
    return fmt::format("rank {}{}", rank, host.empty() ? "" : " on " + host);
  }

  void report_failure(const std::string& message) override {
    MPI_Request request{};
    succeed(MPI_Isend(message.data(), part_of(message.size()), MPI_BYTE, 0, kFailure, MPI_COMM_WORLD, &request),
            "MPI_Isend");
    const Clock::time_point begin = Clock::now();
    double patience = std::min(timeout_, kPatience);
    for (Pause pause; seconds_since(begin) < patience + kBetweenRanks * rank_; pause()) {
      int ignored = 0, speaks = 0;
      MPI_Test(&request, &ignored, MPI_STATUS_IGNORE);
      MPI_Iprobe(0, kSpeaks, MPI_COMM_WORLD, &speaks, MPI_STATUS_IGNORE);
      if (speaks != 0) patience = kPatienceToSpeak;
    }
  }

  void abort(int exit_code) override {
    std::fflush(nullptr);
    MPI_Abort(MPI_COMM_WORLD, exit_code);
    std::terminate();
  }

 protected:
  void move_bytes(std::span<const std::span<const std::byte>> send,
                  std::span<const std::span<std::byte>> receive) override {
    std::vector<MPI_Request> requests;
    std::vector<int> peers;  // of each request
    for (int r = 0; r < size_; ++r) {
      if (r == rank_) continue;
      for (std::span<std::byte> left = receive[static_cast<std::size_t>(r)]; !left.empty();) {
        const int count = part_of(left.size());
        peers.push_back(r);
        succeed(MPI_Irecv(left.data(), count, MPI_BYTE, r, kData, MPI_COMM_WORLD, &requests.emplace_back()),
                "MPI_Irecv");
        left = left.subspan(static_cast<std::size_t>(count));
      }
    }
    for (int step = 1; step < size_; ++step) {
      const int r = (rank_ + step) % size_;  // not all to rank 0 first
      for (std::span<const std::byte> left = send[static_cast<std::size_t>(r)]; !left.empty();) {
        const int count = part_of(left.size());
        peers.push_back(r);
        succeed(MPI_Isend(left.data(), count, MPI_BYTE, r, kData, MPI_COMM_WORLD, &requests.emplace_back()),
                "MPI_Isend");
        left = left.subspan(static_cast<std::size_t>(count));
      }
    }
    wait_for(requests, peers);
  }

 private:
  /// MPI counts with int.
  static int part_of(std::size_t bytes) { return static_cast<int>(std::min<std::size_t>(bytes, 1 << 30)); }
  static double seconds_since(Clock::time_point begin) {
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  /// Waits for all requests. Error if none of them ends for `timeout` seconds.
  void wait_for(std::vector<MPI_Request>& requests, const std::vector<int>& peers) {
    std::vector<int> ended(requests.size());
    std::size_t left = requests.size();
    Clock::time_point last = Clock::now();
    Pause pause;
    while (left > 0) {
      int count = 0;
      succeed(
          MPI_Testsome(static_cast<int>(requests.size()), requests.data(), &count, ended.data(), MPI_STATUSES_IGNORE),
          "MPI_Testsome");
      if (count > 0) {
        left -= static_cast<std::size_t>(count);
        last = Clock::now();
        continue;
      }
      throw_failure_of_other();
      if (seconds_since(last) >= timeout_) fail_late(requests, peers);
      pause();
    }
  }

  [[noreturn]] void fail_late(const std::vector<MPI_Request>& requests, const std::vector<int>& peers) const {
    std::vector<int> late;
    for (std::size_t i = 0; i < requests.size(); ++i)
      if (requests[i] != MPI_REQUEST_NULL) late.push_back(peers[i]);
    std::sort(late.begin(), late.end());
    late.erase(std::unique(late.begin(), late.end()), late.end());
    std::vector<std::string> names;
    for (const int r : late) names.push_back(name_of(r));
    if (rank_ == 0) tell_that_it_speaks();
    fail("no answer for {:g} s from {}: it hangs, or computes for longer than --rank-timeout allows", timeout_,
         fmt::join(names, ", "));
  }

  /// On rank 0: throws what another rank reports.
  void throw_failure_of_other() const {
    if (rank_ != 0) return;
    int is_there = 0;
    MPI_Status status;
    succeed(MPI_Iprobe(MPI_ANY_SOURCE, kFailure, MPI_COMM_WORLD, &is_there, &status), "MPI_Iprobe");
    if (is_there == 0) return;
    int count = 0;
    MPI_Get_count(&status, MPI_BYTE, &count);
    std::string message(static_cast<std::size_t>(count), '\0');
    succeed(MPI_Recv(message.data(), count, MPI_BYTE, status.MPI_SOURCE, kFailure, MPI_COMM_WORLD, MPI_STATUS_IGNORE),
            "MPI_Recv");
    tell_that_it_speaks();
    fail("{}: {}", name_of(status.MPI_SOURCE), message);
  }

  /// By rank 0, which has found why the run ends: the others leave it to say so.
  void tell_that_it_speaks() const {
    for (int r = 1; r < size_; ++r) {
      MPI_Request request{};
      if (MPI_Isend(nullptr, 0, MPI_BYTE, r, kSpeaks, MPI_COMM_WORLD, &request) == MPI_SUCCESS)
        MPI_Request_free(&request);
    }
  }

  double timeout_;  // seconds
  int rank_ = 0, size_ = 1;
  std::vector<std::string> hosts_;  // by rank
};

}  // namespace
}  // namespace gradamp

extern "C" gradamp::RankProcess* gradamp_connect_mpi(double timeout) { return new gradamp::MpiRanks(timeout); }

// SPDX-License-Identifier: MIT
// The emulator's NCCL, whose ranks are here threads, or one thread in turn.
#include <array>
#include <chrono>
#include <functional>
#include <memory>
#include <numeric>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/nccl.h"
#include "gradamp/kernels/emulation/peer_sockets.h"
#include "gradamp/tests/kernels/emulation/emulation_support.h"

namespace gradamp::emulated {
namespace {

using emulation::config;
using emulation::error_of;
using emulation::PeerSockets;
using ::testing::Each;
using ::testing::HasSubstr;

std::string unique_name() {
  static int count = 0;
  return fmt::format("test-{}-{}", getpid(), ++count);
}

// ---- The connections ----

/// Calls `work` for each rank in a thread of its own. Returns their errors.
std::vector<std::string> errors_of_ranks(int size, const std::function<void(PeerSockets&)>& work) {
  const std::string name = unique_name();
  std::vector<std::string> errors(static_cast<std::size_t>(size));
  std::vector<std::unique_ptr<PeerSockets>> ranks(errors.size());
  std::vector<std::thread> threads;
  for (std::size_t r = 0; r < errors.size(); ++r) {
    threads.emplace_back([&, r] {
      try {
        ranks[r] = std::make_unique<PeerSockets>(name, static_cast<int>(r), size, 20);
        work(*ranks[r]);
      } catch (const Error& error) {
        errors[r] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  return errors;
}

/// What rank `from` sends to rank `to`: more than a socket holds, and of another size for each pair.
std::vector<int> message_between(int from, int to, int number) {
  std::vector<int> values(static_cast<std::size_t>(300000 + 1000 * from + 10 * to + number));
  std::iota(values.begin(), values.end(), 100 * from + 10 * to + number);
  return values;
}

TEST(PeerSocketsTest, MessagesOfAllRanksArriveInTheirOrder) {
  const std::vector<std::string> errors = errors_of_ranks(4, [](PeerSockets& ranks) {
    for (int round = 0; round < 3; ++round) {
      std::vector<std::vector<int>> sent, received, expected;
      std::vector<PeerSockets::Message> messages;
      for (int peer = 0; peer < ranks.size(); ++peer) {
        if (peer == ranks.rank()) continue;
        for (int number = 0; number < 2; ++number) {
          sent.push_back(message_between(ranks.rank(), peer, number));
          expected.push_back(message_between(peer, ranks.rank(), number));
          received.emplace_back(expected.back().size());
          messages.push_back({peer, sent.back().data(), sent.back().size() * sizeof(int), true});
          messages.push_back({peer, received.back().data(), received.back().size() * sizeof(int), false});
          messages.push_back({peer, nullptr, 0, true});  // no message
        }
      }
      ranks.exchange(messages, 20);
      EXPECT_EQ(received, expected);
    }
  });
  EXPECT_THAT(errors, Each(""));
}

TEST(PeerSocketsTest, RefuseAnotherNumberOfBytes) {
  const std::vector<std::string> errors = errors_of_ranks(2, [](PeerSockets& ranks) {
    std::array<char, 8> memory{};
    const bool is_sender = ranks.rank() == 0;
    ranks.exchange({{{1 - ranks.rank(), memory.data(), is_sender ? memory.size() : 4, is_sender}}}, 20);
  });
  EXPECT_EQ(errors[1], "ncclRecv: expected 4 bytes from rank 0, which sends 8: both must name the same number");
}

TEST(PeerSocketsTest, NoticeARankThatHasEnded) {
  const std::string name = unique_name();
  std::unique_ptr<PeerSockets> other;
  std::thread thread([&] { other = std::make_unique<PeerSockets>(name, 1, 2, 20); });
  PeerSockets ranks(name, 0, 2, 20);
  thread.join();
  char byte = 0;
  const auto receive = [&] { ranks.exchange({{{1, &byte, 1, false}}}, 0.2); };
  EXPECT_EQ(error_of(receive),
            "no answer for 0.2 s from the emulated device of rank 1: it hangs, or computes for longer than that");
  other.reset();
  EXPECT_THAT(error_of(receive), HasSubstr("the emulated device of rank 1 has gone"));
  std::vector<char> much(10'000'000);
  EXPECT_THAT(error_of([&] {
                ranks.exchange({{{1, much.data(), much.size(), true}}}, 20);
              }),
              HasSubstr("the emulated device of rank 1 has gone"));
}

TEST(PeerSocketsTest, ARankThatHasFailedStaysConnectedUntilItEnds) {
  const std::string name = unique_name();
  std::unique_ptr<PeerSockets> other;
  std::thread thread([&] { other = std::make_unique<PeerSockets>(name, 1, 2, 20); });
  PeerSockets ranks(name, 0, 2, 20);
  thread.join();
  other->abandon();
  other.reset();
  char byte = 0;
  EXPECT_THAT(error_of([&] { ranks.exchange({{{1, &byte, 1, false}}}, 0.2); }), HasSubstr("no answer for 0.2 s"));
}

TEST(PeerSocketsTest, GiveUpIfARankIsNotThere) {
  EXPECT_EQ(error_of([] { PeerSockets(unique_name(), 1, 2, 0.1); }),
            "the emulated device of rank 0 was not there for 0.1 s: all ranks must be on one machine");
  EXPECT_EQ(error_of([] { PeerSockets(unique_name(), 0, 3, 0.1); }),
            "2 of the emulated devices were not there for 0.1 s: all ranks must be on one machine");
}

// ---- NCCL's functions ----

class NcclTest : public emulation::EmulationTest {
 protected:
  NcclTest() {
    check_cuda(cudaStreamCreateWithFlags(&stream_, cudaStreamNonBlocking), "cudaStreamCreateWithFlags");
    ncclUniqueId id{};
    EXPECT_EQ(ncclGetUniqueId(&id), ncclSuccess);
    std::thread other([&] { EXPECT_EQ(ncclCommInitRank(&comms_[1], 2, id, 1), ncclSuccess); });
    EXPECT_EQ(ncclCommInitRank(&comms_[0], 2, id, 0), ncclSuccess);
    other.join();
  }
  ~NcclTest() override {
    for (const ncclComm_t comm : comms_) {
      if (comm != nullptr) {
        EXPECT_EQ(ncclCommDestroy(comm), ncclSuccess);
      }
    }
    cudaStreamDestroy(stream_);
  }

  /// Rank 0 sends: its bytes wait in the connection until rank 1 receives them.
  void send_and_receive() {
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    EXPECT_EQ(ncclSend(source_.data(), source_.bytes(), ncclInt8, 1, comms_[0], stream_), ncclSuccess);
    EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
    EXPECT_EQ(ncclGroupStart(), ncclSuccess);
    EXPECT_EQ(ncclRecv(target_.data(), target_.bytes(), ncclUint8, 0, comms_[1], stream_), ncclSuccess);
    EXPECT_EQ(ncclGroupEnd(), ncclSuccess);
  }

  /// The result of a call in a group of its own, which is the group's, too.
  ncclResult_t in_group(const std::function<ncclResult_t()>& call) {
    ncclGroupStart();
    const ncclResult_t result = call();
    EXPECT_EQ(ncclGroupEnd(), result);
    return result;
  }

  cudaStream_t stream_ = nullptr;
  std::array<ncclComm_t, 2> comms_{};
  DeviceArray<float> source_{std::vector<float>{1, 2, 3}}, target_{std::vector<float>{0, 0, 0}};
};

TEST_F(NcclTest, AnExchangeIsWorkOfTheStream) {
  for (const bool deferred : {false, true}) {
    config().deferred = deferred;
    source_.assign({4, 5, deferred ? 6.0f : 7.0f});
    send_and_receive();
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    EXPECT_EQ(target_.host(), (std::vector<float>{4, 5, deferred ? 6.0f : 7.0f}));
  }
}

TEST_F(NcclTest, AnExchangeIsPartOfAGraph) {
  check_cuda(cudaStreamBeginCapture(stream_, cudaStreamCaptureModeRelaxed), "cudaStreamBeginCapture");
  send_and_receive();
  cudaGraph_t graph = nullptr;
  check_cuda(cudaStreamEndCapture(stream_, &graph), "cudaStreamEndCapture");
  EXPECT_EQ(target_.host(), (std::vector<float>{0, 0, 0}));
  cudaGraphExec_t executable = nullptr;
  check_cuda(cudaGraphInstantiate(&executable, graph, 0), "cudaGraphInstantiate");
  for (float value = 1; value < 4; ++value) {
    source_.assign({value, 2 * value, 3 * value});
    check_cuda(cudaGraphLaunch(executable, stream_), "cudaGraphLaunch");
    check_cuda(cudaStreamSynchronize(stream_), "cudaStreamSynchronize");
    EXPECT_EQ(target_.host(), (std::vector<float>{value, 2 * value, 3 * value}));
  }
  EXPECT_THAT(error_of([&] { cudaFree(target_.data()); }), HasSubstr("an exchange between ranks points to it"));
  cudaGraphExecDestroy(executable);
  cudaGraphDestroy(graph);
}

TEST_F(NcclTest, AnExchangeThatFailsLosesTheDevice) {
  emulation::peer_timeout() = 0.1;
  EXPECT_EQ(error_of([&] {
              ncclGroupStart();
              ncclRecv(target_.data(), target_.bytes(), ncclUint8, 0, comms_[1], stream_);
              ncclGroupEnd();
            }),
            "no answer for 0.1 s from the emulated device of rank 0: it hangs, or computes for longer than that");
  emulation::peer_timeout() = 60;
}

TEST_F(NcclTest, MistakesAreRefused) {
  const auto send = [&](const void* memory, std::size_t bytes, int peer, ncclComm_t comm, cudaStream_t stream) {
    return ncclSend(memory, bytes, ncclUint8, peer, comm, stream);
  };
  const auto refusal = [&](ncclResult_t expected, const std::function<ncclResult_t()>& call) {
    EXPECT_EQ(in_group(call), expected);
    return std::string(ncclGetLastError(nullptr));
  };
  EXPECT_EQ(send(source_.data(), 4, 1, comms_[0], stream_), ncclInvalidUsage);
  EXPECT_THAT(ncclGetLastError(nullptr), HasSubstr("expected it between ncclGroupStart and ncclGroupEnd"));
  EXPECT_EQ(ncclGroupEnd(), ncclInvalidUsage);
  for (const int peer : {-1, 0, 2})
    EXPECT_EQ(refusal(ncclInvalidArgument, [&] { return send(source_.data(), 4, peer, comms_[0], stream_); }),
              fmt::format("ncclSend: expected another rank, from 0 to 1, got {}", peer));
  EXPECT_THAT(refusal(ncclInvalidArgument, [&] { return send(source_.data(), 16, 1, comms_[0], stream_); }),
              HasSubstr("expected 16 bytes of the device's memory, of which there are 12"));
  float of_host = 0;
  EXPECT_THAT(refusal(ncclInvalidArgument, [&] { return send(&of_host, 4, 1, comms_[0], stream_); }),
              HasSubstr("expected 4 bytes of the device's memory"));
  EXPECT_THAT(refusal(ncclInvalidUsage,
                      [&] {
                        send(source_.data(), 4, 1, comms_[0], stream_);
                        return send(source_.data(), 4, 1, comms_[0], nullptr);
                      }),
              HasSubstr("one stream in a group"));
  const ncclComm_t ended = std::exchange(comms_[0], nullptr);
  EXPECT_EQ(ncclCommAbort(ended), ncclSuccess);
  EXPECT_EQ(refusal(ncclInvalidArgument, [&] { return send(source_.data(), 4, 1, ended, stream_); }),
            "ncclSend: there is no such communicator");
  EXPECT_EQ(ncclCommDestroy(ended), ncclInvalidArgument);
  ncclComm_t comm = nullptr;
  EXPECT_EQ(ncclCommInitRank(&comm, 2, {}, 2), ncclInvalidArgument);
}

}  // namespace
}  // namespace gradamp::emulated

// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/peer_sockets.h"

#include <sys/poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <deque>
#include <optional>
#include <thread>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"

namespace gradamp::emulation {
namespace {

using Clock = std::chrono::steady_clock;

class Deadline {
 public:
  explicit Deadline(double seconds) : seconds_(seconds) { extend(); }
  void extend() { begin_ = Clock::now(); }
  bool has_passed() const { return left() <= 0; }
  /// For poll(): at least 1.
  int milliseconds() const { return static_cast<int>(std::clamp(1000 * left(), 1.0, 1e6)); }

 private:
  double left() const { return seconds_ - std::chrono::duration<double>(Clock::now() - begin_).count(); }

  double seconds_;
  Clock::time_point begin_;
};

/// An abstract address, which is no file: the first byte of its name is zero.
struct Address {
  sockaddr_un value{};
  socklen_t bytes;

  Address(const std::string& name, int rank) {
    const std::string text = fmt::format("gradamp-{}-{}", name, rank);
    check(text.size() + 1 < sizeof value.sun_path, "expected a shorter name of connected devices than '{}'", name);
    value.sun_family = AF_UNIX;
    std::memcpy(value.sun_path + 1, text.data(), text.size());
    bytes = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + text.size());
  }
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&value); }
};

int new_socket() {
  const int file = ::socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  check(file >= 0, "a socket for emulated devices cannot be made: {}", std::strerror(errno));
  return file;
}

/// Waits for a socket; false if `deadline` passes first.
bool wait_for(int file, short events, const Deadline& deadline) {
  while (!deadline.has_passed()) {
    pollfd one{file, events, 0};
    if (::poll(&one, 1, deadline.milliseconds()) > 0) return true;
  }
  return false;
}

bool must_wait() { return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR; }

[[noreturn]] void fail_ended(int peer) {
  fail("the emulated device of rank {} has gone: its process has ended, or closed the connection", peer);
}

}  // namespace

/// The messages of one exchange in one direction between this rank and a peer. Before each goes its number of bytes.
class PeerSockets::Channel {
 public:
  Channel(int file, int peer, bool is_sending) : file_(file), peer_(peer), is_sending_(is_sending) {}

  void add(const Message& message) { waiting_.push_back({static_cast<char*>(message.memory), message.bytes}); }
  bool is_done() const { return waiting_.empty(); }
  int peer() const { return peer_; }
  pollfd poll_entry() const { return {file_, static_cast<short>(is_sending_ ? POLLOUT : POLLIN), 0}; }

  /// Moves what can be moved now; whether it was anything.
  bool advance() {
    bool has_moved = false;
    while (!is_done()) {
      if (!length_) length_ = is_sending_ ? waiting_.front().bytes : 0;
      const bool in_length = done_ < sizeof(std::uint64_t);
      char* const memory = in_length ? reinterpret_cast<char*>(&*length_) + done_
                                     : waiting_.front().memory + (done_ - sizeof(std::uint64_t));
      const std::size_t end = sizeof(std::uint64_t) + (in_length ? 0 : waiting_.front().bytes);
      const ssize_t moved =
          is_sending_ ? ::send(file_, memory, end - done_, MSG_NOSIGNAL) : ::recv(file_, memory, end - done_, 0);
      if (moved < 0 && must_wait()) return has_moved;
      if (moved <= 0) fail_ended(peer_);
      has_moved = true;
      done_ += static_cast<std::size_t>(moved);
      if (done_ == sizeof(std::uint64_t)) check_length();
      if (done_ == sizeof(std::uint64_t) + waiting_.front().bytes) {
        waiting_.pop_front();
        length_.reset();
        done_ = 0;
      }
    }
    return has_moved;
  }

 private:
  struct Block {
    char* memory;
    std::size_t bytes;
  };

  void check_length() const {
    check(*length_ == waiting_.front().bytes,
          "ncclRecv: expected {} bytes from rank {}, which sends {}: both must name the same number",
          waiting_.front().bytes, peer_, *length_);
  }

  int file_, peer_;
  bool is_sending_;
  std::deque<Block> waiting_;
  std::optional<std::uint64_t> length_;  // of the first block
  std::size_t done_ = 0;                 // bytes of the first block, with its length
};

PeerSockets::PeerSockets(const std::string& name, int rank, int size, double timeout)
    : rank_(rank), sockets_(static_cast<std::size_t>(size), -1) {
  const int listener = new_socket();
  try {
    const Address address(name, rank);
    check(::bind(listener, address.get(), address.bytes) == 0 && ::listen(listener, size) == 0,
          "rank {} of the emulated devices cannot be connected: {}", rank, std::strerror(errno));
    for (int peer = 0; peer < rank; ++peer) connect_to(name, peer, timeout);
    accept_others(listener, timeout);
  } catch (...) {
    ::close(listener);
    for (const int file : sockets_)
      if (file >= 0) ::close(file);
    throw;
  }
  ::close(listener);
}

PeerSockets::~PeerSockets() {
  if (is_abandoned_) return;
  for (const int file : sockets_)
    if (file >= 0) ::close(file);
}

/// Connects to a lower rank, which may not listen yet.
void PeerSockets::connect_to(const std::string& name, int peer, double timeout) {
  const Address address(name, peer);
  const Deadline deadline(timeout);
  int& file = sockets_[static_cast<std::size_t>(peer)];
  file = new_socket();
  while (::connect(file, address.get(), address.bytes) != 0) {
    check(errno == ECONNREFUSED || must_wait(), "the emulated device of rank {} cannot be reached: {}", peer,
          std::strerror(errno));
    check(!deadline.has_passed(),
          "the emulated device of rank {} was not there for {:g} s: all ranks must be on one machine", peer, timeout);
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
  const std::int32_t own = rank_;
  check(::send(file, &own, sizeof own, MSG_NOSIGNAL) == sizeof own, "the emulated device of rank {} has gone", peer);
}

/// Accepts the connections of the higher ranks.
void PeerSockets::accept_others(int listener, double timeout) {
  const Deadline deadline(timeout);
  for (int left = size() - 1 - rank_; left > 0; --left) {
    std::int32_t peer = -1;
    int file = -1;
    while (file < 0) {
      check(wait_for(listener, POLLIN, deadline),
            "{} of the emulated devices were not there for {:g} s: all ranks must be on one machine", left, timeout);
      file = ::accept4(listener, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    }
    const bool has_name = wait_for(file, POLLIN, deadline) && ::recv(file, &peer, sizeof peer, 0) == sizeof peer;
    if (!has_name || peer <= rank_ || peer >= size() || sockets_[static_cast<std::size_t>(peer)] >= 0) {
      ::close(file);
      fail("another process connected to the emulated device of rank {}: expected a rank above it, got {}", rank_,
           peer);
    }
    sockets_[static_cast<std::size_t>(peer)] = file;
  }
}

void PeerSockets::exchange(std::span<const Message> messages, double timeout) {
  std::vector<Channel> channels;
  for (int peer = 0; peer < size(); ++peer) {
    for (const bool is_sent : {true, false}) {
      Channel channel(sockets_[static_cast<std::size_t>(peer)], peer, is_sent);
      for (const Message& message : messages)
        if (message.peer == peer && message.is_sent == is_sent && message.bytes > 0) channel.add(message);
      if (!channel.is_done()) channels.push_back(std::move(channel));
    }
  }
  Deadline deadline(timeout);
  while (!channels.empty()) {
    bool has_moved = false;
    for (Channel& channel : channels) has_moved = channel.advance() || has_moved;
    std::erase_if(channels, [](const Channel& channel) { return channel.is_done(); });
    if (channels.empty()) return;
    if (has_moved) {
      deadline.extend();
      continue;
    }
    if (deadline.has_passed()) {
      std::vector<int> late;
      for (const Channel& channel : channels)
        if (late.empty() || late.back() != channel.peer()) late.push_back(channel.peer());
      fail("no answer for {:g} s from the emulated device of rank {}: it hangs, or computes for longer than that",
           timeout, fmt::join(late, ", rank "));
    }
    std::vector<pollfd> entries;
    for (const Channel& channel : channels) entries.push_back(channel.poll_entry());
    ::poll(entries.data(), entries.size(), deadline.milliseconds());
  }
}

}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
// PeerSockets: messages between processes on one machine, each of which emulates a device. It carries what NCCL carries
// between GPUs (nccl.h), by UNIX-domain sockets without files.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <vector>

namespace gradamp::emulation {

class PeerSockets {
 public:
  /// Connects `size` processes, all of which call it with the same name and with ranks from 0 to size - 1. Error if one
  /// cannot be reached for `timeout` seconds.
  PeerSockets(const std::string& name, int rank, int size, double timeout);
  /// Closes the connections, unless abandon() was called.
  ~PeerSockets();
  PeerSockets(const PeerSockets&) = delete;
  PeerSockets& operator=(const PeerSockets&) = delete;

  int rank() const { return rank_; }
  int size() const { return static_cast<int>(sockets_.size()); }

  struct Message {
    int peer;  // not the rank itself
    void* memory;
    std::size_t bytes;
    bool is_sent;  // else it is received
  };
  /// Waits until all messages are sent and received. Those between two ranks arrive in the order in which they were
  /// sent. Error if a peer sends another number of bytes, has ended, or does not answer for `timeout` seconds.
  void exchange(std::span<const Message> messages, double timeout);

  /// Leaves the connections open until this process ends: it has failed, and others must not take its rank for the one
  /// that failed first.
  void abandon() { is_abandoned_ = true; }

 private:
  class Channel;

  void connect_to(const std::string& name, int peer, double timeout);
  void accept_others(int listener, double timeout);

  int rank_;
  std::vector<int> sockets_;  // by rank; -1 for the rank itself, and before it is connected
  bool is_abandoned_ = false;
};

}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
// Communicator: the ranks of a run, processes that compute its shards (core/shard.h) together. Communication only moves
// bytes; what is computed with them is the same on every rank, in an order that does not depend on their number.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace gradamp {

/// Threads: one thread at a time uses a Communicator.
class Communicator {
 public:
  virtual ~Communicator() = default;
  Communicator() = default;
  Communicator(const Communicator&) = delete;
  Communicator& operator=(const Communicator&) = delete;

  /// 0 to size() - 1.
  virtual int rank() const = 0;
  virtual int size() const = 0;
  /// For messages: "rank 2 on node7".
  virtual std::string name_of(int rank) const = 0;
  /// The seconds after which a rank that does not answer is an Error.
  virtual double timeout() const { return 60; }

  /// Sends send[r] to rank r, and fills receive[r] with what rank r sends to this one; what is for the rank itself is
  /// left out, and an empty span is no message. Both have size() spans. All ranks call it, with sizes that agree. Waits
  /// until everything has arrived. Error, which names a rank, if one does not answer in time.
  void exchange(std::span<const std::span<const std::byte>> send, std::span<const std::span<std::byte>> receive);

  /// Bytes that this rank has sent so far, and the time it has spent in exchanges, which includes waiting for others.
  std::int64_t bytes_sent() const { return bytes_sent_; }
  double seconds() const { return seconds_; }

 protected:
  /// exchange(), without its figures.
  virtual void move_bytes(std::span<const std::span<const std::byte>> send,
                          std::span<const std::span<std::byte>> receive) = 0;

 private:
  std::int64_t bytes_sent_ = 0;
  double seconds_ = 0;
};

// ---- What is made of exchanges; all ranks call these, in the same order ----

/// `blocks` has size() blocks of one size. Each rank has filled its own; afterwards all are filled.
void all_gather(Communicator& ranks, std::span<std::byte> blocks);
/// Each rank's text.
std::vector<std::string> all_gather_texts(Communicator& ranks, const std::string& text);
/// Copies rank 0's bytes to the others.
void broadcast(Communicator& ranks, std::span<std::byte> bytes);
/// Rank 0's text.
std::string broadcast_text(Communicator& ranks, const std::string& text);
/// Whether `flag` is true on any rank.
bool any_rank(Communicator& ranks, bool flag);

}  // namespace gradamp

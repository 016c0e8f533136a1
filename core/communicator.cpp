// SPDX-License-Identifier: MIT
#include "gradamp/core/communicator.h"

#include <algorithm>
#include <chrono>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

using Sent = std::vector<std::span<const std::byte>>;
using Received = std::vector<std::span<std::byte>>;

std::size_t count_of(const Communicator& ranks) { return static_cast<std::size_t>(ranks.size()); }

template <typename T>
std::span<std::byte> bytes_of(T& value) {
  return std::as_writable_bytes(std::span(&value, 1));
}

}  // namespace

void Communicator::exchange(std::span<const std::span<const std::byte>> send,
                            std::span<const std::span<std::byte>> receive) {
  using Clock = std::chrono::steady_clock;
  for (std::size_t r = 0; r < send.size(); ++r)
    if (static_cast<int>(r) != rank()) bytes_sent_ += static_cast<std::int64_t>(send[r].size());
  const Clock::time_point begin = Clock::now();
  move_bytes(send, receive);
  seconds_ += std::chrono::duration<double>(Clock::now() - begin).count();
}

void all_gather(Communicator& ranks, std::span<std::byte> blocks) {
  check(blocks.size() % count_of(ranks) == 0, "expected bytes for {} equal blocks, got {}", ranks.size(),
        blocks.size());
  const std::size_t size = blocks.size() / count_of(ranks);
  Received receive;
  for (std::size_t r = 0; r < count_of(ranks); ++r) receive.push_back(blocks.subspan(r * size, size));
  ranks.exchange(Sent(count_of(ranks), receive[static_cast<std::size_t>(ranks.rank())]), receive);
}

std::vector<std::string> all_gather_texts(Communicator& ranks, const std::string& text) {
  std::vector<std::uint64_t> sizes(count_of(ranks));
  const auto own = static_cast<std::size_t>(ranks.rank());
  sizes[own] = text.size();
  all_gather(ranks, std::as_writable_bytes(std::span(sizes)));
  std::vector<std::string> texts;
  Received receive;
  for (const std::uint64_t size : sizes) texts.emplace_back(size, '\0');
  texts[own] = text;
  for (std::string& one : texts) receive.push_back(std::as_writable_bytes(std::span(one.data(), one.size())));
  ranks.exchange(Sent(count_of(ranks), receive[own]), receive);
  return texts;
}

void broadcast(Communicator& ranks, std::span<std::byte> bytes) {
  const bool is_source = ranks.rank() == 0;
  Sent send(count_of(ranks));
  Received receive(count_of(ranks));
  if (is_source) {
    std::fill(send.begin(), send.end(), bytes);
  } else {
    receive[0] = bytes;
  }
  ranks.exchange(send, receive);
}

std::string broadcast_text(Communicator& ranks, const std::string& text) {
  std::uint64_t size = text.size();
  broadcast(ranks, bytes_of(size));
  std::string result = text;
  result.resize(size);
  broadcast(ranks, std::as_writable_bytes(std::span(result.data(), result.size())));
  return result;
}

bool any_rank(Communicator& ranks, bool flag) {
  std::vector<std::uint8_t> flags(count_of(ranks), 0);
  flags[static_cast<std::size_t>(ranks.rank())] = flag ? 1 : 0;
  all_gather(ranks, std::as_writable_bytes(std::span(flags)));
  return std::count(flags.begin(), flags.end(), 0) != ranks.size();
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// TensorExchange: how the ranks of a run (core/communicator.h) exchange tensors in a step, in the memory of their
// devices. Backend::connect makes it.
#pragma once

#include <span>

#include "gradamp/core/communicator.h"
#include "gradamp/core/tensor.h"

namespace gradamp {

/// Threads: as for its Backend.
class TensorExchange {
 public:
  virtual ~TensorExchange() = default;
  TensorExchange() = default;
  TensorExchange(const TensorExchange&) = delete;
  TensorExchange& operator=(const TensorExchange&) = delete;

  /// 0 to size() - 1.
  virtual int rank() const = 0;
  virtual int size() const = 0;

  /// Sends send[r] to rank r, and fills receive[r] with what rank r sends to this one. What is for the rank itself is
  /// left out, and an undefined tensor is no message. Both have size() tensors. All ranks call it, with numbers of
  /// bytes that agree. It is asynchronous with the host, runs in order with the backend's operations, and may be
  /// recorded. Error, now or when the host waits, if a rank does not answer in time.
  virtual void exchange(std::span<const Tensor> send, std::span<const Tensor> receive) = 0;

  /// Call it after an error: ends exchanges that wait for other ranks, so that the host can wait for the device. No
  /// exchange may follow.
  virtual void abort() noexcept {}
};

/// For tensors in the host's memory: exchanges them at once, by `ranks`, which must outlive it.
class HostTensorExchange final : public TensorExchange {
 public:
  explicit HostTensorExchange(Communicator& ranks) : ranks_(ranks) {}
  int rank() const override { return ranks_.rank(); }
  int size() const override { return ranks_.size(); }
  void exchange(std::span<const Tensor> send, std::span<const Tensor> receive) override;

 private:
  Communicator& ranks_;
};

}  // namespace gradamp

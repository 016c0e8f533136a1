// SPDX-License-Identifier: MIT
// NcclExchange: the TensorExchange of GPUs, by NCCL.
#pragma once

#include <memory>
#include <string>
#include <utility>

#include "gradamp/core/tensor_exchange.h"
#include "gradamp/kernels/cuda/nccl.h"

namespace gradamp::GRADAMP_GPU {

/// NCCL's connection of this rank's GPU with those of the others.
class NcclRanks {
 public:
  /// All ranks call it. `gpu`: a name of this rank's GPU that no other has, or "" if it cannot be shared. Error, the
  /// same on all, if a rank has no NCCL or two have the same GPU.
  NcclRanks(Communicator& ranks, const std::string& gpu);
  /// Frees the connection; while an exception is thrown, abort().
  ~NcclRanks();
  NcclRanks(const NcclRanks&) = delete;
  NcclRanks& operator=(const NcclRanks&) = delete;

  int rank() const { return rank_; }
  int size() const { return size_; }
  /// Null after abort().
  ncclComm_t get() const { return comm_; }
  /// The seconds after which a rank that does not answer is an Error.
  double timeout() const { return timeout_; }

  /// Error if NCCL has found that a rank or the network failed. Call it while the host waits for the device.
  void check_others() const;
  /// Ends exchanges that the device waits for.
  void abort() noexcept;

 private:
  int rank_, size_;
  double timeout_;
  ncclComm_t comm_ = nullptr;
};

class NcclExchange final : public TensorExchange {
 public:
  NcclExchange(cudaStream_t stream, std::shared_ptr<NcclRanks> ranks) : stream_(stream), ranks_(std::move(ranks)) {}
  int rank() const override { return ranks_->rank(); }
  int size() const override { return ranks_->size(); }
  void exchange(std::span<const Tensor> send, std::span<const Tensor> receive) override;
  void abort() noexcept override { ranks_->abort(); }

 private:
  cudaStream_t stream_;
  std::shared_ptr<NcclRanks> ranks_;
};

}  // namespace gradamp::GRADAMP_GPU

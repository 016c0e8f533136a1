// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cuda/nccl_exchange.h"

#include <exception>
#include <vector>

#include "gradamp/core/error.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Why this rank cannot use NCCL; "" if it can.
std::string refusal() {
  try {
    nccl();
    return {};
  } catch (const Error& error) {
    return error.what();
  }
}

void check_all_have_nccl(Communicator& ranks) {
  const std::vector<std::string> refusals = all_gather_texts(ranks, refusal());
  for (int r = 0; r < ranks.size(); ++r) {
    const std::string& reason = refusals[static_cast<std::size_t>(r)];
    check(reason.empty(), "several ranks on GPUs need NCCL; on {}: {}", ranks.name_of(r), reason);
  }
}

void check_no_gpu_is_shared(Communicator& ranks, const std::string& gpu) {
  const std::vector<std::string> gpus = all_gather_texts(ranks, gpu);
  for (std::size_t r = 0; r < gpus.size(); ++r)
    for (std::size_t s = 0; s < r; ++s)
      check(gpus[r].empty() || gpus[r] != gpus[s],
            "{} and {} have the same GPU, {}: start at most one rank per GPU, and let each see its own or all "
            "(CUDA_VISIBLE_DEVICES)",
            ranks.name_of(static_cast<int>(s)), ranks.name_of(static_cast<int>(r)), gpus[r]);
}

}  // namespace

NcclRanks::NcclRanks(Communicator& ranks, const std::string& gpu)
    : rank_(ranks.rank()), size_(ranks.size()), timeout_(ranks.timeout()) {
#if defined(GRADAMP_EMULATION)
  emulation::peer_timeout() = timeout_;
#endif
  check_all_have_nccl(ranks);
  check_no_gpu_is_shared(ranks, gpu);
  ncclUniqueId id{};
  if (rank_ == 0) check_nccl(nccl().get_unique_id(&id), "ncclGetUniqueId", nullptr);
  broadcast(ranks, std::as_writable_bytes(std::span(&id, 1)));
  check_nccl(nccl().init_rank(&comm_, size_, id, rank_), "ncclCommInitRank", nullptr);
}

NcclRanks::~NcclRanks() {
  if (std::uncaught_exceptions() > 0) abort();
  if (comm_ != nullptr) nccl().destroy(comm_);
}

void NcclRanks::check_others() const {
  if (comm_ == nullptr) return;
  ncclResult_t error = ncclSuccess;
  check_nccl(nccl().async_error(comm_, &error), "ncclCommGetAsyncError", comm_);
  if (error != ncclInProgress) check_nccl(error, "an exchange between ranks", comm_);
}

void NcclRanks::abort() noexcept {
  if (comm_ != nullptr) nccl().abort(std::exchange(comm_, nullptr));
}

void NcclExchange::exchange(std::span<const Tensor> send, std::span<const Tensor> receive) {
  const ncclComm_t comm = ranks_->get();
  check(comm != nullptr, "the connection with the other ranks has ended, because of an earlier error");
  // Every call is made even if one fails, so that the group is ended; its result is the first failure's.
  check_nccl(nccl().group_start(), "ncclGroupStart", comm);
  for (int r = 0; r < size(); ++r) {
    if (r == rank()) continue;
    if (const Tensor& tensor = send[static_cast<std::size_t>(r)]; tensor.defined())
      nccl().send(tensor.raw_data(), tensor.bytes(), ncclUint8, r, comm, stream_);
    if (const Tensor& tensor = receive[static_cast<std::size_t>(r)]; tensor.defined())
      nccl().receive(tensor.raw_data(), tensor.bytes(), ncclUint8, r, comm, stream_);
  }
  check_nccl(nccl().group_end(), "ncclGroupEnd", comm);
}

}  // namespace gradamp::GRADAMP_GPU

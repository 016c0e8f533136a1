// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/shard_buffers.h"

#include <utility>

namespace gradamp {
namespace {

void copy(const Tensor& from, const Tensor& to) { from.backend().cast(from, to); }  // of equal types

}  // namespace

ShardBuffers::ShardBuffers(Module& network, Tensor fractions) : fractions_(std::move(fractions)) {
  for (const NamedBuffer& named : network.named_buffers()) {
    const auto empty = [&] { return Tensor::empty(named.tensor.backend(), named.tensor.shape()); };
    buffers_.push_back({named.tensor, empty(), empty()});
    copy(named.tensor, buffers_.back().before);
  }
}

void ShardBuffers::begin_shard() {
  if (is_first_) return;
  for (const Buffer& buffer : buffers_) copy(buffer.before, buffer.value);
}

void ShardBuffers::end_shard(std::int64_t index) {
  for (const Buffer& buffer : buffers_) {
    Backend& backend = buffer.value.backend();
    if (is_first_) {
      backend.scale(buffer.value, fractions_, index, buffer.mean);
    } else {
      const Tensor share = Tensor::empty(backend, buffer.value.shape());
      backend.scale(buffer.value, fractions_, index, share);
      backend.add(buffer.mean, share, buffer.mean);
    }
  }
  is_first_ = false;
}

void ShardBuffers::end_step() {
  for (const Buffer& buffer : buffers_) copy(buffer.mean, buffer.value);
}

}  // namespace gradamp

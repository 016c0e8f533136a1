// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/shard_buffers.h"

#include <utility>

namespace gradamp {
namespace {

constexpr std::int64_t kAlignment = 16;  // elements: 64 bytes, as an allocation has

void copy(const Tensor& from, const Tensor& to) { from.backend().cast(from, to); }  // of equal types

}  // namespace

ShardBuffers::ShardBuffers(Module& network, Tensor fractions) : fractions_(std::move(fractions)) {
  for (const NamedBuffer& named : network.named_buffers()) {
    buffers_.push_back({named.tensor, length_});
    length_ += (named.tensor.count() + kAlignment - 1) / kAlignment * kAlignment;
  }
  Backend& backend = fractions_.backend();
  before_ = Tensor::zeros(backend, {length_});
  rows_ = Tensor::zeros(backend, {fractions_.count(), length_});
  copy_to(before_);
}

Tensor ShardBuffers::row(std::int64_t shard) const { return rows_.view({length_}, shard * length_); }

void ShardBuffers::copy_to(const Tensor& row) const {
  for (const Buffer& buffer : buffers_) copy(buffer.value, row.view(buffer.value.shape(), buffer.begin));
}

void ShardBuffers::copy_from(const Tensor& row) const {
  for (const Buffer& buffer : buffers_) copy(row.view(buffer.value.shape(), buffer.begin), buffer.value);
}

void ShardBuffers::begin_shard() const { copy_from(before_); }

void ShardBuffers::end_shard(std::int64_t shard) const { copy_to(row(shard)); }

void ShardBuffers::end_step(const std::vector<bool>& has_images) const {
  if (buffers_.empty()) return;
  Backend& backend = fractions_.backend();
  const Tensor mean = Tensor::empty(backend, {length_}), share = Tensor::empty(backend, {length_});
  bool is_first = true;
  for (std::size_t i = 0; i < has_images.size(); ++i) {
    if (!has_images[i]) continue;
    const auto shard = static_cast<std::int64_t>(i);
    backend.scale(row(shard), fractions_, shard, is_first ? mean : share);
    if (!is_first) backend.add(mean, share, mean);
    is_first = false;
  }
  copy_from(mean);
}

}  // namespace gradamp

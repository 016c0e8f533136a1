// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/shards_in_step.h"

#include <memory>
#include <numeric>
#include <utility>

#include "gradamp/core/backend.h"
#include "gradamp/optim/training/rank_exchange.h"

namespace gradamp {
namespace {

template <typename Visit>
void for_each_parameter(const ParameterArena& arena, const Visit& visit) {
  for (const ArenaLayer& layer : arena.layers())
    for (const ArenaParameter& parameter : layer.parameters) visit(parameter);
}

}  // namespace

void check_synchronized_buffers(Module& network) {
  network.for_each([](const std::string& name, Module& module) {
    const auto* const layer = dynamic_cast<const Layer*>(&module);
    if (layer != nullptr && layer->type() == LayerType::kBatchNorm) return;
    for (const NamedBuffer& buffer : module.own_buffers())
      fail(
          "synchronized batch norm: expected no buffers but the running statistics of batch norms, got {}{}{}; use "
          "local batch norm",
          name, name.empty() ? "" : ".", buffer.name);
  });
}

ShardsInStep::ShardsInStep(const ParameterArena& arena, Tensor images, std::vector<std::int64_t> counts, ShardRange own,
                           TensorExchange* ranks)
    : arena_(arena),
      images_(std::move(images)),
      counts_(std::move(counts)),
      ranks_(ranks),
      members_(members_of(arena, counts_, own)),
      lockstep_(static_cast<int>(members_.size()), [this](int member) { switch_to(member); }) {}

/// Those with images, or the first one.
std::vector<ShardsInStep::Member> ShardsInStep::members_of(const ParameterArena& arena,
                                                           const std::vector<std::int64_t>& counts, ShardRange own) {
  std::vector<Member> members;
  const auto add = [&](std::int64_t shard) {
    const Tensor& like = arena.arena().gradients;
    Member member{.shard = shard, .gradients = Tensor::zeros(like.backend(), like.shape()), .of_parameters = {}};
    for_each_parameter(arena, [&](const ArenaParameter& parameter) {
      member.of_parameters.push_back({member.gradients.view(parameter.variable.shape(), parameter.begin)});
    });
    members.push_back(std::move(member));
  };
  for (std::int64_t i = own.first; i < own.first + own.count; ++i)
    if (counts[static_cast<std::size_t>(i)] > 0) add(i);
  if (members.empty()) add(own.first);
  return members;
}

void ShardsInStep::run(const std::function<void(std::int64_t shard)>& forward_and_backward) {
  const auto restore = [this](void*) { switch_to(-1); };
  const std::unique_ptr<void, decltype(restore)> at_end(this, restore);
  lockstep_.run([&](int member) {
    const std::int64_t shard = members_[static_cast<std::size_t>(member)].shard;
    const ShardScope scope(shard, this);
    images_.backend().enter_thread();
    forward_and_backward(shard);
  });
}

Tensor ShardsInStep::gradient_of(std::int64_t shard) const {
  if (counts_[static_cast<std::size_t>(shard)] == 0) return {};
  for (const Member& member : members_)
    if (member.shard == shard) return member.gradients;
  fail("expected a shard of this process, got {}", shard);
}

std::int64_t ShardsInStep::images() const { return std::accumulate(counts_.begin(), counts_.end(), std::int64_t{0}); }

bool ShardsInStep::updates_running_statistics() const { return active_ == 0; }

Tensor ShardsInStep::merge(BatchNormPair kind, const Tensor& pair, std::int64_t pixels) {
  Backend& backend = pair.backend();
  const std::int64_t channels = pair.shape()[1], shards = images_.count();
  if (active_ == 0) pairs_ = Tensor::zeros(backend, {shards, 2, channels});
  check(pairs_.shape() == Shape{shards, 2, channels},
        "expected the same batch norms of each shard, got one of {} channels and one of {}", pairs_.shape()[2],
        channels);
  const std::int64_t shard = members_[static_cast<std::size_t>(active_)].shard;
  backend.cast(pair, pairs_.view(pair.shape(), shard * pair.count()));  // of equal types: a copy
  lockstep_.meet(active_, [&] {
    if (ranks_ != nullptr) gather_rows(*ranks_, pairs_);
    merged_ = Tensor::empty(backend, {2, channels});
    backend.merge_pairs(kind, pairs_, images_, pixels, merged_);
    pairs_ = {};
  });
  return merged_;
}

/// The parameters get the gradients of `member`, or with -1 the arena's own ones.
void ShardsInStep::switch_to(int member) {
  if (active_ == member) return;
  if (active_ >= 0) swap_gradients(active_);
  if (member >= 0) swap_gradients(member);
  active_ = member;
}

void ShardsInStep::swap_gradients(int member) {
  auto gradient = members_[static_cast<std::size_t>(member)].of_parameters.begin();
  for_each_parameter(arena_, [&](const ArenaParameter& parameter) { parameter.variable.swap_grad(*gradient++); });
}

}  // namespace gradamp

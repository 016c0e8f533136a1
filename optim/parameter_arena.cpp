// SPDX-License-Identifier: MIT
#include "gradamp/optim/parameter_arena.h"

#include <algorithm>
#include <set>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

std::int64_t round_up(std::int64_t value, std::int64_t multiple) {
  return (value + multiple - 1) / multiple * multiple;
}

/// Lays out one layer from element `begin` of the arena.
ArenaLayer lay_out(const NamedLayer& named, std::int64_t begin) {
  const std::vector<NamedParameter> own = named.layer->own_trained_parameters();
  ArenaLayer layer{
      .name = named.name, .type = named.layer->type(), .layer = named.layer, .range = {}, .parameters = {}};
  std::int64_t end = begin;
  for (const NamedParameter& parameter : own) {
    const std::int64_t count = parameter.variable.shape().count();
    check(count > 0, "layer {}: expected a parameter '{}' with elements, got shape {}", named.name, parameter.name,
          parameter.variable.shape().to_string());
    end = round_up(end, kArenaAlignment);
    const std::string name = named.name.empty() ? parameter.name : named.name + "." + parameter.name;
    layer.parameters.push_back({name, parameter.variable, end, count});
    layer.range.count += count;
    end += count;
  }
  layer.range.begin = begin;
  layer.range.end = round_up(end, kArenaChunk);
  // Only layers with a weight and at most a bias have a neuron view.
  const Shape& weight = own[0].variable.shape();
  const bool has_bias = own.size() == 2;
  if (own.size() > 2 || weight.rank() == 0 || (has_bias && own[1].variable.shape() != Shape{weight[0]})) return layer;
  layer.range.weight_offset = layer.parameters[0].begin;
  layer.range.neurons = weight[0];
  layer.range.row_length = weight.count() / weight[0];
  if (has_bias) layer.range.bias_offset = layer.parameters[1].begin;
  return layer;
}

}  // namespace

ParameterArena::ParameterArena(Module& network) {
  std::int64_t length = 0, neurons = 0;
  std::vector<LayerRange> ranges;
  std::set<std::string> placed;
  for (const NamedLayer& named : named_layers(network)) {
    if (named.layer->own_trained_parameters().empty()) continue;
    ArenaLayer layer = lay_out(named, length);
    layer.range.neuron_begin = neurons;
    neurons += layer.range.neurons;
    length = layer.range.end;
    for (const ArenaParameter& parameter : layer.parameters) placed.insert(parameter.name);
    ranges.push_back(layer.range);
    layers_.push_back(std::move(layer));
  }
  for (const NamedParameter& parameter : network.named_parameters()) {
    check(placed.count(parameter.name) > 0 || !parameter.variable.requires_grad(),
          "parameter {} belongs to no Layer, so it cannot be trained: derive its module from Layer, or freeze it",
          parameter.name);
  }
  check(!layers_.empty(), "expected a network with parameters to train, got none");

  backend_ = &layers_[0].parameters[0].variable.backend();
  arena_.layers = LayerTable(*backend_, std::move(ranges));
  arena_.weights = Tensor::zeros(*backend_, {length});
  arena_.gradients = Tensor::zeros(*backend_, {length});
  arena_.momentum = Tensor::zeros(*backend_, {length});
  const DType copy_type = backend_->activation_dtype();
  if (copy_type == DType::kBF16) arena_.weights_bf16 = Tensor::zeros(*backend_, {length}, copy_type);
  for (const ArenaLayer& layer : layers_) {
    for (const ArenaParameter& parameter : layer.parameters) {
      const Shape& shape = parameter.variable.shape();
      const Tensor weights = arena_.weights.view(shape, parameter.begin);
      weights.copy_from_host(std::span<const float>(parameter.variable.value().to_host<float>()));
      const Tensor copy = arena_.weights_bf16.defined() ? arena_.weights_bf16.view(shape, parameter.begin) : Tensor();
      parameter.variable.rebind(weights, arena_.gradients.view(shape, parameter.begin), copy);
      parameter.variable.refresh_copy();
    }
  }
}

std::int64_t ParameterArena::parameter_count() const {
  std::int64_t count = 0;
  for (const LayerRange& range : arena_.layers.ranges()) count += range.count;
  return count;
}

void ParameterArena::begin_step() const {
  for (const ArenaLayer& layer : layers_)
    for (const ArenaParameter& parameter : layer.parameters) parameter.variable.clear_grad();
}

void ParameterArena::finish_gradients() const {
  for (const ArenaLayer& layer : layers_)
    for (const ArenaParameter& parameter : layer.parameters)
      if (!parameter.variable.has_grad()) parameter.variable.grad().fill_zero();
}

void ParameterArena::enable_second_moments() {
  arena_.second_moments = Tensor::zeros(*backend_, {arena_.weights.count()});
}

void ParameterArena::exempt_norms_and_biases() {
  static_assert(kArenaAlignment == kDecayGroup);  // no group has elements of two parameters
  std::vector<float> scales(static_cast<std::size_t>(arena_.weights.count() / kDecayGroup), 1);
  for (const ArenaLayer& layer : layers_) {
    for (const ArenaParameter& parameter : layer.parameters) {
      if (parameter.variable.shape().rank() > 1) continue;
      const std::int64_t end = round_up(parameter.begin + parameter.count, kDecayGroup);
      std::fill(scales.begin() + parameter.begin / kDecayGroup, scales.begin() + end / kDecayGroup, 0.0f);
    }
  }
  arena_.decay_scales = Tensor::from_host(*backend_, {static_cast<std::int64_t>(scales.size())}, scales);
}

std::int64_t ParameterArena::sum_count(Granularity granularity) const {
  for (const ArenaLayer& layer : layers_)
    check(
        granularity == Granularity::kWeight || layer.range.neurons > 0,
        "layer {}: statistics by neuron need a weight with a row for each neuron and at most a bias; use statistics by "
        "weight",
        layer.name);
  return granularity == Granularity::kWeight ? arena_.weights.count() : arena_.layers.neurons();
}

void ParameterArena::enable_statistics(Granularity granularity) {
  const std::int64_t length = sum_count(granularity);
  if (arena_.signed_sums.defined() && arena_.signed_sums.count() == length) return;
  arena_.signed_sums = Tensor::zeros(*backend_, {length});
  arena_.absolute_sums = Tensor::zeros(*backend_, {length});
}

void ParameterArena::clear_sums() const {
  arena_.signed_sums.fill_zero();
  arena_.absolute_sums.fill_zero();
}

}  // namespace gradamp

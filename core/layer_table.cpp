// SPDX-License-Identifier: MIT
#include "gradamp/core/layer_table.h"

#include <cstring>

namespace gradamp {

LayerTable::LayerTable(Backend& backend, std::vector<LayerRange> ranges) : ranges_(std::move(ranges)) {
  constexpr std::size_t kFields = sizeof(LayerRange) / sizeof(std::int64_t);
  static_assert(sizeof(LayerRange) == kFields * sizeof(std::int64_t));
  std::vector<std::int64_t> fields(ranges_.size() * kFields);
  std::memcpy(fields.data(), ranges_.data(), fields.size() * sizeof(std::int64_t));
  std::vector<std::int32_t> chunks, neurons;
  for (std::size_t l = 0; l < ranges_.size(); ++l) {
    const LayerRange& range = ranges_[l];
    check(range.begin == static_cast<std::int64_t>(chunks.size()) * kArenaChunk && range.end % kArenaChunk == 0 &&
              range.neuron_begin == static_cast<std::int64_t>(neurons.size()),
          "layer {} does not follow the one before it in the arena", l);
    chunks.resize(static_cast<std::size_t>(range.end / kArenaChunk), static_cast<std::int32_t>(l));
    neurons.resize(static_cast<std::size_t>(range.neuron_begin + range.neurons), static_cast<std::int32_t>(l));
  }
  device_ranges_ = Tensor::from_host(backend, {count(), static_cast<std::int64_t>(kFields)}, fields);
  chunk_layers_ = Tensor::from_host(backend, {static_cast<std::int64_t>(chunks.size())}, chunks);
  neuron_layers_ = Tensor::from_host(backend, {static_cast<std::int64_t>(neurons.size())}, neurons);
}

}  // namespace gradamp

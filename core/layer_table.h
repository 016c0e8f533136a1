// SPDX-License-Identifier: MIT
// LayerTable: the range of each layer in the flat arena, on the host and on the device.
#pragma once

#include <cstdint>
#include <vector>

#include "gradamp/core/amplification.h"
#include "gradamp/core/tensor.h"

namespace gradamp {

class LayerTable {
 public:
  LayerTable() = default;
  /// Ranges must follow each other without gaps from element 0, and so must their neurons.
  LayerTable(Backend& backend, std::vector<LayerRange> ranges);

  const std::vector<LayerRange>& ranges() const { return ranges_; }
  std::int64_t count() const { return static_cast<std::int64_t>(ranges_.size()); }
  std::int64_t neurons() const { return neuron_layers_.count(); }

  // On the device.
  /// i64 (layers, 8): the members of each LayerRange, in order.
  const Tensor& device_ranges() const { return device_ranges_; }
  /// i32 (chunks of the arena): the layer that a chunk of kArenaChunk elements belongs to.
  const Tensor& chunk_layers() const { return chunk_layers_; }
  /// i32 (neurons): the layer that a neuron belongs to.
  const Tensor& neuron_layers() const { return neuron_layers_; }

 private:
  std::vector<LayerRange> ranges_;
  Tensor device_ranges_, chunk_layers_, neuron_layers_;
};

}  // namespace gradamp

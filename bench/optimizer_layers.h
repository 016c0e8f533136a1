// SPDX-License-Identifier: MIT
// The arenas of optimizer_bench: equal layers, and the layers of networks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/core/amplification.h"

namespace gradamp::bench {

/// `layers` equal layers of about `weights` elements in all, without padding.
std::vector<LayerRange> equal_layers(std::int64_t weights, std::int64_t layers);

/// The layers of a network of nets/ in its arena's layout (optim/parameter_arena.h). Error for an unknown network.
std::vector<LayerRange> network_layers(const std::string& network);

/// An arena to measure: its part of the benchmarks' names, and its layers.
struct LayerTableChoice {
  std::string name;
  std::vector<LayerRange> layers;
};

/// The command line's choice. Empty lists: the defaults, which are small if `quick`.
struct ArenaOptions {
  std::vector<double> sizes;          // weights in 64 equal layers
  std::vector<std::string> networks;  // each with an arena of as many equal layers and the same total
};
std::vector<LayerTableChoice> choose_layer_tables(const ArenaOptions& options, bool quick);

}  // namespace gradamp::bench

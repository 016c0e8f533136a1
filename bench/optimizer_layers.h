// SPDX-License-Identifier: MIT
// The arenas that optimizer_bench works on: equal layers, and the layers of networks.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/core/amplification.h"

namespace gradamp::bench {

/// `layers` equal layers of about `weights` elements in all, without padding.
std::vector<LayerRange> equal_layers(std::int64_t weights, std::int64_t layers);

/// The layers of a network of nets/ as they lie in its arena (optim/parameter_arena.h). Error for an unknown network.
std::vector<LayerRange> network_layers(const std::string& network);

/// An arena to measure: its name in the benchmarks' names, and its layers.
struct LayerTableChoice {
  std::string name;
  std::vector<LayerRange> layers;
};

/// What the command line asks for. Empty lists: the defaults, which are small if `quick`.
struct ArenaOptions {
  std::vector<double> sizes;          // weights in 64 equal layers
  std::vector<std::string> networks;  // each beside as many equal layers of the same total
};
std::vector<LayerTableChoice> choose_layer_tables(const ArenaOptions& options, bool quick);

}  // namespace gradamp::bench

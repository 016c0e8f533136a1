// SPDX-License-Identifier: MIT
#include "gradamp/bench/optimizer_layers.h"

#include <algorithm>
#include <memory>

#include <fmt/format.h>

#include "gradamp/bench/convolution_problem.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/nets/networks.h"
#include "gradamp/optim/parameter_arena.h"

namespace gradamp::bench {
namespace {

constexpr std::int64_t kRow = 576;  // incoming weights per neuron: a 3x3 convolution of 64 channels
constexpr std::int64_t kUnit = 4;   // this many neurons of kRow weights fill whole chunks
static_assert(kUnit * kRow % kArenaChunk == 0);
constexpr std::int64_t kLayers = 64;

}  // namespace

std::vector<LayerRange> equal_layers(std::int64_t weights, std::int64_t layers) {
  const std::int64_t neurons = std::max<std::int64_t>(1, weights / (layers * kRow * kUnit)) * kUnit;
  std::vector<LayerRange> ranges;
  for (std::int64_t l = 0; l < layers; ++l) {
    const std::int64_t begin = l * neurons * kRow;
    ranges.push_back({begin, begin + neurons * kRow, neurons * kRow, begin, kRow, -1, neurons, l * neurons});
  }
  return ranges;
}

std::vector<LayerRange> network_layers(const std::string& network) {
  const std::unique_ptr<Backend> backend = make_backend({});
  const std::shared_ptr<Module> module = make_network(network, *backend);
  return ParameterArena(*module).arena().layers.ranges();
}

std::vector<LayerTableChoice> choose_layer_tables(const ArenaOptions& options, bool quick) {
  std::vector<double> sizes = options.sizes;
  std::vector<std::string> networks = options.networks;
  if (sizes.empty()) sizes = quick ? std::vector<double>{1e5} : std::vector<double>{1e5, 1e6, 1e7, 1e8, 1e9};
  if (networks.empty()) networks = default_networks(quick);
  std::vector<LayerTableChoice> tables;
  for (const double size : sizes)
    tables.push_back({fmt::format("{:.0e}", size), equal_layers(static_cast<std::int64_t>(size), kLayers)});
  for (const std::string& network : networks) {
    tables.push_back({network, network_layers(network)});
    const std::vector<LayerRange>& layers = tables.back().layers;
    const auto count = static_cast<std::int64_t>(layers.size());
    // Rounded to nearest, so that the totals differ by less than half a unit per layer.
    tables.push_back({network + "_equal", equal_layers(layers.back().end + count * kRow * kUnit / 2, count)});
  }
  return tables;
}

}  // namespace gradamp::bench

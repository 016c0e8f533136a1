// SPDX-License-Identifier: MIT
#include "gradamp/bench/convolution_problem.h"

#include <algorithm>

#include "gradamp/kernels/backends.h"
#include "gradamp/nets/networks.h"

namespace gradamp::bench {
namespace {

/// Follows an image through a network and records the convolutions.
class Walk {
 public:
  explicit Walk(std::int64_t batch) : batch_(batch) {}

  void convolve(std::int64_t out_channels, int kernel, int stride) {
    shapes_.push_back({batch_, size_, channels_, out_channels, kernel, {stride, kernel / 2}});
    size_ = shapes_.back().out_size();
    channels_ = out_channels;
  }
  void pool() { size_ /= 2; }
  std::int64_t size() const { return size_; }
  std::int64_t channels() const { return channels_; }
  void go_to(std::int64_t size, std::int64_t channels) {
    size_ = size;
    channels_ = channels;
  }
  const std::vector<ConvolutionShape>& shapes() const { return shapes_; }

 private:
  std::int64_t batch_, size_ = 32, channels_ = 3;
  std::vector<ConvolutionShape> shapes_;
};

struct ResNetPlan {
  std::vector<std::int64_t> widths;
  std::vector<int> blocks;
  bool bottleneck, projection;
};

void residual_block(Walk& walk, const ResNetPlan& plan, std::int64_t width, int stride) {
  const std::int64_t size = walk.size(), channels = walk.channels(), out = plan.bottleneck ? 4 * width : width;
  if (plan.bottleneck) {
    walk.convolve(width, 1, 1);
    walk.convolve(width, 3, stride);
    walk.convolve(out, 1, 1);
  } else {
    walk.convolve(width, 3, stride);
    walk.convolve(width, 3, 1);
  }
  const std::int64_t out_size = walk.size();
  if (plan.projection && (stride != 1 || channels != out)) {
    walk.go_to(size, channels);
    walk.convolve(out, 1, stride);
  }
  walk.go_to(out_size, out);
}

void resnet(Walk& walk, const ResNetPlan& plan) {
  walk.convolve(plan.widths.front(), 3, 1);
  for (std::size_t stage = 0; stage < plan.widths.size(); ++stage) {
    for (int block = 0; block < plan.blocks[stage]; ++block)
      residual_block(walk, plan, plan.widths[stage], stage > 0 && block == 0 ? 2 : 1);
  }
}

void vgg19(Walk& walk) {
  const std::pair<std::int64_t, int> stages[] = {{64, 2}, {128, 2}, {256, 4}, {512, 4}, {512, 4}};
  for (const auto& [width, convolutions] : stages) {
    for (int i = 0; i < convolutions; ++i) walk.convolve(width, 3, 1);
    walk.pool();
  }
}

std::vector<ConvolutionShape> walk_through(const std::string& network, std::int64_t batch) {
  const std::vector<std::int64_t> wide = {64, 128, 256, 512}, small = {16, 32, 64};
  const std::map<std::string, ResNetPlan> resnets = {
      {"resnet18", {wide, {2, 2, 2, 2}, false, true}},    {"resnet34", {wide, {3, 4, 6, 3}, false, true}},
      {"resnet50", {wide, {3, 4, 6, 3}, true, true}},     {"resnet101", {wide, {3, 4, 23, 3}, true, true}},
      {"resnet8", {small, {1, 1, 1}, false, false}},      {"resnet20", {small, {3, 3, 3}, false, false}},
      {"resnet32", {small, {5, 5, 5}, false, false}},     {"resnet56", {small, {9, 9, 9}, false, false}},
      {"resnet110", {small, {18, 18, 18}, false, false}},
  };
  Walk walk(batch);
  if (network == "vgg19") {
    vgg19(walk);
  } else {
    const auto found = resnets.find(network);
    check(found != resnets.end(), "there are no convolution shapes of a network '{}'", network);
    resnet(walk, found->second);
  }
  return walk.shapes();
}

/// Filter shapes (K, R, S, C), sorted.
using Filters = std::vector<std::vector<std::int64_t>>;

Filters sorted(Filters filters) {
  std::sort(filters.begin(), filters.end());
  return filters;
}

Filters built_filters(const std::string& network) {
  const std::unique_ptr<Backend> backend = make_backend({});
  Filters filters;
  for (const NamedParameter& parameter : make_network(network, *backend)->named_parameters()) {
    const Shape& shape = parameter.variable.shape();
    if (shape.rank() == 4) filters.push_back({shape[0], shape[1], shape[2], shape[3]});
  }
  return sorted(filters);
}

}  // namespace

const char* name_of(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::kForward: return "forward";
    case ConvolutionPass::kBackwardInput: return "backward_input";
    case ConvolutionPass::kBackwardFilter: return "backward_filter";
  }
  return "?";
}

std::string ConvolutionShape::name() const {
  return fmt::format("{}x{}_{}x{}_{}_s{}", kernel, kernel, in_channels, out_channels, size, params.stride);
}

std::vector<std::string> default_networks(bool quick) {
  if (quick) return {"resnet8"};
  return {"resnet18", "resnet50", "vgg19"};
}

ShapeCounts convolutions_of(const std::vector<std::string>& networks, std::int64_t batch) {
  ShapeCounts counts;
  for (const std::string& network : networks) {
    Filters filters;
    for (const ConvolutionShape& shape : walk_through(network, batch)) {
      ++counts[shape][network];
      filters.push_back({shape.out_channels, shape.kernel, shape.kernel, shape.in_channels});
    }
    check(sorted(filters) == built_filters(network),
          "{}: the benchmark's list of convolutions is not that of nets/; correct bench/convolution_problem.cpp",
          network);
  }
  return counts;
}

}  // namespace gradamp::bench

// SPDX-License-Identifier: MIT
#include "gradamp/nets/networks.h"

#include <string_view>
#include <utility>

#include "gradamp/nets/resnet.h"
#include "gradamp/nets/vgg.h"

namespace gradamp {
namespace {

struct Entry {
  NetworkInfo info;
  NetworkMaker make;
};

template <int kBlocks>
std::shared_ptr<Module> make_small_resnet(Backend& backend, const NetworkOptions& options) {
  return std::make_shared<ResNet>(
      backend, ResNetShape{BlockType::kBasic, ShortcutType::kPadding, {16, 32, 64}, {kBlocks, kBlocks, kBlocks}},
      options);
}

template <BlockType kType, int... kBlocks>
std::shared_ptr<Module> make_resnet(Backend& backend, const NetworkOptions& options) {
  return std::make_shared<ResNet>(
      backend, ResNetShape{kType, ShortcutType::kProjection, {64, 128, 256, 512}, {kBlocks...}}, options);
}

std::shared_ptr<Module> make_vgg19(Backend& backend, const NetworkOptions& options) {
  return std::make_shared<Vgg>(backend, options);
}

std::vector<Entry>& entries() {
  static std::vector<Entry> all = {
      {{"resnet8", "He's CIFAR ResNet, 1 block a stage, 0.08 M parameters"}, make_small_resnet<1>},
      {{"resnet20", "He's CIFAR ResNet, 3 blocks a stage, 0.27 M parameters"}, make_small_resnet<3>},
      {{"resnet32", "He's CIFAR ResNet, 5 blocks a stage, 0.46 M parameters"}, make_small_resnet<5>},
      {{"resnet56", "He's CIFAR ResNet, 9 blocks a stage, 0.85 M parameters"}, make_small_resnet<9>},
      {{"resnet110", "He's CIFAR ResNet, 18 blocks a stage, 1.7 M parameters"}, make_small_resnet<18>},
      {{"resnet18", "ResNet-18 for 32x32 images, 11.2 M parameters"}, make_resnet<BlockType::kBasic, 2, 2, 2, 2>},
      {{"resnet34", "ResNet-34 for 32x32 images, 21.3 M parameters"}, make_resnet<BlockType::kBasic, 3, 4, 6, 3>},
      {{"resnet50", "ResNet-50 for 32x32 images, 23.5 M parameters"}, make_resnet<BlockType::kBottleneck, 3, 4, 6, 3>},
      {{"resnet101", "ResNet-101 for 32x32 images, 42.5 M parameters"},
       make_resnet<BlockType::kBottleneck, 3, 4, 23, 3>},
      {{"vgg19", "VGG-19 with batch norm, 20.0 M parameters"}, make_vgg19},
  };
  return all;
}

}  // namespace

std::vector<NetworkInfo> networks() {
  std::vector<NetworkInfo> infos;
  for (const Entry& entry : entries()) infos.push_back(entry.info);
  return infos;
}

void register_network(NetworkInfo info, NetworkMaker make) {
  constexpr std::string_view kOf = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  check(!info.name.empty() && info.name.find_first_not_of(kOf) == std::string::npos,
        "expected a network's name of letters, digits, '-', '_' and '.', got '{}'", info.name);
  check(make != nullptr, "network '{}': expected a function that makes it, got none", info.name);
  for (const Entry& entry : entries())
    check(entry.info.name != info.name, "there is a network '{}' already ({}); give yours another name", info.name,
          entry.info.description);
  entries().push_back({std::move(info), std::move(make)});
}

std::shared_ptr<Module> make_network(const std::string& name, Backend& backend, const NetworkOptions& options) {
  check(options.classes >= 2, "expected at least 2 classes, got {}", options.classes);
  check(options.in_channels >= 1, "expected images of at least 1 channel, got {}", options.in_channels);
  std::string known;
  for (const Entry& entry : entries()) {
    if (entry.info.name == name) return entry.make(backend, options);
    known += (known.empty() ? "" : ", ") + entry.info.name;
  }
  fail("there is no network '{}'; expected one of {}", name, known);
}

}  // namespace gradamp

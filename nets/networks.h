// SPDX-License-Identifier: MIT
// The networks of the experiments, designed for 32x32 images, under the parameter names of their well-known PyTorch
// versions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "gradamp/layers/module.h"

namespace gradamp {

struct NetworkOptions {
  int classes = 10;
  /// Probability of dropout before the classifier; 0: none.
  float dropout = 0.0f;
  /// The run's state, which keys the random numbers of dropout.
  StepState state;
  /// Channels of the images.
  std::int64_t in_channels = 3;
};

struct NetworkInfo {
  std::string name;
  std::string description;
};

/// All networks: ours, small ones first, then the registered ones.
std::vector<NetworkInfo> networks();

/// Makes a network on `backend` with zero weights. It may keep the options' state for its dropouts.
using NetworkMaker = std::function<std::shared_ptr<Module>(Backend& backend, const NetworkOptions& options)>;

/// Adds your own network: make_network and the whole program then know it by its name, which consists of letters,
/// digits, '-', '_' and '.'. Call it before run_program, and before other threads use the registry; after the last
/// registration any thread may read it. Error if the name is taken or has other characters.
void register_network(NetworkInfo info, NetworkMaker make);

/// The network `name` with zero weights (see layers/initialization.h). Error for an unknown name, with the list of
/// the known names.
///   vgg19                            K. Simonyan, A. Zisserman 2015, with batch norm after each convolution
///   resnet18, -34, -50, -101         K. He et al. 2016 with a 3x3 stem, stages of 64, 128, 256, 512 channels
///   resnet8, -20, -32, -56, -110     K. He et al. 2016 section 4.2: 16, 32, 64 channels, shortcuts without parameters
/// Input (N, H, W, options.in_channels) with H and W at least min_image_size(), output logits (N, classes). Error
/// unless there are 2 classes and 1 channel or more.
std::shared_ptr<Module> make_network(const std::string& name, Backend& backend, const NetworkOptions& options = {});

}  // namespace gradamp

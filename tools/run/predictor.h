// SPDX-License-Identifier: MIT
// Predictor: the probabilities that a run's trained network gives to the classes of single images.
#pragma once

#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/data/dataset.h"
#include "gradamp/layers/module.h"
#include "gradamp/tools/run/run_facts.h"
#include "gradamp/tools/settings/settings.h"

namespace gradamp {

class Predictor {
 public:
  /// `weights`: a checkpoint or any safetensors file with PyTorch's names. `facts`: those of the run, whose images need
  /// not be there. Facts of an earlier release lack the input; then the training images of the settings are read,
  /// because images are normalized by their statistics. Error if the data cannot be read, have other than 1 or 3
  /// channels, or are no bytes, whose scale is known, and if the weights do not fit.
  Predictor(const RunSettings& settings, const RunFacts& facts, const std::filesystem::path& weights);

  std::int64_t height() const { return like_.height; }
  std::int64_t width() const { return like_.width; }
  int channels() const { return static_cast<int>(like_.channels); }
  const std::vector<std::string>& class_names() const { return like_.class_names; }
  /// Messages of the device's self-check for the user, one line each.
  const std::vector<std::string>& notes() const { return notes_; }

  /// `images`: values in [0, 1], (images, height, width, channels). Gives (images, classes), row-major. Error if the
  /// network's outputs are not finite.
  std::vector<double> probabilities(std::span<const float> images) const;

 private:
  RunSettings settings_;
  Dataset like_;  // a dataset without meaning, for its shape and its classes
  std::vector<std::string> notes_;
  GatherParams normalization_;
  std::unique_ptr<Backend> backend_;
  std::shared_ptr<Module> network_;
};

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// All settings of a run, with their defaults. The command line, the environment and configuration files fill this
// struct (tools/program/options.h). A run's config.json contains this struct.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "gradamp/core/backend.h"
#include "gradamp/core/convolution_method.h"
#include "gradamp/core/shard.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/optim/optimizer.h"
#include "gradamp/tools/settings/kept_files.h"

namespace gradamp {

struct RunSettings : OptimizerValues {
  // Data.
  /// One of dataset_names(). assign_setting and settings_from_json replace release 0.1's "made" by "synthetic".
  std::string dataset = "synthetic";
  std::string data;               // folder or archive; empty if the dataset is drawn
  bool partial_data = false;      // accept fewer records than in the official files
  std::int64_t train_images = 0;  // use only the first N; 0: all (synthetic: 10000)
  std::int64_t test_images = 0;   // use only the first N; 0: all (synthetic: 2000)
  std::int64_t validation = 0;    // images held out from the end of the training set, for validation
  std::uint64_t data_seed = 1;    // seed of the synthetic dataset
  bool augment = true;            // random crop and flip
  int crop_padding = 4;           // pixels
  bool flip = true;               // horizontally, half of the images
  int cutout = 0;                 // side in pixels, with or without `augment`; 0: none

  // Network.
  std::string network = "resnet20";
  Initialization initialization = Initialization::kPyTorch;
  double dropout = 0;   // probability, before the classifier
  std::string weights;  // safetensors file with the initial weights; empty: they are drawn from the seed
  /// Draws the weights of the last linear layer from the seed although there is a file.
  bool reset_head = false;

  // Training.
  int epochs = 0;                 // 0: the number of epochs of the strategy, 30 if it is "step"
  std::int64_t batch_size = 128;  // images
  std::int64_t shards = 1;        // of a batch (core/shard.h)
  BatchNormStatistics batch_norm = BatchNormStatistics::kLocal;  // of its shards
  double learning_rate = 0.1;  // of the strategy "step", and the peak of a schedule; others do not use it
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-4;
  double label_smoothing = 0;       // of the training loss
  std::string strategy = "step";    // step, params_1, params_2, or phases (optim/strategy.h)
  std::int64_t reselect_every = 0;  // epochs; 0: select once per phase

  // Amplification; see also OptimizerValues.
  SelectionMethod selection = SelectionMethod::kMeasure;
  LayerMeasure measure = kGPrime;
  SelectionCase selection_case = SelectionCase::kOneSided;
  double threshold = 1.0;
  Granularity granularity = Granularity::kWeight;
  double random_fraction = 0.5;  // fraction of the layers of random_types
  std::vector<LayerType> random_types{1, LayerType::kConv};

  // The run.
  std::uint64_t seed = 1;       // for weights, order, augmentation, dropout and random selection
  std::string device = "auto";  // cuda if there is a GPU, else cpu; train() replaces "auto" by the actual device
  Precision precision = Precision::kF32;
  ConvolutionMethod convolution = ConvolutionMethod::kAuto;
  int threads = 0;                      // 0: default_threads() (core/processors.h)
  std::string run_folder;               // output of train(); the program's default is runs/NETWORK-DATASET-DATE-TIME
  KeptFiles keep = KeptFiles::kLast;    // in the run's folder
  std::int64_t evaluation_batch = 500;  // images; changes speed and memory only

  /// Error if a setting is out of range or two settings are incompatible.
  void validate() const;
  /// The phases of the whole run: `strategy` scaled to `epochs`. "step" means the learning rate for four fifths of the
  /// epochs and a tenth of it for the rest, without amplification.
  Strategy resolved_strategy() const;
  OptimizerOptions optimizer_options() const;
};

/// The strategies that have a name: step, params_1, params_2.
const std::vector<std::string>& strategy_names();

/// The number of first epochs in which two runs and their logs are equal, bit for bit. In these epochs neither run
/// analyzes or amplifies, and the learning rates are equal. All other settings must be equal, except those of
/// amplification and the run's folder.
int shared_epochs(const RunSettings& a, const RunSettings& b);

nlohmann::json to_json(const RunSettings& settings);
/// The kind of every setting, with the keys of to_json: "batch_size": "training".
nlohmann::json setting_kinds();
/// Reads the output of to_json, from this release or an earlier one. A setting that is newer than the first release may
/// be missing; then it has its default. For an unknown key, another missing key or a value of the wrong type, the Error
/// names the key.
RunSettings settings_from_json(const nlohmann::json& json);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Every setting of a run, with its default. The command line, the environment and configuration files all fill this
// struct (tools/program/options.h), and a run's config.json is this struct written down.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include "gradamp/core/backend.h"
#include "gradamp/layers/initialization.h"
#include "gradamp/optim/optimizer.h"

namespace gradamp {

struct RunSettings : OptimizerValues {
  // Data.
  /// One of dataset_names(); in settings that a run of release 0.1 stored also "made", which is "synthetic".
  std::string dataset = "synthetic";
  std::string data;               // folder or archive; empty for a dataset that is drawn
  bool partial_data = false;      // fewer records than the official files
  std::int64_t train_images = 0;  // use only the first N; 0: all (synthetic: 10000)
  std::int64_t test_images = 0;   // use only the first N; 0: all (synthetic: 2000)
  std::int64_t validation = 0;    // images held out from the end of the training set, and evaluated too
  std::uint64_t data_seed = 1;    // of the synthetic dataset
  bool augment = true;            // random crop and flip
  int crop_padding = 4;           // pixels
  bool flip = true;               // horizontally, half of the images

  // Network.
  std::string network = "resnet20";
  Initialization initialization = Initialization::kPyTorch;
  double dropout = 0;   // probability, before the classifier
  std::string weights;  // a safetensors file to start from; empty: drawn from the seed

  // Training.
  int epochs = 0;                 // 0: as many as the strategy has, 30 where it is "step"
  std::int64_t batch_size = 128;  // images
  double learning_rate = 0.1;     // for strategy "step"
  double momentum = 0.9;
  bool nesterov = false;
  double weight_decay = 5e-4;
  std::string strategy = "step";  // step, params_1, params_2, or phases (optim/strategy.h)
  int reselect_every = 0;         // epochs; 0: select once a phase

  // Amplification; and OptimizerValues.
  SelectionMethod selection = SelectionMethod::kMeasure;
  LayerMeasure measure = kGPrime;
  SelectionCase selection_case = SelectionCase::kOneSided;
  double threshold = 1.0;
  Granularity granularity = Granularity::kWeight;
  double random_fraction = 0.5;  // of the layers of random_types
  std::vector<LayerType> random_types{1, LayerType::kConv};

  // The run.
  std::uint64_t seed = 1;       // of weights, order, augmentation, dropout and random selection
  std::string device = "auto";  // cuda where there is a GPU, else cpu; train() puts the one that it is in its place
  Precision precision = Precision::kF32;
  int threads = 0;                      // 0: OMP_NUM_THREADS, else every core
  std::string run_folder;               // of train(); the program's default is runs/NETWORK-DATASET-DATE-TIME
  std::int64_t evaluation_batch = 500;  // images; changes speed and memory only

  /// Error where a setting is out of range or two do not go together.
  void validate() const;
  /// The phases of the whole run, `strategy` scaled to `epochs`. "step" is the learning rate for four fifths of the
  /// epochs and a tenth of it for the rest, without amplification.
  Strategy resolved_strategy() const;
  OptimizerOptions optimizer_options() const;
};

/// How many epochs from the first on two runs have in common, bit for bit: neither measures nor amplifies yet, the
/// learning rates are equal, and so is all else but the amplification and where the run's folder is.
int shared_epochs(const RunSettings& a, const RunSettings& b);

nlohmann::json to_json(const RunSettings& settings);
/// The kind of every setting, by the keys of to_json: "batch_size": "training".
nlohmann::json setting_kinds();
/// Reads what to_json writes, in this release or an earlier one: a setting that is newer than the first release may be
/// missing and then has its default. An unknown or missing key, or a value of the wrong type, is an Error that names
/// it.
RunSettings settings_from_json(const nlohmann::json& json);

}  // namespace gradamp

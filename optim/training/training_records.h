// SPDX-License-Identifier: MIT
// What a training loop reports about its steps, epochs and selections.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "gradamp/optim/optimizer.h"

namespace gradamp {

/// The progress of a run, for the display.
struct StepProgress {
  int epoch = 0, epochs = 0;
  std::int64_t images = 0, images_per_epoch = 0;  // of this epoch: done, and all
  double loss = 0, accuracy = 0;                  // mean over this epoch's images so far; accuracy in [0, 1]
  double images_per_second = 0;
  double seconds_left = 0;                      // of the run
  std::int64_t evaluated = 0, to_evaluate = 0;  // test and validation images of this epoch: done, and all
};

/// An epoch that has ended.
struct EpochSummary {
  int epoch = 0, epochs = 0;
  double learning_rate = 0;                   // of the epoch's last step
  double train_loss = 0, train_accuracy = 0;  // over the augmented images, while training
  double test_loss = 0, test_accuracy = 0;
  std::optional<double> validation_loss, validation_accuracy;  // if images are held out for validation
  double seconds = 0;                                          // training and evaluation
  double images_per_second = 0;                                // in training
  bool analyzed = false, amplified = false;
};

/// G, G' and the selection of every layer: at the end of an analyzed epoch, or at the beginning of an epoch whose
/// layers are drawn at random.
struct SelectionSummary {
  int epoch = 0;
  double noise_floor = 0;  // 1/sqrt(iterations); 0 for a random selection
  std::vector<LayerReport> layers;
};

/// G and G' of every layer over a measuring window (OptimizerOptions::measure_every), at the end of its last epoch.
struct MeasureSummary {
  int first_epoch = 0, epoch = 0;  // the window's first and last epoch
  double noise_floor = 0;          // 1/sqrt(iterations)
  std::vector<MeasuredLayer> layers;
};

}  // namespace gradamp

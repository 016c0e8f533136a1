// SPDX-License-Identifier: MIT
// MeasuringWindow: G and G' of every layer over windows of epochs, whether or not layers are amplified. It has sums of
// its own, so it can be open beside the strategy's analyzed epochs, and it does not change the training.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/layers/module.h"
#include "gradamp/optim/parameter_arena.h"

namespace gradamp {

/// The measures of one layer over a window.
struct MeasuredLayer {
  std::string name;
  LayerType type = LayerType::kConv;
  std::int64_t count = 0;  // trained parameters
  double g = 0, g_prime = 0, normalized_g = 0, normalized_g_prime = 0;
};

/// The result of one window. It owns its tensor, so it can be read at any later time.
class MeasureRecord {
 public:
  /// `layers` without their measures, in the arena's order; `measures`: f64 (kMeasureCount, layers).
  MeasureRecord(int first_epoch, int last_epoch, std::vector<MeasuredLayer> layers, Tensor measures)
      : first_epoch_(first_epoch),
        last_epoch_(last_epoch),
        layers_(std::move(layers)),
        measures_(std::move(measures)) {}

  int first_epoch() const { return first_epoch_; }
  int last_epoch() const { return last_epoch_; }
  /// Number of epochs in the sums; m = steps per epoch * window_epochs().
  std::int64_t window_epochs() const { return last_epoch_ - first_epoch_ + 1; }
  /// Every layer with trained parameters, in the network's order. Waits for the device.
  std::vector<MeasuredLayer> read() const;

 private:
  int first_epoch_, last_epoch_;
  std::vector<MeasuredLayer> layers_;
  Tensor measures_;
};

/// Threads: as the Backend of the arena.
class MeasuringWindow {
 public:
  /// A window has `every` epochs, or fewer if the run ends; 0: no window ever opens. Error if a layer cannot be
  /// measured by this granularity.
  MeasuringWindow(const ParameterArena& arena, std::int64_t every, Granularity granularity);

  bool is_open() const { return first_epoch_ > 0; }
  /// The epoch at whose start the open window began; 0: none is open.
  int first_epoch() const { return first_epoch_; }
  /// The arena with this window's sums.
  const Arena& arena() const { return window_arena_; }

  /// Opens a window at the start of `epoch`, with cleared sums, unless one is open.
  void begin_epoch(int epoch);
  /// Closes the window and returns its measures, if it has its epochs at the end of `epoch`, or if `run_ends`.
  std::optional<MeasureRecord> end_epoch(int epoch, bool run_ends);
  /// Prepares for a checkpoint whose window began at `first_epoch`; 0: it has none, and the next begin_epoch opens one.
  void resume(int first_epoch) { first_epoch_ = every_ > 0 ? first_epoch : 0; }
  /// Appends the sums, if a window is open.
  void append_state_tensors(std::vector<NamedBuffer>& tensors) const;

 private:
  std::int64_t every_;
  Granularity granularity_;
  Arena window_arena_;
  std::vector<MeasuredLayer> layers_;  // without measures
  int first_epoch_ = 0;
};

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// The training strategy ([IGA] section 4): a list of phases. It gives each epoch's learning rate, and whether the epoch
// is analyzed, selects layers, or is amplified.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace gradamp {

/// Epochs are counted from 1. A phase begins after the previous phase's end and includes `end_epoch`.
struct Phase {
  int end_epoch = 0;
  double learning_rate = 0.1;
  bool amplify = false;
  double factor = 1;  // 1 if `amplify` is false. Factor 1 measures and selects, but changes no update.
  friend bool operator==(const Phase&, const Phase&) = default;
};

/// What an epoch does.
struct EpochPlan {
  int epoch = 0;
  int phase = 0;  // index in Strategy::phases
  double learning_rate = 0;
  double factor = 1;
  bool phase_start = false;        // the first epoch of its phase
  bool analyzed = false;           // gradients are added to the sums
  bool clear_sums = false;         // at its start
  bool select = false;             // at its end
  bool amplified = false;          // the selected layers are amplified
  std::int64_t window_epochs = 0;  // if analyzed: epochs in the sums at the epoch's end
};

/// [IGA]'s schedule with measured selection. The first epoch of an amplifying phase is analyzed and not amplified. At
/// its end layers are selected, and the rest of the phase is amplified.
///
/// With `reselect_every` k > 0, windows of k epochs follow from the phase's second epoch on. Each window clears the
/// sums at its start, accumulates while the selected layers are amplified, and replaces the selection at its end. A
/// window is not analyzed if the phase could not use its selection: if it ends with the phase or would end after it.
struct Strategy {
  std::vector<Phase> phases;
  std::int64_t reselect_every = 0;  // epochs; 0: select once per phase

  friend bool operator==(const Strategy&, const Strategy&) = default;

  int epochs() const { return phases.empty() ? 0 : phases.back().end_epoch; }
  /// Error unless there is a phase, ends increase from at least 1, learning rates and factors are finite and above 0,
  /// only phases with `amplify` have a factor other than 1, and reselect_every is at least 0.
  void validate() const;
  /// Error unless `epoch` is in [1, epochs()].
  EpochPlan plan(int epoch) const;

  /// The fewest epochs in which every amplifying phase has an epoch that is amplified: two for each of them, of which
  /// the first is analyzed, and one for each other phase.
  int least_epochs() const;
  /// The same phases over `epochs`: every end is scaled and rounded. Ends are then moved so that each phase has at
  /// least one epoch, and an amplifying phase two, since its first is not amplified. If there are too few epochs for
  /// that, the last amplifying phases get one. Error if there are fewer epochs than phases. reselect_every does not
  /// change.
  Strategy scale_to(int epochs) const;
};

/// [IGA]'s strategy for VGG-19 and ResNet-18/34; 150 epochs.
Strategy params_1();
/// [IGA]'s strategy for ResNet-50/101; 150 epochs.
Strategy params_2();

/// Parses "params_1", "params_2" or phases: "50:0.1, 100:0.1:2, 130:0.01:x2, 150:0.01". A phase is
/// end_epoch ":" learning_rate [":" ["x"] factor]; a phase with a factor amplifies. Phases are separated by commas, and
/// spaces around the parts are ignored. The result is validated.
Strategy parse_strategy(std::string_view text);
/// The phases in the format of parse_strategy; without reselect_every.
std::string to_string(const Strategy& strategy);

}  // namespace gradamp

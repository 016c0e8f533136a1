// SPDX-License-Identifier: MIT
// The training strategy ([IGA] section 4): a list of phases, and what it means for each epoch: the learning rate,
// whether gradients are analysed, when layers are selected and when they are amplified.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace gradamp {

/// Epochs are counted from 1; a phase runs from the end of the one before up to and including `end_epoch`.
struct Phase {
  int end_epoch = 0;
  double learning_rate = 0.1;
  bool amplify = false;
  double factor =
      1;  // of amplification; 1 where `amplify` is false. Factor 1 measures and selects, and changes nothing.
  friend bool operator==(const Phase&, const Phase&) = default;
};

/// What an epoch does.
struct EpochPlan {
  int epoch = 0;
  int phase = 0;  // place in Strategy::phases
  double learning_rate = 0;
  double factor = 1;
  bool phase_start = false;  // the first epoch of its phase
  bool analyzed = false;     // gradients are added to the sums
  bool clear_sums = false;   // at its start
  bool select = false;       // at its end
  bool amplified = false;    // the selected layers are amplified
  int window_epochs = 0;     // analysed: epochs in the sums at its end
};

/// [IGA]'s schedule, with its measured selection: the first epoch of an amplifying phase is analysed and not amplified,
/// layers are selected at its end, and the rest of the phase is amplified.
///
/// With `reselect_every` k > 0, windows of k epochs follow from the phase's second epoch on. The sums are cleared at
/// the start of a window, gather through it with amplification on, and replace the selection at its end. A window whose
/// selection the phase would not use (it ends with the phase, or would end after it) is not analysed.
struct Strategy {
  std::vector<Phase> phases;
  int reselect_every = 0;  // epochs; 0: select once a phase

  friend bool operator==(const Strategy&, const Strategy&) = default;

  int epochs() const { return phases.empty() ? 0 : phases.back().end_epoch; }
  /// Error unless there is a phase, ends rise from 1 on, learning rates and factors are finite and above 0, a factor
  /// other than 1 comes with `amplify`, and reselect_every is at least 0.
  void validate() const;
  /// Error unless `epoch` is in [1, epochs()].
  EpochPlan plan(int epoch) const;

  /// The same shape over `epochs`: every end scaled and rounded, then moved where needed so that a phase keeps one
  /// epoch and an amplifying one two (its first amplifies nothing). Where there are too few epochs for that, the last
  /// amplifying phases keep one first. Error where there are fewer epochs than phases. reselect_every stays.
  Strategy scale_to(int epochs) const;
};

/// Of [IGA]: for VGG-19 and ResNet-18/34; 150 epochs.
Strategy params_1();
/// For ResNet-50/101; 150 epochs.
Strategy params_2();

/// Reads "params_1", "params_2" or phases: "50:0.1, 100:0.1:2, 130:0.01:x2, 150:0.01". A phase is
/// end_epoch ":" learning_rate [":" ["x"] factor], and amplifies where a factor is given; phases are separated by
/// commas, spaces around the parts are ignored. The result is validated.
Strategy parse_strategy(std::string_view text);
/// The phases as parse_strategy reads them; not reselect_every.
std::string to_string(const Strategy& strategy);

}  // namespace gradamp

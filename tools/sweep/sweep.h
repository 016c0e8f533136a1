// SPDX-License-Identifier: MIT
// A sweep: many runs that answer one question. Its file is like a run's configuration file, but a value may be a list
// or a range, and every combination of them is a run, a *cell*:
//
//     network = [resnet20, resnet32]       # for all cells
//     strategy = params_1
//     seed = 1:2
//
//     [original]                           # without amplification
//     [random]                             # a random selection of layers
//     random-fraction = 0.5
//     [amplified]                          # layers selected by a measure
//     measure = [g, g-prime]
//     threshold = 0.7:2.5:0.1              # from:to:step, of a number; a step of 1 may be left out
//
// A heading makes cells of that kind, with what stands below it and, of what makes a difference to them, above the
// first heading.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "gradamp/tools/settings/settings.h"

namespace gradamp {

struct SweepCell {
  std::string name;               // "amplified_resnet20_g-prime_threshold-0.7_seed-1": kind and axes; its folder's name
  std::string name_of_beginning;  // "beginning_resnet20_seed-1": without the axes of the amplification
  RunSettings settings;           // validated; without a run folder
};

/// A setting that holds for every cell, whatever the file says, and where it came from ("--data").
struct SweepOverride {
  std::string key, value, source;
};

/// The cells of a sweep file in its order, the first axis outermost. `name` is the file's, for messages: Error
/// ("NAME:3: ...") for a line that is none of the above, an unknown key, an empty list or range, a value that its
/// setting does not take, and settings that do not go together; the message names the cell.
std::vector<SweepCell> read_sweep(std::istream& file, const std::string& name,
                                  const std::vector<SweepOverride>& overrides = {});

/// Epochs that several cells have in common, to be trained once: those before any of them amplifies (shared_epochs).
struct SharedBeginning {
  std::string name;      // its folder's
  RunSettings settings;  // of a run without amplification
  int epochs = 0;
  std::vector<std::size_t> cells;  // their places in the sweep
};

/// Every cell is in one at the most; a beginning has two cells at least.
std::vector<SharedBeginning> shared_beginnings(const std::vector<SweepCell>& cells);

/// The presets' names, and the text of one; Error where there is none of that name.
std::vector<std::string> sweep_preset_names();
std::string sweep_preset(const std::string& name);

}  // namespace gradamp

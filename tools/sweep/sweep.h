// SPDX-License-Identifier: MIT
// A sweep: many runs that answer one question. Its file has the syntax of a run's configuration file, but a value may
// be a list or a range. Every combination of values is a run, called a *cell*:
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
//     threshold = 0.7:2.5:0.1              # from:to:step for a number; a step of 1 may be omitted
//
// A heading creates cells of that kind. They have the settings below the heading, and those settings above the first
// heading that affect them.
#pragma once

#include <istream>
#include <string>
#include <vector>

#include "gradamp/tools/settings/settings.h"

namespace gradamp {

struct SweepCell {
  std::string name;               // kind and axes: "amplified_resnet20_g-prime_threshold-0.7_seed-1"; names the folder
  std::string name_of_beginning;  // the name without the axes of amplification: "beginning_resnet20_seed-1"
  RunSettings settings;           // validated; without a run folder
};

/// A setting that replaces the file's for all cells, and its source ("--data").
struct SweepOverride {
  std::string key, value, source;
};

/// Reads the cells of a sweep file, in the order of the file with the first axis outermost. `name` is the file's name
/// for messages. Error ("NAME:3: ...") if a line has another syntax, a key is unknown, a list or range is empty, or a
/// setting does not accept a value. If the settings of a cell are incompatible, the Error names the cell.
std::vector<SweepCell> read_sweep(std::istream& file, const std::string& name,
                                  const std::vector<SweepOverride>& overrides = {});

/// First epochs that several cells share (shared_epochs), because none of them measures or amplifies yet. They are
/// trained only once.
struct SharedBeginning {
  std::string name;      // also the name of its folder
  RunSettings settings;  // without amplification
  int epochs = 0;
  std::vector<std::size_t> cells;  // indices in the sweep
};

/// The shared beginnings of a sweep. Every cell is in at most one. A beginning has at least two cells.
std::vector<SharedBeginning> shared_beginnings(const std::vector<SweepCell>& cells);

/// The names of the presets, and the text of the preset `name`. Error if there is no preset with this name.
std::vector<std::string> sweep_preset_names();
std::string sweep_preset(const std::string& name);

}  // namespace gradamp

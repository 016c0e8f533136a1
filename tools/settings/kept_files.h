// SPDX-License-Identifier: MIT
// What a run leaves in its folder, the setting --keep.
#pragma once

#include "gradamp/optim/choices.h"

namespace gradamp {

enum class KeptFiles {
  kWeights,  // once the run is finished, only its weights: it can be evaluated, but not extended
  kLast,     // the last checkpoint, and the one before it
  kAll,      // also the checkpoint of every epoch
};

template <>
inline constexpr std::array kChoices<KeptFiles>{Choice<KeptFiles>{"weights", KeptFiles::kWeights},
                                                Choice<KeptFiles>{"last", KeptFiles::kLast},
                                                Choice<KeptFiles>{"all", KeptFiles::kAll}};

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/optim/selection.h"

#include <cmath>

#include "gradamp/core/error.h"

namespace gradamp {

void SelectionOptions::validate() const {
  if (method == SelectionMethod::kMeasure) {
    check(measure == kG || measure == kGPrime, "selection: expected the measure G or G'");
    check(selection_case == SelectionCase::kOneSided || selection_case == SelectionCase::kTwoSided,
          "selection: expected case 1 or 2, got {}", static_cast<int>(selection_case));
    check(std::isfinite(threshold), "selection: expected a finite threshold, got {}", threshold);
  } else if (method == SelectionMethod::kRandom) {
    check(fraction > 0 && fraction <= 1, "random selection: expected a fraction in (0, 1], got {}", fraction);
    check(!types.empty(), "random selection: expected one type of layer at least (conv, bn, relu, linear)");
  }
}

}  // namespace gradamp

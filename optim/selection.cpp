// SPDX-License-Identifier: MIT
#include "optim/selection.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/philox.h"

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

std::vector<std::size_t> draw_layers(std::size_t candidates, double fraction, std::uint64_t seed, int epoch) {
  std::vector<std::size_t> drawn(candidates);
  std::iota(drawn.begin(), drawn.end(), std::size_t{0});
  if (candidates == 0) return drawn;
  const auto wanted = static_cast<std::size_t>(std::lround(fraction * static_cast<double>(candidates)));
  const std::size_t count = std::clamp(wanted, std::size_t{1}, candidates);
  PhiloxSequence random(seed, RandomStream::kSelection, static_cast<std::uint32_t>(epoch));
  for (std::size_t i = 0; i < count; ++i)  // the first `count` places of a Fisher-Yates shuffle
    std::swap(drawn[i], drawn[i + random.below(static_cast<std::uint32_t>(candidates - i))]);
  drawn.resize(count);
  std::sort(drawn.begin(), drawn.end());
  return drawn;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_extension.h"

#include <algorithm>

#include "gradamp/core/error.h"
#include "gradamp/optim/choices.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

bool is_same_plan(const EpochPlan& a, const EpochPlan& b) {
  return a.learning_rate == b.learning_rate && a.factor == b.factor && a.phase_start == b.phase_start &&
         a.analyzed == b.analyzed && a.clear_sums == b.clear_sums && a.select == b.select &&
         a.amplified == b.amplified && a.window_epochs == b.window_epochs;
}

/// The first epoch of `shorter` that `longer` plans differently; 0 if there is none.
int first_changed_epoch(const RunSettings& shorter, const RunSettings& longer) {
  const OptimizerOptions a = shorter.optimizer_options(), b = longer.optimizer_options();
  const int epochs = std::min(a.strategy.epochs(), b.strategy.epochs());
  if (a.schedule != Schedule::kPhases && a.strategy.epochs() != b.strategy.epochs()) return 1;  // it is over all steps
  for (int epoch = 1; epoch <= epochs; ++epoch)
    if (!is_same_plan(plan_epoch(a, epoch), plan_epoch(b, epoch))) return epoch;
  return 0;
}

/// The phases as they are, with a longer last one.
std::string prolonged(Strategy strategy, int epochs) {
  strategy.phases.back().end_epoch = epochs;
  return to_string(strategy);
}

/// Whether the phases are the run's own, and not scaled to its epochs.
bool has_own_phases(const RunSettings& settings) {
  if (settings.strategy == "step" || settings.strategy.starts_with("params_")) return false;
  return settings.epochs == 0 || parse_strategy(settings.strategy).epochs() == settings.epochs;
}

}  // namespace

bool is_extension(const RunSettings& shorter, const RunSettings& longer) {
  if (longer.resolved_strategy().epochs() <= shorter.resolved_strategy().epochs()) return false;
  RunSettings alike = longer;
  alike.epochs = shorter.epochs;
  alike.strategy = shorter.strategy;
  return describe_differences(shorter, alike, {SettingKind::kOutput, SettingKind::kSource, SettingKind::kLogging})
             .empty() &&
         first_changed_epoch(shorter, longer) == 0;
}

RunSettings extended_settings(const RunSettings& stored, int epochs, const std::string& strategy) {
  const Strategy phases = stored.resolved_strategy();
  check(stored.schedule == Schedule::kPhases,
        "the learning rate follows --schedule {} over the run's {} epochs, so a longer run would have others from the "
        "first step on; start a new run",
        choice_name(stored.schedule), phases.epochs());
  RunSettings longer = stored;
  longer.strategy = strategy;
  longer.epochs = epochs;
  if (strategy.empty()) {
    check(epochs > phases.epochs(),
          "--epochs: expected more than the run's {} to extend it, got {}; --until ends a run earlier", phases.epochs(),
          epochs);
    check(has_own_phases(stored),
          "--epochs {}: the strategy {} is scaled to the run's epochs, so the {} epochs that it has would change; to "
          "prolong "
          "its last phase, also give --strategy '{}'; to scale it, start a new run",
          epochs, stored.strategy, phases.epochs(), prolonged(phases, epochs));
    longer.strategy = prolonged(phases, epochs);
  } else {
    if (epochs == 0 || epochs == phases.epochs()) longer.epochs = 0;  // not given
    longer.epochs = longer.resolved_strategy().epochs();
    check(longer.epochs > phases.epochs(),
          "--strategy: expected more than the run's {} epochs to extend it, got {}; a run cannot be shortened",
          phases.epochs(), longer.epochs);
  }
  longer.validate();
  const int changed = first_changed_epoch(stored, longer);
  check(changed == 0,
        "the run has '{}', and '{}' would change its epoch {}: expected no change up to epoch {}{}; start a new run",
        to_string(phases), longer.strategy, changed, phases.epochs(),
        stored.reselect_every > 0 ? " (a longer phase has room for another --reselect-every window)" : "");
  return longer;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include <filesystem>
#include <iostream>
#include <optional>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/run/training.h"

namespace gradamp {

int run_evaluate(const EvaluateCommand& command) {
  RunSettings settings = command.settings;
  std::filesystem::path weights = command.weights;
  if (!command.run.empty()) {
    const RunFolder run = RunFolder::open(command.run, real_file_system());
    settings = command.apply_to(run.settings());
    const std::optional<std::filesystem::path> saved = run.saved_weights();
    check(saved.has_value(), "{} has no checkpoint yet", command.run);
    check(!command.best || path_exists(run.best_weights()),
          "--best: {} is missing; a run with held-out images (--validation) writes it", run.best_weights().string());
    weights = command.best ? run.best_weights() : *saved;
    if (!command.best && weights != run.checkpoint() && weights != run.weights())
      std::cerr << fmt::format("{}: warning: {} is missing; evaluating the one before it, {}\n", command_name(),
                               run.checkpoint().string(), weights.filename().string());
  }
  find_data(settings);
  const Evaluations evaluations = evaluate(settings, weights, command.outputs);
  for (const std::string& note : evaluations.notes) std::cerr << printable(note) << "\n";
  const auto print = [&](const char* part, const Evaluation& evaluation) {
    std::cout << fmt::format("{} on {}{}: loss {:.4f}, accuracy {:.2f}% of {} images\n", settings.network,
                             settings.dataset, part, evaluation.loss, 100 * evaluation.accuracy, evaluation.images);
  };
  print("", evaluations.test);
  if (evaluations.validation) print(" (validation part)", *evaluations.validation);
  return 0;
}

}  // namespace gradamp

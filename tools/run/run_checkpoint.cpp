// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_checkpoint.h"

#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"

namespace gradamp {

std::string checkpoint_settings(const RunSettings& settings) {
  RunSettings determining = settings;
  determining.run_folder.clear();
  return to_json(determining).dump();
}

void check_beginning(const CheckpointFile& file, const RunSettings& settings) {
  check(file.position().epoch_finished, "{}: expected the end of an epoch, got a checkpoint inside epoch {}",
        file.path().string(), file.position().epoch);
  const RunSettings other = settings_from_json(nlohmann::json::parse(file.settings()));
  const int shared = shared_epochs(other, settings);
  check(shared > 0,
        "{} is of a run that has nothing in common with this one: expected the same settings but for the amplification "
        "(data, network, seed, batch size, threads, ...) and the same learning rate in the first epoch",
        file.path().string());
  check(file.position().epoch <= shared,
        "{} is {} epochs into a run that has only its first {} in common with this one; branch from a run with the "
        "same settings but for the amplification that was ended --until {}",
        file.path().string(), file.position().epoch, shared, shared);
}

}  // namespace gradamp

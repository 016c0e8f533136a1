// SPDX-License-Identifier: MIT
// What config.json says about the origin of a run: facts, not settings. A resumed run may differ in all of them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gradamp/core/operation_params.h"
#include "gradamp/data/device_dataset.h"

namespace gradamp {

/// How images are normalized: (pixel - mean) / std per channel. A pixel is byte / 255 for u8 images, else the f32
/// value.
struct Normalization {
  std::vector<double> mean, std;  // (channels)
};

/// The first `channels` channels of `params`.
Normalization normalization_of(const GatherParams& params, std::int64_t channels);
/// The parameters that normalization_of was given, to the bit, without augmentation.
GatherParams gather_params_of(const Normalization& normalization);

/// What the network was trained on: all that is needed to give it other images.
struct InputFacts {
  std::int64_t height = 0, width = 0, channels = 0;
  bool is_bytes = true;                  // else f32
  std::vector<std::string> class_names;  // in the order of the network's outputs
};

InputFacts input_facts_of(const DeviceDataset& train);

/// The text of a fact is empty, and its list is, if it is not known. Runs of earlier releases know only the version.
struct RunFacts {
  std::string host;
  std::string started;  // "2026-01-31T17:40:12Z", in UTC
  std::string command;  // as in a shell
  std::string version;
  std::string commit;  // of the sources that the program was built from
  Normalization normalization;
  std::optional<InputFacts> input;
};

/// Fills in the facts that this process knows: host, started, version and commit.
RunFacts with_process_facts(RunFacts facts);

/// Adds the known facts, except the version, to `config`.
void write_facts(const RunFacts& facts, nlohmann::ordered_json& config);
/// Reads the facts of a config.json. An exception of the JSON library if a fact has another type, an Error if it is out
/// of range.
RunFacts read_facts(const nlohmann::json& config);

/// The commit of the sources with which the program was built: 40 hexadecimal digits, and "-modified" if the sources
/// differed from the commit. Empty if it is not known.
const char* source_commit();

}  // namespace gradamp

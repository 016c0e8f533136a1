// SPDX-License-Identifier: MIT
// A run's folder: config.json (every setting, resolved), metrics.jsonl (one line per epoch), layers.jsonl (one line per
// layer and selection), an event file with the same numbers for TensorBoard, checkpoint.safetensors (and the previous
// checkpoint), summary.json.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gradamp/data/files/event_file.h"
#include "gradamp/data/files/file_system.h"
#include "gradamp/tools/run/training.h"

namespace gradamp {

class RunFolder {
 public:
  /// Creates the folder and writes config.json. Error if the folder already contains a run.
  static RunFolder create(const std::filesystem::path& path, const RunSettings& settings,
                          const std::string& backend_description, FileSystem& file_system);
  /// Reads config.json. Error if there is none.
  static RunFolder open(const std::filesystem::path& path, FileSystem& file_system);

  const std::filesystem::path& path() const { return path_; }
  const RunSettings& settings() const { return settings_; }
  /// The description of the backend that the run began on.
  const std::string& backend_description() const { return backend_description_; }
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }

  void append(const EpochSummary& summary) const;
  void append(const SelectionSummary& summary) const;
  /// Logs the epochs of another run, up to `last_epoch`, as epochs of this run.
  void copy_epochs(const RunFolder& other, int last_epoch) const;
  void write_summary(const TrainingOutcome& outcome) const;
  /// The number of whole epochs in the summary, or 0 if there is no summary yet.
  int summarized_epochs() const;

  /// Removes log entries of epochs after `last_epoch`, which were logged after the checkpoint was saved. For
  /// layers.jsonl the last epoch is `selection_epoch` (because a random selection is made at the start of an epoch).
  void trim_logs(int last_epoch, int selection_epoch) const;
  /// The outcome so far, read from the logs.
  TrainingOutcome read_outcome() const;

 private:
  RunFolder(std::filesystem::path path, RunSettings settings, std::string backend_description, std::string run_id,
            FileSystem& file_system);
  std::vector<nlohmann::json> read_lines(const char* name) const;
  std::vector<SelectionSummary> read_selections() const;
  std::filesystem::path event_file() const;
  void append_events(int epoch, const std::vector<Scalar>& scalars) const;

  std::filesystem::path path_;
  RunSettings settings_;
  std::string backend_description_;
  std::string run_id_;
  FileSystem* file_system_;
};

}  // namespace gradamp

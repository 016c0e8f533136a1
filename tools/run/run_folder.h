// SPDX-License-Identifier: MIT
// A run's folder: config.json (every setting, resolved), metrics.jsonl (one line per epoch), layers.jsonl (one line per
// layer and selection), measures.jsonl (one line per layer and measuring window), an event file with the same numbers
// for TensorBoard, checkpoint.safetensors (and the previous checkpoint), summary.json, failure.txt (why the run failed,
// if it did), lock (held by the process that trains the run).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

#include "gradamp/data/files/event_file.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/data/files/file_system.h"
#include "gradamp/tools/run/run_facts.h"
#include "gradamp/tools/run/training.h"

namespace gradamp {

/// Whether `name` is that of a run's own file.
bool is_run_file(const std::string& name);
/// Whether `name` is that of a run's own file, of one that a save was interrupted at, or of a damaged file set aside.
bool is_made_by_run(const std::string& name);
/// The names of a run's own files that are in `folder`, without the lock.
std::vector<std::string> run_files_in(const std::filesystem::path& folder, FileSystem& file_system);

class RunFolder {
 public:
  /// Creates the folder, locks it and writes config.json. Error if the folder already contains a file of a run.
  /// `branched_epochs`: the number of epochs that will be copied from another run. `images`: their fingerprint.
  /// `facts`: the command and the normalization; the folder adds those of the process.
  static RunFolder create(const std::filesystem::path& path, const RunSettings& settings,
                          const std::string& backend_description, FileSystem& file_system, int branched_epochs = 0,
                          const std::string& images = "", const RunFacts& facts = {});
  /// Reads config.json. Error if there is none. Does not lock the folder.
  static RunFolder open(const std::filesystem::path& path, FileSystem& file_system);

  const std::filesystem::path& path() const { return path_; }
  const RunSettings& settings() const { return settings_; }
  /// The description of the backend that the run began on.
  const std::string& backend_description() const { return backend_description_; }
  /// The fingerprint of the images and labels with which the run began; "" for runs of 0.1.0.
  const std::string& images() const { return images_; }
  /// The origin of the run.
  const RunFacts& facts() const { return facts_; }
  /// Writes another path of the data to config.json.
  void move_data(const std::string& path);
  /// Writes another length of the measuring windows to config.json.
  void change_measuring(std::int64_t measure_every);
  std::filesystem::path checkpoint() const { return path_ / "checkpoint.safetensors"; }
  /// The weights of a finished run whose checkpoints were discarded (KeptFiles::kWeights).
  std::filesystem::path weights() const { return path_ / "weights.safetensors"; }
  /// The weights of the epoch with the highest accuracy on the validation images.
  std::filesystem::path best_weights() const { return path_ / "best.safetensors"; }
  /// The checkpoint of an epoch (KeptFiles::kAll).
  std::filesystem::path checkpoint_of(int epoch) const;
  /// A file with the run's last weights: saved_checkpoint(), else weights(). Nothing if there is none.
  std::optional<std::filesystem::path> saved_weights() const;
  /// The checkpoint from which the run can continue: checkpoint() or, if that is missing, the previous one. Nothing if
  /// neither exists.
  std::optional<std::filesystem::path> saved_checkpoint() const;

  /// Gives `checkpoint`, which is one of the run's, the name checkpoint_of(epoch) as well.
  void keep_epoch(int epoch, const std::filesystem::path& checkpoint) const;
  /// Removes the checkpoints of a finished run, except those of epochs. A run is never left with the previous one
  /// alone.
  void discard_checkpoints() const;

  /// Locks the folder as long as this object or a copy lives, because a run is trained by one process at a time. Error
  /// with the process that holds the lock.
  void lock();
  /// A warning for the user, if the file system has no locks.
  const std::optional<std::string>& lock_warning() const { return lock_warning_; }
  /// Error if the run had saved a checkpoint, as its logs show. Call it if there is no checkpoint, before the run
  /// begins again.
  void check_unstarted() const;
  /// Removes the run's files, for a new run with the same folder. Error as lock() and check_unstarted(). Other files in
  /// the folder stay.
  void discard_unstarted();

  void append(const EpochSummary& summary) const;
  void append(const SelectionSummary& summary) const;
  void append(const MeasureSummary& summary) const;
  /// Logs the epochs of another run, up to `last_epoch`, as epochs of this run.
  void copy_epochs(const RunFolder& other, int last_epoch) const;
  void write_summary(const TrainingOutcome& outcome) const;
  /// Records why the run failed, in one line; an empty reason removes the record. A failure to record is ignored, since
  /// it would hide the reason.
  void record_failure(const std::string& reason) const;
  /// Why the run failed when it was last trained; empty if it did not.
  std::string read_failure() const;
  /// Makes this run that of `settings`, which has more epochs (is_extension): it is then unfinished.
  void extend(const RunSettings& settings);
  /// The number of whole epochs in the summary, or 0 if there is no summary yet.
  int summarized_epochs() const;

  /// Removes log entries of epochs after `last_epoch`, which were logged after the checkpoint was saved. For
  /// layers.jsonl the last epoch is `selection_epoch` (because a random selection is made at the start of an epoch).
  /// A damaged event file is set aside and written anew from the other logs; returns a warning then. A damaged line of
  /// another log is an Error.
  std::optional<std::string> trim_logs(int last_epoch, int selection_epoch) const;
  /// The outcome so far, read from the logs.
  TrainingOutcome read_outcome() const;
  /// The last epoch of the outcome, or nothing before the first. Reads only the end of one log, so that thousands of
  /// runs can be listed.
  std::optional<EpochSummary> read_last_epoch() const;

 private:
  RunFolder(std::filesystem::path path, RunSettings settings, std::string backend_description, std::string run_id,
            FileSystem& file_system);
  std::vector<nlohmann::json> read_lines(const char* name) const;
  std::vector<SelectionSummary> read_selections() const;
  std::vector<MeasureSummary> read_measures() const;
  void change_settings(const nlohmann::json& values);
  std::optional<std::filesystem::path> event_file() const;
  void append_events(int epoch, const std::vector<Scalar>& scalars) const;

  std::filesystem::path path_;
  RunSettings settings_;
  std::string backend_description_;
  std::string run_id_;
  std::string images_;
  RunFacts facts_;
  int branched_epochs_ = 0;
  FileSystem* file_system_;
  std::shared_ptr<FileLock> lock_;
  std::optional<std::string> lock_warning_;
};

}  // namespace gradamp

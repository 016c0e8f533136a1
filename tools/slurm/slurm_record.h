// SPDX-License-Identifier: MIT
// The record of the arrays that were submitted to Slurm for a run or a sweep: slurm/submitted.jsonl in its folder. One
// line is appended before sbatch runs, and one after it with the job's number. So a job whose submission was
// interrupted is still known by its script. Every line has a checksum.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

struct SubmittedRun {
  std::string name;
  std::size_t task = 0;        // index in the array
  std::uint32_t settings = 0;  // their checksum
};

/// One call of sbatch.
struct Submission {
  std::string script;  // name of the script in the folder slurm/; unique in the record
  unsigned user = 0;   // who submitted it
  std::vector<SubmittedRun> runs;
  std::string job, cluster;   // the number is empty until it is known; the cluster is empty for the default one
  bool is_abandoned = false;  // Slurm has no such job
};

class SlurmRecord {
 public:
  /// Reads the file, if there is one. A torn last line is ignored. Error with file and line number if another line is
  /// damaged.
  explicit SlurmRecord(std::filesystem::path file, FileSystem& file_system = real_file_system());

  const std::vector<Submission>& submissions() const { return submissions_; }
  /// A name that no script of the record has: "cells-3.sh".
  std::string new_script(const std::string& kind) const;

  // Each call appends one line. Error if that fails; the record is then unchanged.
  void begin(const Submission& submission);
  void set_job(const std::string& script, const std::string& job, const std::string& cluster);
  void abandon(const std::string& script);

 private:
  void read_line(const std::string& line);
  Submission& submission_of(const std::string& script);

  std::filesystem::path file_;
  FileSystem& file_system_;
  std::vector<Submission> submissions_;
};

}  // namespace gradamp

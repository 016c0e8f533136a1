// SPDX-License-Identifier: MIT
#include "gradamp/tools/slurm/slurm_record.h"

#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::HasSubstr;
using ::testing::StartsWith;

class SlurmRecordTest : public testing::Test {
 protected:
  void submit(const std::string& kind, const std::string& job, FileSystem& file_system = real_file_system()) {
    SlurmRecord record(file_, file_system);
    Submission submission;
    submission.script = record.new_script(kind);
    submission.user = 1000;
    submission.runs = {{kind + " 0", 0, 4000000000U}, {kind + " 7", 7, 5}};
    record.begin(submission);
    if (!job.empty()) record.set_job(submission.script, job, "east");
  }
  std::vector<Submission> read() const { return SlurmRecord(file_).submissions(); }

  ScratchFolder folder_;
  const std::filesystem::path file_ = folder_ / "submitted.jsonl";
};

TEST_F(SlurmRecordTest, WhatWasWrittenIsRead) {
  EXPECT_TRUE(read().empty());
  submit("beginnings", "12");
  submit("cells", "");
  const std::vector<Submission> all = read();
  ASSERT_EQ(all.size(), 2U);
  EXPECT_EQ(all[0].script, "beginnings-1.sh");
  EXPECT_EQ(all[1].script, "cells-2.sh");
  EXPECT_EQ(all[0].user, 1000U);
  EXPECT_EQ(all[0].job + all[0].cluster, "12east");
  EXPECT_EQ(all[1].job, "");
  ASSERT_EQ(all[1].runs.size(), 2U);
  EXPECT_EQ(all[1].runs[1].name, "cells 7");
  EXPECT_EQ(all[1].runs[1].task, 7U);
  EXPECT_EQ(all[1].runs[0].settings, 4000000000U);
  SlurmRecord(file_).abandon("cells-2.sh");
  EXPECT_TRUE(read()[1].is_abandoned);
  EXPECT_FALSE(read()[0].is_abandoned);
}

TEST_F(SlurmRecordTest, ATornLastLineIsIgnoredAndReplaced) {
  submit("cells", "12");
  const std::string whole = text_of(file_);
  put_text(file_, whole + whole.substr(0, 30));
  EXPECT_EQ(read().size(), 1U);
  submit("cells", "13");
  ASSERT_EQ(read().size(), 2U);
  EXPECT_EQ(read()[1].job, "13");
}

TEST_F(SlurmRecordTest, EveryDamagedByteIsFound) {
  submit("cells", "12");
  const std::string whole = text_of(file_);
  const std::size_t second = whole.find('\n') + 1;
  for (std::size_t at = 0; at + 1 < whole.size(); ++at) {
    std::string damaged = whole;
    damaged[at] ^= 1;
    put_text(file_, damaged);
    const std::string line = file_.string() + (at < second ? ":1: " : ":2: ") + "this line is damaged (";
    EXPECT_THAT(error_of([&] { read(); }), StartsWith(line)) << at;
  }
  put_text(file_, whole.substr(second));  // a line is missing
  EXPECT_THAT(error_of([&] { read(); }), HasSubstr("there is no script 'cells-1.sh'"));
}

TEST_F(SlurmRecordTest, AFailureOfTheFileSystemLeavesTheRecordReadable) {
  submit("beginnings", "12");
  const std::string before = text_of(file_);
  const auto again = [&](FileSystem& file_system) { submit("cells", "13", file_system); };
  const int calls = count_calls(again);
  EXPECT_GT(calls, 10);
  for (const Fault fault : kAllFaults)
    for (int at = 1; at <= calls; ++at) {
      put_text(file_, before);
      const Outcome outcome = run_with_fault(fault, at, again);
      const std::vector<Submission> all = read();
      ASSERT_GE(all.size(), 1U) << name_of(fault) << at;
      EXPECT_EQ(all[0].job, "12") << name_of(fault) << at;
      if (outcome.kind != Outcome::kSucceeded) continue;
      ASSERT_EQ(all.size(), 2U) << name_of(fault) << at;
      EXPECT_EQ(all[1].job, "13") << name_of(fault) << at;
    }
}

}  // namespace
}  // namespace gradamp

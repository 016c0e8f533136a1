// SPDX-License-Identifier: MIT
#include "gradamp/data/files/event_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <iterator>
#include <limits>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using namespace std::string_literals;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Names = std::set<std::string>;

const std::vector<Scalar> kScalars = {{"a/b", 0.5}, {"c", -std::numeric_limits<double>::infinity()}};

// The records of create() at 1.5 s and of append() of kScalars at step 300 and -2 s, by the format's description. The
// four checksums are those of TensorBoard's masked_crc32c().
const std::string kFirstRecord =
    "\x18\0\0\0\0\0\0\0"        // 24 bytes of data
    "\xa3\x7f\x4b\x22"          // the checksum of these 8 bytes
    "\x09\0\0\0\0\0\0\xf8\x3f"  // Event, field 1, 8 bytes: wall_time = 1.5
    "\x1a\x0d"                  // field 3, text of 13 bytes: file_version
    "brain.Event:2"             // its 13 bytes
    "\x2a\x28\x64\x6c"s;        // the checksum of the data
const std::string kSecondRecord =
    "\x24\0\0\0\0\0\0\0"      // 36 bytes of data
    "\x42\x2b\x80\x4d"        // their checksum
    "\x09\0\0\0\0\0\0\0\xc0"  // wall_time = -2
    "\x10\xac\x02"            // field 2, varint: step = 0x2c + 2 * 128
    "\x2a\x16"                // field 5, message of 22 bytes: Summary
    "\x0a\x0a"                // Summary, field 1, message of 10 bytes: Value
    "\x0a\x03\x61/b"          // Value, field 1, text of 3 bytes: tag
    "\x15\0\0\0\x3f"          // field 2, 4 bytes: simple_value = 0.5
    "\x0a\x08"                // the second Value
    "\x0a\x01\x63"            // its tag
    "\x15\0\0\x80\xff"        // -infinity
    "\xcd\x0d\x1a\x41"s;

std::span<const std::byte> bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

void create(const std::filesystem::path& path, FileSystem& file_system) { EventFile::create(path, 1.5, file_system); }

void append(const std::filesystem::path& path, std::int64_t step, FileSystem& file_system) {
  EventFile::append(path, step, -2, kScalars, file_system);
}

// The record that append() writes for `step`. Tests that compare files use it; AppendsOneRecord has one byte by byte.
std::string record_of(std::int64_t step) {
  const ScratchFolder folder;
  FailingFileSystem sound;
  put_text(folder / "events", kFirstRecord);
  append(folder / "events", step, sound);
  return text_of(folder / "events").substr(kFirstRecord.size());
}

TEST(EventFile, ChecksumsHaveTheirPublishedValues) {
  EXPECT_EQ(crc32c(bytes_of("123456789")), 0xe3069283u);
  EXPECT_EQ(masked_crc32c(bytes_of("123456789")), 0xc78ab0e5u);
  EXPECT_EQ(masked_crc32c({}), 0xa282ead8u);
}

TEST(EventFile, NameHoldsWhatTensorBoardLooksFor) {
  EXPECT_EQ(event_file_name(1700000000, "0123abcd"), "events.out.tfevents.1700000000.0123abcd");
}

TEST(EventFile, BeginsWithItsVersion) {
  const ScratchFolder folder;
  EventFile::create(folder / "events", 1.5);
  EXPECT_EQ(text_of(folder / "events"), kFirstRecord);
  EXPECT_EQ(folder.names(), Names{"events"});
  EXPECT_THAT(error_of([&] { EventFile::create(folder / "events", 2.5); }),
              HasSubstr((folder / "events").string() + " is there already"));
  EXPECT_EQ(text_of(folder / "events"), kFirstRecord);
}

TEST(EventFile, AppendsOneRecordInOneWriteAndSyncsIt) {
  const ScratchFolder folder;
  EventFile::create(folder / "events", 1.5);
  FailingFileSystem watched;
  append(folder / "events", 300, watched);
  EXPECT_EQ(text_of(folder / "events"), kFirstRecord + kSecondRecord);
  EXPECT_THAT(watched.done(), ElementsAre("open events", "fstat events", "pread events", "close events", "open events",
                                          "write events", "fsync events", "close events"));
}

// Steps at the limits of a varint's lengths, and values at those of float32: the last 8 bytes are value and checksum.
TEST(EventFile, StepsAndValuesAtTheEdges) {
  const auto step_bytes = [](std::int64_t step) {
    const std::string record = record_of(step);
    return record.substr(21, record.find("\x2a\x16") - 21);
  };
  EXPECT_EQ(step_bytes(0), "\x10\0"s);
  EXPECT_EQ(step_bytes(127), "\x10\x7f"s);
  EXPECT_EQ(step_bytes(128), "\x10\x80\x01"s);
  EXPECT_EQ(step_bytes(std::numeric_limits<std::int64_t>::max()), "\x10\xff\xff\xff\xff\xff\xff\xff\xff\x7f"s);
  EXPECT_EQ(step_bytes(-1), "\x10\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s);

  const ScratchFolder folder;
  EventFile::create(folder / "events", 1.5);
  const auto value_bytes = [&](double value) {
    EventFile::append(folder / "events", 1, 2, std::array{Scalar{"x", value}});
    const std::string text = text_of(folder / "events");
    return text.substr(text.size() - 8, 4);
  };
  EXPECT_EQ(value_bytes(-0.0), "\0\0\0\x80"s);
  EXPECT_EQ(value_bytes(1e-30), "\x60\x42\xa2\x0d"s);
  EXPECT_EQ(value_bytes(1e300), "\0\0\x80\x7f"s);
  EXPECT_EQ(value_bytes(std::nan("")), "\0\0\xc0\x7f"s);
}

TEST(EventFile, CutsOffATornLastRecord) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  const std::string before = kFirstRecord + record_of(1), last = record_of(300), later = record_of(4);
  for (std::size_t length = 0; length < last.size(); ++length) {
    const std::string torn = last.substr(0, length);
    // As a kill leaves it, and as a power failure can: the length is on the disk, the last bytes are not.
    for (const std::string& tail : {torn, torn + std::string(last.size() - length, '\0')}) {
      const bool lost_in_header = tail.size() > length && length > 0 && length < 12;
      const bool lost_checksum_only = tail.size() > length && length + 4 > last.size();
      if (lost_in_header || lost_checksum_only) continue;  // not distinguishable from damage
      FailingFileSystem sound;
      put_text(path, before + tail);
      append(path, 4, sound);
      ASSERT_EQ(text_of(path), before + later) << length;
      put_text(path, before + tail);
      EventFile::trim(path, 9, sound);
      ASSERT_EQ(text_of(path), before) << length;
    }
  }
}

TEST(EventFile, TrimKeepsTheStepsUpToTheLast) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  const std::string one = record_of(1), two = record_of(2), far = record_of(300);
  const auto trimmed = [&](std::int64_t last_step) {
    FailingFileSystem sound;
    put_text(path, kFirstRecord + one + far + two + two + far);
    EventFile::trim(path, last_step, sound);
    EXPECT_EQ(folder.names(), Names{"events"});
    return text_of(path);
  };
  EXPECT_EQ(trimmed(299), kFirstRecord + one + two + two);
  EXPECT_EQ(trimmed(1), kFirstRecord + one);
  EXPECT_EQ(trimmed(0), kFirstRecord);
  EXPECT_EQ(trimmed(-1), kFirstRecord);
  EXPECT_EQ(trimmed(300), kFirstRecord + one + far + two + two + far);

  FailingFileSystem watched;
  EventFile::trim(path, 300, watched);
  EXPECT_THAT(watched.done(), ElementsAre("open events", "fstat events", "pread events", "close events"));
  append(path, 2, watched);
  EventFile::trim(path, 2, watched);
  EXPECT_EQ(text_of(path), kFirstRecord + one + two + two + two);
}

TEST(EventFile, AFlippedByteInTheMiddleIsAnError) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  const std::string second = record_of(1), good = kFirstRecord + second + record_of(300);
  for (std::size_t at = 0; at < kFirstRecord.size() + second.size(); ++at) {
    std::string bad = good;
    bad[at] ^= 0x10;
    FailingFileSystem sound;
    const std::string place = fmt::format("record at byte {} ", at < kFirstRecord.size() ? 0 : kFirstRecord.size());
    for (const std::string& tail : {""s, std::string(20, '\0')}) {  // without and with a torn record
      put_text(path, bad + tail);
      for (const std::string& error :
           {error_of([&] { append(path, 4, sound); }), error_of([&] { EventFile::trim(path, 1, sound); })}) {
        ASSERT_THAT(error, HasSubstr(path.string() + " is damaged")) << at;
        ASSERT_THAT(error, HasSubstr(place)) << at;
      }
      ASSERT_EQ(text_of(path), bad + tail) << at;
    }
  }
}

// The last record, whole except for one byte, is also damaged and not torn.
TEST(EventFile, AFlippedByteAtTheEndIsAnErrorToo) {
  const ScratchFolder folder;
  const std::string last = record_of(300);
  for (std::size_t at = 0; at < last.size(); ++at) {
    std::string bad = kFirstRecord + last;
    bad[kFirstRecord.size() + at] ^= 0x10;
    put_text(folder / "events", bad);
    FailingFileSystem sound;
    ASSERT_THAT(error_of([&] { append(folder / "events", 4, sound); }), HasSubstr("is damaged")) << at;
    ASSERT_EQ(text_of(folder / "events"), bad) << at;
  }
}

TEST(EventFile, RefusesWhatIsNoEventFile) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  EXPECT_THAT(error_of([&] { EventFile::append(path, 1, 2, kScalars); }), HasSubstr("No such file or directory"));
  EXPECT_THAT(error_of([&] { EventFile::trim(path, 1); }), HasSubstr("No such file or directory"));
  for (const std::string& text : {""s, "notes"s, kFirstRecord.substr(0, 39)}) {
    put_text(path, text);
    EXPECT_THAT(error_of([&] { EventFile::append(path, 1, 2, kScalars); }), HasSubstr("is no event file"));
    EXPECT_THAT(error_of([&] { EventFile::trim(path, 1); }), HasSubstr("is no event file"));
    EXPECT_EQ(text_of(path), text);
  }
  put_text(path, "a longer text of another kind");
  EXPECT_THAT(error_of([&] { EventFile::append(path, 1, 2, kScalars); }), HasSubstr("the record at byte 0 "));
  put_text(path, kFirstRecord + kFirstRecord);  // a good record, of an event without a step
  EXPECT_THAT(error_of([&] { EventFile::trim(path, 1); }), HasSubstr("the record at byte 40 is of another program"));
}

// Runs `action` on a file of `before` once for every call and fault. `check_what_is_left` gets the outcome and the
// remaining text.
int for_every_fault(const std::filesystem::path& path, const std::string& before,
                    const std::function<void(FileSystem&)>& action,
                    const std::function<void(Fault, const Outcome&, const std::string&)>& check_what_is_left) {
  int failed = 0;
  const auto prepare = [&] { before.empty() ? void(std::filesystem::remove(path)) : put_text(path, before); };
  prepare();
  const int calls = count_calls(action);
  for (const Fault fault : kAllFaults) {
    for (int at = 1; at <= calls + 1; ++at) {
      SCOPED_TRACE(fmt::format("{} at call {} of {}", name_of(fault), at, calls));
      prepare();
      const Outcome outcome = run_with_fault(fault, at, action);
      if (outcome.kind == Outcome::kFailed) {
        EXPECT_THAT(outcome.message, HasSubstr(path.string()));
        ++failed;
      }
      EXPECT_TRUE(fault != Fault::kInterrupted || outcome.kind == Outcome::kSucceeded) << outcome.message;
      check_what_is_left(fault, outcome, text_of(path));
      if (::testing::Test::HasFailure()) return failed;
    }
  }
  return failed;
}

TEST(EventFile, WithAnyCallFailingCreateMakesAWholeFileOrNone) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  const int failed = for_every_fault(
      path, "", [&](FileSystem& file_system) { create(path, file_system); },
      [&](Fault, const Outcome& outcome, const std::string& left) {
        EXPECT_TRUE(left == kFirstRecord || (left == "(missing)" && outcome.kind != Outcome::kSucceeded)) << left;
      });
  EXPECT_GT(failed, 20);
}

TEST(EventFile, WithAnyCallFailingAppendLeavesTheRecordsBefore) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  const std::string whole = kFirstRecord + record_of(1), added = record_of(2), later = record_of(3);
  const auto open_files = [] { return std::distance(std::filesystem::directory_iterator("/proc/self/fd"), {}); };
  const auto open_before = open_files();
  for (const std::string& torn : {""s, added.substr(0, 30)}) {
    const int failed = for_every_fault(
        path, whole + torn, [&](FileSystem& file_system) { append(path, 2, file_system); },
        [&](Fault fault, const Outcome& outcome, const std::string& left) {
          EXPECT_TRUE(left.starts_with(whole));
          EXPECT_TRUE((whole + added).starts_with(left));  // at most its last record is torn
          const bool was_added = left == whole + added;
          EXPECT_TRUE(was_added || outcome.kind != Outcome::kSucceeded);
          if (outcome.kind == Outcome::kFailed && fault == Fault::kShortWrite) {
            EXPECT_EQ(left, whole);
          }
          FailingFileSystem sound;
          append(path, 3, sound);
          EXPECT_EQ(text_of(path), was_added ? whole + added + later : whole + later);
        });
    EXPECT_GT(failed, 20);
  }
  EXPECT_EQ(open_files(), open_before);
}

TEST(EventFile, WithAnyCallFailingTrimLeavesTheOldOrTheNewFile) {
  const ScratchFolder folder;
  const auto path = folder / "events";
  const std::string kept = kFirstRecord + record_of(1), old = kept + record_of(2) + record_of(3);
  const int failed = for_every_fault(
      path, old, [&](FileSystem& file_system) { EventFile::trim(path, 1, file_system); },
      [&](Fault, const Outcome& outcome, const std::string& left) {
        EXPECT_TRUE(left == kept || (left == old && outcome.kind != Outcome::kSucceeded));
        FailingFileSystem sound;
        EventFile::trim(path, 1, sound);
        EXPECT_EQ(text_of(path), kept);
      });
  EXPECT_GT(failed, 20);
}

}  // namespace
}  // namespace gradamp

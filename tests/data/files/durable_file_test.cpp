// SPDX-License-Identifier: MIT
#include "gradamp/data/files/durable_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <filesystem>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <thread>

#include "gradamp/core/error.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Names = std::set<std::string>;

// Writes three parts, the middle one empty, so that a fault can also occur between two.
void save(const std::filesystem::path& path, std::string_view text, Keep keep,
          FileSystem& file_system = real_file_system()) {
  const auto bytes = std::as_bytes(std::span(text));
  const std::array<std::span<const std::byte>, 3> parts{bytes.first(text.size() / 2), bytes.first(0),
                                                        bytes.subspan(text.size() / 2)};
  write_durably(path, parts, keep, file_system);
}

TEST(WriteDurably, WritesThePartsAndReplacesWhatWasThere) {
  const ScratchFolder folder;
  save(folder / "model", "a longer first text", Keep::kNothing);
  EXPECT_EQ(text_of(folder / "model"), "a longer first text");
  save(folder / "model", "second", Keep::kNothing);
  EXPECT_EQ(text_of(folder / "model"), "second");
  write_durably(folder / "empty", {}, Keep::kNothing);
  EXPECT_EQ(text_of(folder / "empty"), "");
  EXPECT_EQ(folder.names(), (Names{"empty", "model"}));
}

TEST(WriteDurably, KeepsThePreviousFile) {
  const ScratchFolder folder;
  save(folder / "model", "first", Keep::kPrevious);
  EXPECT_EQ(folder.names(), Names{"model"});
  save(folder / "model", "second", Keep::kPrevious);
  save(folder / "model", "third", Keep::kPrevious);
  EXPECT_EQ(text_of(folder / "model"), "third");
  EXPECT_EQ(text_of(folder / "model.previous"), "second");
  save(folder / "model", "fourth", Keep::kNothing);
  EXPECT_EQ(text_of(folder / "model.previous"), "second");
  EXPECT_EQ(folder.names(), (Names{"model", "model.previous"}));
}

TEST(RemoveDurable, RemovesAlsoWhatAKillLeft) {
  const ScratchFolder folder;
  for (const bool has_file : {true, false}) {
    for (const bool has_leftover : {true, false}) {
      if (has_file) put_text(folder / "model", "text");
      if (has_leftover) put_text(folder / "model.gradamp-tmp", "te");
      put_text(folder / "model.previous", "older");
      remove_durable(folder / "model");
      EXPECT_EQ(folder.names(), Names{"model.previous"});
    }
  }
  std::filesystem::create_directory(folder / "model");
  EXPECT_EQ(error_of([&] { remove_durable(folder / "model"); }),
            "cannot remove " + (folder / "model").string() + ": Is a directory");
  for (const int at : {1, 2}) {
    FailingFileSystem broken(Fault::kBroken, at);
    EXPECT_THAT(error_of([&] { remove_durable(folder / "other", broken); }), testing::EndsWith(": Input/output error"));
  }
}

TEST(WriteDurably, TakesARelativePath) {
  const ScratchFolder folder;
  const std::filesystem::path before = std::filesystem::current_path();
  std::filesystem::current_path(folder.path());
  save("model", "text", Keep::kPrevious);
  std::filesystem::current_path(before);
  EXPECT_EQ(text_of(folder / "model"), "text");
}

TEST(WriteDurably, SyncsTheFileBeforeTheRenameAndTheFolderAfterIt) {
  const ScratchFolder folder;
  const std::string name = folder.path().filename().string();
  save(folder / "model", "old", Keep::kNothing);
  FailingFileSystem watched;
  save(folder / "model", "new.", Keep::kPrevious, watched);
  EXPECT_THAT(watched.done(),
              ElementsAre("lstat model", "open model.gradamp-tmp", "fstat model.gradamp-tmp", "write model.gradamp-tmp",
                          "write model.gradamp-tmp", "fsync model.gradamp-tmp", "close model.gradamp-tmp",
                          "link model model.previous.gradamp-tmp", "rename model.previous.gradamp-tmp model.previous",
                          "rename model.gradamp-tmp model", "open " + name, "fsync " + name, "close " + name));
}

// After a kill between the link to the previous file and the replacement, both names are one file; rename(2) between
// two names of one file does nothing and leaves both.
TEST(WriteDurably, GoesOnWherePreviousAndPathAreOneFile) {
  const ScratchFolder folder;
  save(folder / "model", "old", Keep::kNothing);
  std::filesystem::create_hard_link(folder / "model", folder / "model.previous");
  save(folder / "model", "new", Keep::kPrevious);
  EXPECT_EQ(text_of(folder / "model"), "new");
  EXPECT_EQ(text_of(folder / "model.previous"), "old");
  EXPECT_EQ(folder.names(), (Names{"model", "model.previous"}));
}

TEST(WriteDurably, SaysWhatFailedWhyAndWhatHolds) {
  const ScratchFolder folder;
  const std::string path = (folder / "model").string();
  const auto failing_at = [&](int at) {
    FailingFileSystem full(Fault::kNoSpace, at);
    return error_of([&] { save(path, "text", Keep::kNothing, full); });
  };
  EXPECT_EQ(failing_at(4),
            "cannot save " + path + ": writing " + path +
                ".gradamp-tmp failed: No space left on device; there was no file before, and there is none now");
  put_text(path, "old");
  EXPECT_EQ(failing_at(5), "cannot save " + path + ": writing " + path +
                               ".gradamp-tmp failed: No space left on device; the old file is untouched");
  EXPECT_EQ(
      failing_at(11),
      "cannot save " + path + ": syncing the folder of " + path +
          " failed: No space left on device; the new file is in place and whole, but may not survive a power failure");
  const std::string nowhere = (folder / "missing" / "model").string();
  EXPECT_THAT(error_of([&] { save(nowhere, "text", Keep::kNothing); }), HasSubstr("No such file or directory"));
}

TEST(WriteDurably, KeepsThePermissionsOfTheReplacedFile) {
  const ScratchFolder folder;
  const auto permissions = [&](const char* name) {
    return std::filesystem::status(folder / name).permissions() & std::filesystem::perms::mask;
  };
  for (const bool links : {true, false}) {
    for (const unsigned int mode : {0600u, 0640u, 0666u, 0400u}) {
      FailingFileSystem file_system;
      if (!links) file_system.refuse_links();
      put_text(folder / "model", "old");
      ASSERT_EQ(::chmod((folder / "model").c_str(), mode), 0);
      save(folder / "model", "new", Keep::kPrevious, file_system);
      EXPECT_EQ(static_cast<unsigned int>(permissions("model")), mode) << links;
      EXPECT_EQ(static_cast<unsigned int>(permissions("model.previous")), mode) << links;
      std::filesystem::remove(folder / "model.previous");
    }
  }
}

TEST(WriteDurably, NeverReplacesWhatIsNoRegularFile) {
  const ScratchFolder folder;
  put_text(folder / "target", "text");
  std::filesystem::create_symlink("target", folder / "link");
  std::filesystem::create_symlink("missing", folder / "dangling");
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  std::filesystem::create_directory(folder / "folder");
  std::filesystem::create_symlink("/dev/null", folder / "device");
  const Names before = folder.names();
  const auto expect_refused = [&](const std::filesystem::path& path, const std::string& kind) {
    const std::string expected = "cannot save " + path.string() + ": it is " + kind +
                                 ", which is never replaced; give the name of a regular file or a new name";
    EXPECT_EQ(error_of([&] { save(path, "new", Keep::kNothing); }), expected);
    EXPECT_EQ(error_of([&] { check_replaceable(path); }), expected);
  };
  for (const char* link : {"link", "dangling", "device"}) expect_refused(folder / link, "a symbolic link");
  expect_refused(folder / "pipe", "a named pipe");
  expect_refused(folder / "folder", "a folder");
  // A device of the test's own, never the machine's: only root can make it.
  if (::mknod((folder / "null").c_str(), S_IFCHR | 0666, ::makedev(1, 3)) == 0) {
    expect_refused(folder / "null", "a device");
    std::filesystem::remove(folder / "null");
  }
  put_text(folder / "model", "old");
  std::filesystem::create_symlink("target", folder / "model.previous");
  EXPECT_THAT(error_of([&] { save(folder / "model", "new", Keep::kPrevious); }), HasSubstr("a symbolic link"));
  EXPECT_EQ(text_of(folder / "model"), "old");
  EXPECT_EQ(text_of(folder / "target"), "text");
  std::filesystem::remove(folder / "model");
  std::filesystem::remove(folder / "model.previous");
  EXPECT_EQ(folder.names(), before);
  EXPECT_THAT(error_of([&] { append_line(folder / "pipe", "line"); }), HasSubstr("a named pipe"));
}

// A user may have files of such names.
TEST(WriteDurably, RemovesNoFileThatItDidNotMake) {
  const ScratchFolder folder;
  const Names others = {"model.bak", "model.new", "model.partial", "model.previous.tmp", "model.tmp", "model~"};
  for (const std::string& name : others) put_text(folder / name, name);
  save(folder / "model", "old", Keep::kPrevious);
  save(folder / "model", "new", Keep::kPrevious);
  for (const std::string& name : others) EXPECT_EQ(text_of(folder / name), name);
}

struct Case {
  Keep keep;
  bool links;
};

// Saves "new-text" over "old-text" with one fault, and checks the files that are left. Returns the outcome.
Outcome::Kind check_save_with(Fault fault, int at, const Case& test) {
  const ScratchFolder folder;
  const auto path = folder / "model";
  put_text(path, "old-text");
  put_text(previous_of(path), "older");
  const Outcome outcome = run_with_fault(fault, at, [&](FailingFileSystem& file_system) {
    if (!test.links) file_system.refuse_links();
    save(path, "new-text", test.keep, file_system);
  });

  // What can be loaded is the old or the new file, complete.
  const std::string current = text_of(path), previous = text_of(previous_of(path));
  EXPECT_TRUE(current == "old-text" || current == "new-text") << current;
  EXPECT_TRUE(previous == "older" || previous == "old-text") << previous;
  if (test.keep == Keep::kNothing) {
    EXPECT_EQ(previous, "older");
  }
  if (test.keep == Keep::kPrevious && current == "new-text") {
    EXPECT_EQ(previous, "old-text");
  }

  if (outcome.kind == Outcome::kSucceeded) {
    EXPECT_EQ(current, "new-text");
  }
  if (outcome.kind == Outcome::kFailed) {
    const bool replaced = std::count(outcome.done.begin(), outcome.done.end(), "rename model.gradamp-tmp model") > 0;
    EXPECT_THAT(outcome.message, HasSubstr(path.string()));
    EXPECT_THAT(outcome.message,
                HasSubstr(fault == Fault::kNoSpace || fault == Fault::kShortWrite ? "No space left on device"
                                                                                  : "Input/output error"));
    EXPECT_THAT(outcome.message,
                AnyOf(HasSubstr(replaced ? "the new file is in place and whole" : "the old file is untouched"),
                      HasSubstr("nothing was changed")));
    if (fault != Fault::kBroken) {
      EXPECT_EQ(current, replaced ? "new-text" : "old-text");
      for (const std::string& name : folder.names()) EXPECT_TRUE(name == "model" || name == "model.previous") << name;
    }
  }

  // The next save works and removes leftovers.
  FailingFileSystem sound;
  save(path, "newest", Keep::kPrevious, sound);
  EXPECT_EQ(text_of(path), "newest");
  EXPECT_EQ(text_of(previous_of(path)), current);
  EXPECT_EQ(folder.names(), (Names{"model", "model.previous"}));
  return outcome.kind;
}

TEST(WriteDurably, WithAnyCallFailingTheOldOrTheNewFileIsThere) {
  int failed = 0, killed = 0;
  for (const Case& test : {Case{Keep::kNothing, true}, Case{Keep::kPrevious, true}, Case{Keep::kPrevious, false}}) {
    const ScratchFolder folder;
    put_text(folder / "model", "old-text");
    const int calls = count_calls([&](FailingFileSystem& file_system) {
      if (!test.links) file_system.refuse_links();
      save(folder / "model", "new-text", test.keep, file_system);
    });
    ASSERT_GE(calls, 10);
    for (Fault fault : kAllFaults) {
      for (int at = 1; at <= calls + 1; ++at) {
        SCOPED_TRACE(fmt::format("{} at call {} of {}, keep {}, links {}", name_of(fault), at, calls,
                                 test.keep == Keep::kPrevious, test.links));
        const Outcome::Kind kind = check_save_with(fault, at, test);
        if (::testing::Test::HasFailure()) return;
        failed += kind == Outcome::kFailed;
        killed += kind == Outcome::kKilled;
      }
    }
  }
  EXPECT_GT(failed, 50);
  EXPECT_GT(killed, 50);
}

TEST(AppendLine, AppendsAndMakesTheFile) {
  const ScratchFolder folder;
  append_line(folder / "log", "one");
  append_line(folder / "log", "");
  append_line(folder / "log", "three");
  EXPECT_EQ(text_of(folder / "log"), "one\n\nthree\n");
}

TEST(AppendLine, CutsOffATornLastLine) {
  const ScratchFolder folder;
  const auto after = [&](const std::string& before) {
    FailingFileSystem sound;
    put_text(folder / "log", before);
    append_line(folder / "log", "new", sound);
    return text_of(folder / "log");
  };
  EXPECT_EQ(after("one\ntwo\nthr"), "one\ntwo\nnew\n");
  EXPECT_EQ(after("on"), "new\n");
  EXPECT_EQ(after("\n"), "\nnew\n");
  // Longer than the blocks in which the newline is searched, and with the newline at the blocks' edges.
  for (std::size_t torn : {4094, 4095, 4096, 4097, 8192, 10000}) {
    EXPECT_EQ(after("one\n" + std::string(torn, 'x')), "one\nnew\n") << torn;
    EXPECT_EQ(after(std::string(torn, 'x')), "new\n") << torn;
  }
}

TEST(AppendLine, IsOneWriteAndSynced) {
  const ScratchFolder folder;
  append_line(folder / "log", "one");
  FailingFileSystem watched;
  append_line(folder / "log", "two", watched);
  EXPECT_THAT(watched.done(), ElementsAre("open log", "fstat log", "pread log", "write log", "fsync log", "close log"));
}

TEST(AppendLine, WithAnyCallFailingTheLinesBeforeStay) {
  const ScratchFolder folder;
  const auto path = folder / "log";
  for (const std::string torn : {"", "{\"torn\": "}) {
    const auto append = [&](FailingFileSystem& file_system) { append_line(path, "new line", file_system); };
    put_text(path, "one\ntwo\n" + torn);
    const int calls = count_calls(append);
    for (Fault fault : kAllFaults) {
      for (int at = 1; at <= calls + 1; ++at) {
        SCOPED_TRACE(fmt::format("{} at call {}", name_of(fault), at));
        put_text(path, "one\ntwo\n" + torn);
        const Outcome outcome = run_with_fault(fault, at, append);
        const std::string text = text_of(path);
        ASSERT_TRUE(text.starts_with("one\ntwo\n")) << text;
        if (outcome.kind == Outcome::kSucceeded) {
          ASSERT_EQ(text, "one\ntwo\nnew line\n");
        }
        if (outcome.kind == Outcome::kFailed) {
          ASSERT_THAT(outcome.message, HasSubstr("cannot append to " + path.string()));
          if (fault == Fault::kShortWrite) {
            ASSERT_EQ(text, "one\ntwo\n");
          }
        }
        const bool was_written = text == "one\ntwo\nnew line\n";
        FailingFileSystem sound;
        append_line(path, "later", sound);
        ASSERT_EQ(text_of(path), was_written ? "one\ntwo\nnew line\nlater\n" : "one\ntwo\nlater\n");
      }
    }
  }
}

TEST(AppendLine, RefusesTwoLinesAndAMissingFolder) {
  const ScratchFolder folder;
  EXPECT_THAT(error_of([&] { append_line(folder / "log", "a\nb"); }), HasSubstr("holds a newline"));
  EXPECT_EQ(folder.names(), Names{});
  EXPECT_THAT(error_of([&] { append_line(folder / "missing" / "log", "a"); }), HasSubstr("No such file or directory"));
}

TEST(ReadWholeFile, ReadsEveryByteOrSaysWhyNot) {
  const ScratchFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) text += static_cast<char>(i * 7);
  put_text(folder / "file", text);
  const auto bytes = read_whole_file(folder / "file");
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size()), text);
  put_text(folder / "empty", "");
  EXPECT_TRUE(read_whole_file(folder / "empty").empty());

  const std::string missing = (folder / "missing").string();
  EXPECT_EQ(error_of([&] { read_whole_file(missing); }), "cannot read " + missing + ": No such file or directory");
  EXPECT_THAT(error_of([&] { read_whole_file(folder.path()); }), HasSubstr("it is a folder; expected a regular file"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read_whole_file(folder / "pipe"); }), HasSubstr("it is a named pipe"));
  EXPECT_THAT(error_of([&] { read_whole_file("/dev/zero"); }), HasSubstr("it is a device"));
  for (int at = 1; at <= 4; ++at) {
    FailingFileSystem broken(Fault::kIoError, at);
    EXPECT_THAT(error_of([&] { read_whole_file(folder / "file", broken); }), HasSubstr("Input/output error")) << at;
    FailingFileSystem too_many(Fault::kTooManyOpen, at);
    EXPECT_EQ(read_whole_file(folder / "file", too_many), bytes) << at;
    FailingFileSystem interrupted(Fault::kInterrupted, at);
    EXPECT_EQ(read_whole_file(folder / "file", interrupted), bytes) << at;
  }
}

TEST(ReadText, ReadsWhatTheUserNamesToItsEnd) {
  const ScratchFolder folder;
  const std::string text(100000, 'x'), file = (folder / "file").string();
  put_text(file, text);
  EXPECT_EQ(read_text(file, 100000), text);
  EXPECT_EQ(error_of([&] { read_text(file, 99999); }),
            "cannot read " + file + ": it has more than 99999 bytes, which no file of this kind has");
  EXPECT_EQ(read_text("/dev/null", 1), "");
  EXPECT_THAT(error_of([] { read_text("/dev/zero", 1000); }), HasSubstr("more than 1000 bytes"));
  EXPECT_THAT(error_of([&] { read_text(folder.path(), 9); }), HasSubstr("it is a folder; expected a regular file"));
  EXPECT_THAT(error_of([&] { read_text(folder / "missing", 9); }), HasSubstr("No such file or directory"));
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  EXPECT_THAT(error_of([&] { read_text(folder / "pipe", 9); }), HasSubstr("it is a named pipe"));

  const auto read = [&](FileSystem& file_system) { return read_text(file, 100000, file_system); };
  for (int at = 1; at <= count_calls(read); ++at) {
    FailingFileSystem broken(Fault::kIoError, at), too_many(Fault::kTooManyOpen, at), stopped(Fault::kInterrupted, at);
    EXPECT_EQ(error_of([&] { read(broken); }), "cannot read " + file + ": Input/output error") << at;
    EXPECT_EQ(read(too_many), text) << at;
    EXPECT_EQ(read(stopped), text) << at;
  }
}

// As a shell's <(command): a link to a pipe, whose writer may be slow.
TEST(ReadText, ReadsAPipeBehindALink) {
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  std::thread writer([&] {
    for (const char* part : {"one ", "two ", "three"}) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      EXPECT_GT(::write(ends[1], part, std::string_view(part).size()), 0);
    }
    ::close(ends[1]);
  });
  EXPECT_EQ(read_text("/dev/fd/" + std::to_string(ends[0]), 100), "one two three");
  writer.join();
  ::close(ends[0]);
}

TEST(ReadIfExists, TakesOnlyAMissingFileForMissing) {
  const ScratchFolder folder;
  put_text(folder / "file", "text");
  EXPECT_EQ(read_if_exists(folder / "file")->size(), 4u);
  EXPECT_FALSE(read_if_exists(folder / "missing"));
  EXPECT_FALSE(read_if_exists(folder / "file" / "below"));
  EXPECT_TRUE(file_exists(folder / "file"));
  EXPECT_FALSE(file_exists(folder / "missing"));
  EXPECT_EQ(names_in(folder.path()), std::vector<std::string>{"file"});
  EXPECT_TRUE(names_in(folder / "missing").empty());
  EXPECT_THAT(error_of([&] { file_exists(folder / std::string(300, 'x')); }), HasSubstr("File name too long"));
  for (int at = 1; at <= 4; ++at) {
    FailingFileSystem broken(Fault::kIoError, at);
    EXPECT_THAT(error_of([&] { read_if_exists(folder / "file", broken); }), HasSubstr("Input/output error")) << at;
  }
  FailingFileSystem broken(Fault::kIoError, 1), broken_too(Fault::kIoError, 1);
  EXPECT_THAT(error_of([&] { file_exists(folder / "missing", broken); }), HasSubstr("Input/output error"));
  EXPECT_THAT(error_of([&] { names_in(folder / "missing", broken_too); }), HasSubstr("Input/output error"));
}

}  // namespace
}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/data/cifar/cifar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/data/download/archive.h"
#include "gradamp/data/files/archive_reader.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/cifar/cifar_files.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::HasSubstr;

constexpr CifarLayout kTiny{kTinyTrain, kTinyTest};

Cifar10Options tiny10(bool allow_partial = false) { return {allow_partial, kTiny}; }
Cifar100Options tiny100(bool coarse = false, bool allow_partial = false) { return {coarse, allow_partial, kTiny}; }

/// Expects images [begin, begin + records) of a dataset to be the file's: interleaved, with its labels.
void expect_file(const Dataset& dataset, std::int64_t begin, int file, int records,
                 const std::function<int(int)>& label) {
  for (int i = 0; i < records; ++i) {
    EXPECT_EQ(dataset.labels.at(static_cast<std::size_t>(begin + i)), label(i));
    int wrong = 0;
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        for (int c = 0; c < 3; ++c) {
          const auto at = static_cast<std::size_t>((((begin + i) * 32 + y) * 32 + x) * 3 + c);
          wrong += dataset.images.at(at) != tiny_level(file, i, c, y, x);
        }
      }
    }
    EXPECT_EQ(wrong, 0) << "file " << file << " record " << i;
  }
}

void expect_tiny10(const fs::path& path) {
  const Dataset train = load_cifar10(path, "train", tiny10());
  check_dataset(train);
  EXPECT_EQ(train.name, "cifar10");
  EXPECT_EQ(train.split, "train");
  EXPECT_EQ(train.classes, 10);
  EXPECT_EQ(train.class_names, name_list("class", 10));
  ASSERT_EQ(train.count, 5 * kTinyTrain);
  for (int file = 1; file <= 5; ++file) {
    expect_file(train, (file - 1) * kTinyTrain, file, kTinyTrain, [&](int i) { return tiny_label(file, i); });
  }
  const Dataset test = load_cifar10(path, "test", tiny10());
  ASSERT_EQ(test.count, kTinyTest);
  expect_file(test, 0, 6, kTinyTest, [](int i) { return tiny_label(6, i); });
}

void expect_tiny100(const fs::path& path) {
  for (const bool coarse : {false, true}) {
    const auto label = [&](int file) {
      return [=](int i) { return coarse ? tiny_coarse(tiny_fine(file, i)) : tiny_fine(file, i); };
    };
    const Dataset train = load_cifar100(path, "train", tiny100(coarse));
    check_dataset(train);
    EXPECT_EQ(train.name, coarse ? "cifar100-coarse" : "cifar100");
    EXPECT_EQ(train.class_names, coarse ? name_list("coarse", 20) : name_list("fine", 100));
    ASSERT_EQ(train.count, kTinyTrain);
    expect_file(train, 0, 1, kTinyTrain, label(1));
    const Dataset test = load_cifar100(path, "test", tiny100(coarse));
    ASSERT_EQ(test.count, kTinyTest);
    expect_file(test, 0, 6, kTinyTest, label(6));
  }
}

class CifarTest : public testing::Test {
 protected:
  /// The folder of CIFAR-10's tiny binary version, and of CIFAR-100's, modified by `change`.
  fs::path binary10(const std::function<void(Files&)>& change = {}) {
    return save("cifar-10-batches-bin", tiny_cifar10_binary(), change);
  }
  fs::path binary100(const std::function<void(Files&)>& change = {}) {
    return save("cifar-100-binary", tiny_cifar100_binary(), change);
  }
  fs::path save(const std::string& folder, Files files, const std::function<void(Files&)>& change = {}) {
    if (change) change(files);
    fs::remove_all(scratch_ / folder);
    write_files(scratch_ / folder, files);
    return scratch_ / folder;
  }
  ScratchFolder scratch_;
};

TEST_F(CifarTest, ReadsTheBinaryVersionFromItsFolderAndTheOneAbove) {
  expect_tiny10(binary10());
  expect_tiny10(scratch_.path());
  expect_tiny100(binary100());
  expect_tiny100(scratch_.path());
}

TEST_F(CifarTest, ReadsThePythonVersionOfBothPythons) {
  for (const bool python3 : {false, true}) {
    expect_tiny10(save("cifar-10-batches-py", tiny_cifar10_python(python3)));
    expect_tiny10(scratch_.path());
    expect_tiny100(save("cifar-100-python", tiny_cifar100_python(python3)));
    expect_tiny100(scratch_.path());
  }
}

TEST_F(CifarTest, AnArchiveNeedsAReader) {
  set_archive_reader(nullptr);
  write_text(scratch_ / "archive.tar.gz", archive_of_files("cifar-10-batches-bin", tiny_cifar10_binary()));
  EXPECT_THAT(test::error_of([&] { load_cifar10(scratch_ / "archive.tar.gz", "train", tiny10()); }),
              AllOf(HasSubstr("archive.tar.gz: expected a folder"), HasSubstr("unpack it with tar -xzf")));
}

TEST_F(CifarTest, ReadsArchivesOfBothVersions) {
  use_libarchive();
  const auto archived = [&](const std::string& folder, const Files& files) {
    write_text(scratch_ / "archive.tar.gz", archive_of_files(folder, files));
    return scratch_ / "archive.tar.gz";
  };
  expect_tiny10(archived("cifar-10-batches-bin", tiny_cifar10_binary()));
  expect_tiny10(archived("cifar-10-batches-py", tiny_cifar10_python(false)));
  expect_tiny100(archived("cifar-100-binary", tiny_cifar100_binary()));
  expect_tiny100(archived("cifar-100-python", tiny_cifar100_python(false)));
  Files broken = tiny_cifar10_binary();
  broken["data_batch_3.bin"].pop_back();
  EXPECT_THAT(test::error_of([&] { load_cifar10(archived("any", broken), "train", tiny10()); }),
              AllOf(HasSubstr("archive.tar.gz/data_batch_3.bin"), HasSubstr("9219 bytes"), HasSubstr("9218")));
  EXPECT_THAT(test::error_of([&] { load_cifar10(archived("any", tiny_cifar100_binary()), "train", tiny10()); }),
              AllOf(HasSubstr("archive.tar.gz"), HasSubstr("no CIFAR-10 in it")));
}

TEST_F(CifarTest, OfficialCountsAreTheDefault) {
  binary10();
  EXPECT_THAT(
      test::error_of([&] { load_cifar10(scratch_.path(), "test"); }),
      AllOf(HasSubstr("test_batch.bin"), HasSubstr("30730000 bytes (10000 records of 3073)"), HasSubstr("got 6146")));
  binary100();
  EXPECT_THAT(test::error_of([&] { load_cifar100(scratch_.path(), "train"); }),
              HasSubstr("153700000 bytes (50000 records of 3074)"));
  EXPECT_THAT(test::error_of([&] { load_cifar100(scratch_.path(), "test"); }), HasSubstr("30740000 bytes"));
}

TEST_F(CifarTest, RefusesShortAndLongFiles) {
  const std::string record(3073, '\0');
  for (const std::string& more : {std::string("x"), record}) {
    const fs::path folder = binary10([&](Files& files) { files["data_batch_5.bin"] += more; });
    EXPECT_THAT(test::error_of([&] { load_cifar10(folder, "train", tiny10()); }),
                AllOf(HasSubstr("data_batch_5.bin"), HasSubstr("expected 9219 bytes (3 records of 3073)"),
                      HasSubstr(fmt::format("got {}", 9219 + more.size()))));
    EXPECT_EQ(test::error_of([&] { load_cifar10(folder, "test", tiny10()); }), "");
  }
  for (const std::size_t size : {0, 1, 9218}) {
    const fs::path folder = binary10([&](Files& files) { files["data_batch_2.bin"].resize(size); });
    EXPECT_THAT(test::error_of([&] { load_cifar10(folder, "train", tiny10(true)); }),
                AllOf(HasSubstr("data_batch_2.bin"), HasSubstr(fmt::format("got {} (", size))));
  }
}

TEST_F(CifarTest, RefusesMissingFiles) {
  for (const char* file : {"data_batch_1.bin", "data_batch_4.bin", "batches.meta.txt"}) {
    const fs::path folder = binary10([&](Files& files) { files.erase(file); });
    EXPECT_THAT(test::error_of([&] { load_cifar10(folder, "train", tiny10()); }),
                AllOf(HasSubstr(file), HasSubstr("missing")));
  }
  const fs::path folder = binary100([](Files& files) { files.erase("coarse_label_names.txt"); });
  EXPECT_EQ(test::error_of([&] { load_cifar100(folder, "train", tiny100(false)); }), "");
  EXPECT_THAT(test::error_of([&] { load_cifar100(folder, "train", tiny100(true)); }),
              HasSubstr("coarse_label_names.txt"));
}

TEST_F(CifarTest, RefusesLabelsOutOfRange) {
  const fs::path ten = binary10([](Files& files) { files["test_batch.bin"][3073] = 10; });
  EXPECT_THAT(test::error_of([&] { load_cifar10(ten, "test", tiny10()); }),
              AllOf(HasSubstr("test_batch.bin"), HasSubstr("record 1 has the label 10, expected 0 to 9")));
  const fs::path coarse = binary100([](Files& files) { files["train.bin"][0] = 20; });
  EXPECT_THAT(test::error_of([&] { load_cifar100(coarse, "train", tiny100()); }),
              HasSubstr("record 0 has the coarse label 20, expected 0 to 19"));
  const fs::path fine = binary100([](Files& files) { files["train.bin"][3074 * 2 + 1] = 100; });
  EXPECT_THAT(test::error_of([&] { load_cifar100(fine, "train", tiny100(true)); }),
              HasSubstr("record 2 has the fine label 100, expected 0 to 99"));
}

TEST_F(CifarTest, RefusesAClassWithTwoSuperclasses) {
  const fs::path folder = binary100([](Files& files) {
    std::string& train = files["train.bin"];
    train[3074 + 1] = train[1];
    train[3074] = static_cast<char>((train[0] + 1) % 20);
  });
  EXPECT_THAT(test::error_of([&] { load_cifar100(folder, "train", tiny100()); }),
              AllOf(HasSubstr("train.bin: record 1"), HasSubstr("coarse label")));
}

TEST_F(CifarTest, RefusesTheWrongNumberOfClassNames) {
  const fs::path folder = binary10([](Files& files) { files["batches.meta.txt"] = "one\ntwo\n"; });
  EXPECT_THAT(test::error_of([&] { load_cifar10(folder, "test", tiny10()); }),
              HasSubstr("batches.meta.txt: expected the names of 10 classes, got 2"));
}

TEST_F(CifarTest, TakesAPartWhereThatIsAllowed) {
  const fs::path ten = binary10([](Files& files) {
    files.erase("data_batch_2.bin");
    files.erase("data_batch_5.bin");
  });
  EXPECT_NE(test::error_of([&] { load_cifar10(ten, "train", tiny10()); }), "");
  const Dataset some = load_cifar10(ten, "train", tiny10(true));
  EXPECT_EQ(some.count, 3 * kTinyTrain);
  expect_file(some, kTinyTrain, 3, kTinyTrain, [](int i) { return tiny_label(3, i); });
  const fs::path none = binary10([](Files& files) { files.erase("data_batch_1.bin"); });
  EXPECT_THAT(test::error_of([&] { load_cifar10(none, "train", tiny10(true)); }),
              HasSubstr("data_batch_1.bin: missing"));

  const fs::path hundred = binary100([](Files& files) { files["train.bin"].resize(2 * 3074); });
  EXPECT_NE(test::error_of([&] { load_cifar100(hundred, "train", tiny100()); }), "");
  EXPECT_EQ(load_cifar100(hundred, "train", tiny100(false, true)).count, 2);
  for (const std::size_t size : {0, 2 * 3074 + 1, 4 * 3074}) {
    const fs::path bad = binary100([&](Files& files) { files["train.bin"].resize(size); });
    EXPECT_THAT(test::error_of([&] { load_cifar100(bad, "train", tiny100(false, true)); }),
                HasSubstr("at most 9222 bytes"));
  }
}

TEST_F(CifarTest, TakesShortenedFilesOfEachLayoutWhereThatIsAllowed) {
  const Files binary_ten = tiny_cifar10_binary(), python_ten = tiny_cifar10_python(false);
  Files cut = binary_ten;
  cut["data_batch_1.bin"].resize(3073);
  cut["data_batch_3.bin"].resize(2 * 3073);
  cut["test_batch.bin"].resize(3073);
  Files cut_python = python_ten;
  cut_python["data_batch_1"] = tiny_batch_pickle(false, 1, 1, false);
  cut_python["data_batch_3"] = tiny_batch_pickle(false, 3, 2, false);
  cut_python["test_batch"] = tiny_batch_pickle(false, 6, 1, false);
  for (const fs::path& folder : {save("binary", cut), save("python", cut_python)}) {
    for (const char* split : {"train", "test"}) {
      EXPECT_NE(test::error_of([&] { load_cifar10(folder, split, tiny10()); }), "") << folder << split;
    }
    const Dataset train = load_cifar10(folder, "train", tiny10(true));
    EXPECT_EQ(train.count, 1 + kTinyTrain + 2 + kTinyTrain + kTinyTrain);
    expect_file(train, 1 + kTinyTrain, 3, 2, [](int i) { return tiny_label(3, i); });
    EXPECT_EQ(load_cifar10(folder, "test", tiny10(true)).count, 1);
  }
  Files hundred = tiny_cifar100_binary();
  hundred["test.bin"].resize(3074);
  EXPECT_NE(test::error_of([&] { load_cifar100(save("hundred", hundred), "test", tiny100()); }), "");
  EXPECT_EQ(load_cifar100(save("hundred", hundred), "test", tiny100(false, true)).count, 1);
  Files hundred_python = tiny_cifar100_python(false);
  hundred_python["train"] = tiny_batch_pickle(false, 1, 2, true);
  const fs::path folder = save("hundred-python", hundred_python);
  EXPECT_NE(test::error_of([&] { load_cifar100(folder, "train", tiny100()); }), "");
  EXPECT_EQ(load_cifar100(folder, "train", tiny100(false, true)).count, 2);
  hundred_python["train"] = tiny_batch_pickle(false, 1, kTinyTrain + 1, true);
  EXPECT_THAT(test::error_of([&] { load_cifar100(save("long", hundred_python), "train", tiny100(false, true)); }),
              HasSubstr("expected 'data' of at most 3 records"));
}

TEST_F(CifarTest, RefusesPythonFilesThatAreNotWhole) {
  const auto with = [&](const std::string& batch) {
    return save("cifar-10-batches-py", tiny_cifar10_python(false),
                [&](Files& files) { files["data_batch_2"] = batch; });
  };
  const auto message = [&](const std::string& batch) {
    const fs::path folder = with(batch);
    return test::error_of([&] { load_cifar10(folder, "train", tiny10()); });
  };
  EXPECT_THAT(message(tiny_batch_pickle(false, 2, kTinyTrain - 1, false)),
              AllOf(HasSubstr("data_batch_2"), HasSubstr("3 records of 3072 bytes, got the shape (2, 3072)")));
  EXPECT_THAT(message(tiny_batch_pickle(false, 2, kTinyTrain, true)), HasSubstr("a list named 'labels'"));
  EXPECT_THAT(message(tiny_names_pickle(false, {{"label_names", {"x"}}})), HasSubstr("an array named 'data'"));
  EXPECT_THAT(message(std::string(3073 * 3, '\0')), HasSubstr("data_batch_2: not one of CIFAR's Python files"));
  std::string bad = tiny_batch_pickle(false, 2, kTinyTrain, false);
  const std::size_t labels = bad.find("labels", bad.find("5 of 5") + 1) + 6 + 2 + 3 + 1;  // past memo, list, memo, mark
  ASSERT_EQ(bad[labels], 'K');
  bad[labels + 1] = 77;
  EXPECT_THAT(message(bad), HasSubstr("record 0 has the label 77"));
  expect_tiny10(with(tiny_batch_pickle(false, 2, kTinyTrain, false, true)));  // column-major, but complete
}

TEST_F(CifarTest, EachCauseHasItsMessage) {
  use_libarchive();
  const fs::path folder = binary10();
  const auto message = [](const fs::path& path) {
    return test::error_of([&] { load_cifar10(path, "test", tiny10()); });
  };
  const auto no_fetch = testing::Not(HasSubstr("fetch"));
  EXPECT_THAT(message(folder / "test_batch.bin"),
              AllOf(HasSubstr("test_batch.bin: is a single file of CIFAR-10; expected the folder"), no_fetch));
  EXPECT_THAT(message("~/cifar"), HasSubstr("the shell replaces ~ only if it is not quoted"));
  EXPECT_THAT(message(binary10([](Files& files) { files.erase("batches.meta.txt"); })),
              AllOf(HasSubstr("batches.meta.txt: missing; it has the names of the 10 classes"), no_fetch));
  binary10([](Files& files) { files.erase("test_batch.bin"); });
  ASSERT_EQ(::mkfifo((folder / "test_batch.bin").c_str(), 0600), 0);
  EXPECT_THAT(message(folder), AllOf(HasSubstr("test_batch.bin: it is a named pipe; expected"), no_fetch));
  fs::create_symlink("loop", scratch_ / "loop");
  EXPECT_THAT(message(scratch_ / "loop"), AllOf(HasSubstr("cannot open"), HasSubstr("symbolic links"), no_fetch));
  EXPECT_THAT(message(scratch_ / std::string(300, 'x')), AllOf(HasSubstr("cannot open"), HasSubstr("too long")));
  write_text(scratch_ / "page.tar.gz", "<!DOCTYPE html><html>404</html>");
  EXPECT_THAT(message(scratch_ / "page.tar.gz"), AllOf(HasSubstr("a page of HTML"), no_fetch));
}

TEST_F(CifarTest, NamesWhatHasNoPermission) {
  use_libarchive();
  const fs::path folder = binary10();
  write_text(scratch_ / "a.tar.gz", archive_of_files("any", tiny_cifar10_binary()));
  const auto message = [](const fs::path& path) {
    return test::error_of([&] { load_cifar10(path, "test", tiny10()); });
  };
  fs::permissions(folder, fs::perms::none);
  fs::permissions(scratch_ / "a.tar.gz", fs::perms::none);
  const bool is_root = ::geteuid() == 0;
  ASSERT_EQ(is_root ? ::seteuid(65534) : 0, 0);  // root may open everything
  const std::string of_folder = message(folder), of_archive = message(scratch_ / "a.tar.gz");
  ASSERT_EQ(is_root ? ::seteuid(0) : 0, 0);
  fs::permissions(folder, fs::perms::owner_all);
  for (const std::string& text : {of_folder, of_archive}) {
    EXPECT_THAT(text, AllOf(HasSubstr("cannot "), HasSubstr("Permission denied"), testing::Not(HasSubstr("fetch"))));
  }
}

// A failure is neither a missing file nor a short one, whichever call it concerns.
TEST_F(CifarTest, ReportsAFailureOfEveryCall) {
  use_libarchive();
  write_text(scratch_ / "a.tar.gz", archive_of_files("any", tiny_cifar10_binary()));
  const struct {
    fs::path path;
    bool partial;  // training files may be missing
  } all[] = {{binary10(), false}, {binary10(), true}, {scratch_.path(), true}, {scratch_ / "a.tar.gz", false}};
  for (const auto& one : all) {
    const auto load = [&](FileSystem& file_system) {
      return load_cifar10(one.path, "train", tiny10(one.partial), file_system);
    };
    const int calls = count_calls(load);
    EXPECT_GE(calls, 8) << one.path;
    for (int at = 1; at <= calls; ++at) {
      FailingFileSystem broken(Fault::kIoError, at), interrupted(Fault::kInterrupted, at),
          full(Fault::kTooManyOpen, at);
      // Everything is there, if only the close fails, or the cause is named.
      EXPECT_THAT(test::error_of([&] { EXPECT_EQ(load(broken).count, 5 * kTinyTrain) << one.path << " " << at; }),
                  testing::AnyOf("", AllOf(HasSubstr("cannot "), testing::EndsWith(": Input/output error"))))
          << one.path << " " << at;
      EXPECT_EQ(load(interrupted).count, 5 * kTinyTrain) << one.path << " " << at;
      EXPECT_EQ(load(full).count, 5 * kTinyTrain) << one.path << " " << at;  // a moment later a file can be opened
    }
  }
}

TEST_F(CifarTest, JudgesAFilesSizeBeforeItIsRead) {
  use_libarchive();
  const fs::path folder = binary10();
  fs::resize_file(folder / "test_batch.bin", std::uintmax_t{1} << 40);  // sparse
  EXPECT_THAT(test::error_of([&] { load_cifar10(folder, "test", tiny10()); }),
              HasSubstr("test_batch.bin: it has 1099511627776 bytes, expected at most 16388"));
  Files files = tiny_cifar10_binary();
  files["test_batch.bin"].resize(16389);
  write_text(scratch_ / "a.tar.gz", archive_of_files("any", files));
  EXPECT_THAT(test::error_of([&] { load_cifar10(scratch_ / "a.tar.gz", "test", tiny10()); }),
              HasSubstr("its file any/test_batch.bin has 16389 bytes, expected at most 16388"));
}

/// A file of CIFAR-10's Python version whose labels are `labels`, instructions that leave one value.
std::string with_labels(const std::string& labels, int file, int records) {
  PickleWriter pickle(false);
  std::string data;
  for (int i = 0; i < records; ++i) data += tiny_planes(file, i);
  pickle.text("data");
  pickle.array(records, 3072, data);
  pickle.text("labels");
  pickle.raw(labels);
  return pickle.finish();
}

TEST_F(CifarTest, ReadsLabelsAsTuplesAndArrays) {
  const auto message = [&](const std::string& labels) {
    const fs::path folder = save("cifar-10-batches-py", tiny_cifar10_python(false),
                                 [&](Files& files) { files["test_batch"] = with_labels(labels, 6, kTinyTest); });
    std::vector<std::int32_t> read;
    const std::string error = test::error_of([&] { read = load_cifar10(folder, "test", tiny10()).labels; });
    EXPECT_TRUE(!error.empty() || read == (std::vector<std::int32_t>{4, 9}));
    return error;
  };
  const auto array = [](const std::string& type, const std::string& shape, const std::string& bytes) {
    return "cnumpy.core.numeric\n_frombuffer\n(C" + std::string(1, static_cast<char>(bytes.size())) + bytes +
           "cnumpy\ndtype\nU" + std::string(1, static_cast<char>(type.size())) + type + "\x85R(" + shape + "tU\1CtR"s;
  };
  EXPECT_EQ(message("(K\4K\x09t"), "");
  EXPECT_EQ(message(array("u1", "K\2"s, "\4\x09")), "");
  EXPECT_EQ(message(array(">i2", "K\2"s, "\0\4\0\x09"s)), "");
  EXPECT_EQ(message(array("<i2", "K\2K\1"s, "\4\0\x09\0"s)), "");
  EXPECT_THAT(message(array("<i2", "K\1K\2"s, "\4\0\x09\0"s)), HasSubstr("'labels' of one dimension"));
  EXPECT_THAT(message(array("i1", "K\2"s, "\4\xff")), HasSubstr("record 1 has the label -1"));
  EXPECT_THAT(message("(K\4t"), HasSubstr("expected 2 numbers in 'labels', got 1"));
  EXPECT_THAT(message("cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\0\x85U\1btR"s),
              HasSubstr("'labels' of one dimension, got the shape ()"));
  EXPECT_THAT(message("(K\4Nt"), HasSubstr("expected numbers in 'labels'"));
}

TEST_F(CifarTest, NamesAPathWithoutCifar) {
  EXPECT_THAT(test::error_of([&] { load_cifar10(scratch_ / "nowhere", "train"); }),
              AllOf(HasSubstr("nowhere"), HasSubstr("gradamp data fetch --dataset cifar10")));
  EXPECT_THAT(test::error_of([&] { load_cifar100(scratch_.path(), "train"); }),
              AllOf(HasSubstr("no CIFAR-100"), HasSubstr("train.bin")));
  EXPECT_THAT(test::error_of([&] { load_cifar10(scratch_.path(), "valid"); }), HasSubstr("train or test, got 'valid'"));
}

/// A dataset of CIFAR-10's shape with the pixels of the tiny files.
Dataset tiny_dataset(const std::string& split, int file, int count) {
  Dataset dataset{"tiny", split, count, 10, {}, {}, name_list("class", 10)};
  for (int i = 0; i < count; ++i) {
    dataset.labels.push_back(tiny_label(file, i));
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) {
        for (int c = 0; c < 3; ++c) dataset.images.push_back(static_cast<std::uint8_t>(tiny_level(file, i, c, y, x)));
      }
    }
  }
  return dataset;
}

TEST_F(CifarTest, WritesTheBinaryLayout) {
  const Dataset train = tiny_dataset("train", 1, 10), test = tiny_dataset("test", 6, 3);
  const fs::path folder = scratch_ / "deep/tiny";
  fs::create_directories(folder);  // an empty folder may be there
  write_cifar10_layout(folder, train, test);
  std::string expected;  // records 2 and 3, in the second file
  for (const int i : {2, 3}) expected += static_cast<char>(tiny_label(1, i)) + tiny_planes(1, i);
  EXPECT_EQ(text_of(folder / "data_batch_2.bin"), expected);
  EXPECT_EQ(text_of(folder / "batches.meta.txt"), numbered("class", 10));
  EXPECT_FALSE(fs::exists(scratch_ / "deep/tiny.partial"));
  const Cifar10Options options{false, {2, 3}};
  EXPECT_EQ(load_cifar10(folder, "train", options).images, train.images);
  EXPECT_EQ(load_cifar10(folder, "train", options).labels, train.labels);
  EXPECT_EQ(load_cifar10(folder, "test", options).images, test.images);
}

TEST_F(CifarTest, WritesOverNothingAndNothingInPart) {
  const Dataset train = tiny_dataset("train", 1, 10), test = tiny_dataset("test", 6, 3);
  write_text(scratch_ / "taken/precious", "x");
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "taken", train, test); }),
              HasSubstr("not an empty folder"));
  EXPECT_EQ(text_of(scratch_ / "taken/precious"), "x");
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "taken/precious", train, test); }),
              HasSubstr("not an empty folder"));
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "new", tiny_dataset("train", 1, 9), test); }),
              HasSubstr("multiple of 5"));
  Dataset hundred = train;
  hundred.classes = 100;
  hundred.class_names = name_list("fine", 100);
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "new", hundred, test); }), HasSubstr("10 classes"));
  Dataset gray = train, gray_test = test;
  gray.channels = gray_test.channels = 1;
  gray.images.resize(10 * 32 * 32);
  gray_test.images.resize(3 * 32 * 32);
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "new", gray, gray_test); }),
              HasSubstr("expected images of 32x32x3 u8, got 32x32x1 u8"));
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "new", train, gray_test); }),
              HasSubstr("expected test images of 32x32x3 u8"));
  Dataset bad = train;
  bad.labels[4] = 10;
  EXPECT_THAT(test::error_of([&] { write_cifar10_layout(scratch_ / "new", bad, test); }),
              HasSubstr("image 4 has the label 10"));
  EXPECT_EQ(scratch_.names(), (std::set<std::string>{"taken"}));
}

}  // namespace
}  // namespace gradamp

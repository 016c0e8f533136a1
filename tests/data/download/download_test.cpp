// SPDX-License-Identifier: MIT
#include "gradamp/data/download/download.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "gradamp/data/download/digest.h"
#include "gradamp/data/download/fetch_cifar.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/cifar/cifar_files.h"
#include "gradamp/tests/data/download/http_server.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using testing::AllOf;
using testing::AnyOf;
using testing::ElementsAre;
using testing::HasSubstr;
using Starts = std::vector<std::size_t>;
using Names = std::set<std::string>;

const std::string kContent = [] {
  std::string text;
  for (int i = 0; i < 300000; ++i) text += static_cast<char>(i * 1009 >> 4);
  return text;
}();

Reply well(int) { return {}; }

class DownloadTest : public testing::Test {
 protected:
  DownloadTest() { options_.pause = 0; }
  std::string failure(const std::string& url) {
    return test::error_of([&] { download(url, part_, options_); });
  }
  ScratchFolder scratch_;
  fs::path part_ = scratch_ / "file.part";
  DownloadOptions options_;
};

TEST_F(DownloadTest, GetsAFile) {
  HttpServer server(kContent, well);
  std::int64_t done = 0, total = 0;
  options_.progress = [&](std::int64_t d, std::int64_t t) {
    EXPECT_GE(d, done);
    done = d;
    total = t;
  };
  download(server.url(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  EXPECT_EQ(done, 300000);
  EXPECT_EQ(total, 300000);
  EXPECT_THAT(server.requests(), ElementsAre(0));
}

TEST_F(DownloadTest, GoesOnWhereAConnectionBroke) {
  HttpServer server(kContent, [](int request) { return request < 3 ? Reply{200, false, 70000} : Reply{}; });
  options_.attempts = 2;  // in a row without new bytes; each attempt has new ones here
  std::int64_t last_total = 0;
  options_.progress = [&](std::int64_t, std::int64_t total) { last_total = total; };
  download(server.url(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  EXPECT_THAT(server.requests(), ElementsAre(0, 70000, 140000, 210000));
  EXPECT_EQ(last_total, 300000);
}

TEST_F(DownloadTest, GoesOnFromAnEarlierCall) {
  HttpServer server(kContent, [](int request) { return request == 0 ? Reply{200, false, 1000} : Reply{}; });
  options_.attempts = 1;
  put_text(part_, "");
  const std::string broken = failure(server.url());
  EXPECT_THAT(broken, AllOf(HasSubstr(server.url()), HasSubstr("1000 bytes are kept in"), HasSubstr(part_.string())));
  EXPECT_TRUE(text_of(part_) == kContent.substr(0, 1000));
  download(server.url(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  EXPECT_THAT(server.requests(), ElementsAre(0, 1000));
}

TEST_F(DownloadTest, StartsAgainWhereAServerIgnoresRanges) {
  put_text(part_, kContent.substr(0, 5000));
  HttpServer server(kContent, [](int) { return Reply{200, true, {}}; });
  download(server.url(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  EXPECT_THAT(server.requests(), ElementsAre(5000, 0));
}

TEST_F(DownloadTest, StartsAgainWhereTooMuchIsThere) {
  put_text(part_, kContent + "more");
  HttpServer server(kContent, well);
  download(server.url(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  EXPECT_THAT(server.requests(), ElementsAre(300004, 0));
}

TEST_F(DownloadTest, GivesUpWhereNothingNewComes) {
  HttpServer server(kContent, [](int) { return Reply{200, false, 0}; });
  options_.attempts = 3;
  EXPECT_THAT(failure(server.url()), HasSubstr(server.url()));
  EXPECT_EQ(server.requests(), (Starts{0, 0, 0}));
  EXPECT_EQ(scratch_.names(), Names{});
}

TEST_F(DownloadTest, ReportsTheStatusAtOnce) {
  for (const int status : {404, 403}) {
    HttpServer server(kContent, [&](int) { return Reply{status, false, {}}; });
    EXPECT_THAT(failure(server.url()), AllOf(HasSubstr(server.url()), HasSubstr(std::to_string(status))));
    EXPECT_EQ(server.requests().size(), 1u);
    EXPECT_EQ(scratch_.names(), Names{});  // an error page does not become the file
  }
  put_text(part_, "12345");
  HttpServer server(kContent, [](int) { return Reply{404, false, {}}; });
  EXPECT_THAT(failure(server.url()), HasSubstr("5 bytes are kept"));
  EXPECT_EQ(text_of(part_), "12345");
}

TEST_F(DownloadTest, TriesAgainWhereTheServerIsBusy) {
  HttpServer passing(kContent, [](int request) { return Reply{request < 2 ? 503 : 200, false, {}}; });
  options_.attempts = 3;
  download(passing.url(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  fs::remove(part_);
  HttpServer lasting(kContent, [](int) { return Reply{503, false, {}}; });
  EXPECT_THAT(failure(lasting.url()), HasSubstr("503"));
  EXPECT_EQ(lasting.requests().size(), 3u);
}

TEST_F(DownloadTest, ReportsARefusedConnection) {
  HttpServer server(kContent, well);
  server.stop();
  options_.attempts = 2;
  EXPECT_THAT(failure(server.url()), AllOf(HasSubstr(server.url()), HasSubstr("onnect")));
  EXPECT_EQ(scratch_.names(), Names{});
}

TEST_F(DownloadTest, ReportsAFullDiskAndAMissingFolder) {
  HttpServer server(kContent, well);
  part_ = "/dev/full";
  EXPECT_THAT(failure(server.url()), AllOf(HasSubstr("/dev/full"), HasSubstr("No space left")));
  part_ = scratch_ / "no/such/folder";
  EXPECT_THAT(failure(server.url()), AllOf(HasSubstr("no/such/folder"), HasSubstr("No such file")));
}

TEST_F(DownloadTest, TakesLocalAddressesAndNoOtherSchemes) {
  put_text(scratch_ / "source", kContent);
  download("file://" + (scratch_ / "source").string(), part_, options_);
  EXPECT_TRUE(text_of(part_) == kContent);
  fs::remove(part_);
  EXPECT_NE(failure("file://" + (scratch_ / "none").string()), "");
  EXPECT_NE(failure("ftp://127.0.0.1/file"), "");
  EXPECT_NE(failure("not an address"), "");
  EXPECT_FALSE(fs::exists(part_));
}

TEST_F(DownloadTest, WritesTheWholeFileOrReportsTheCause) {
  put_text(scratch_ / "source", kContent);
  const std::string url = "file://" + (scratch_ / "source").string();
  const auto fetch = [&](FileSystem& file_system) { download(url, part_, options_, file_system); };
  const int calls = count_calls(fetch);
  EXPECT_GE(calls, 8);
  for (const Fault fault : {Fault::kIoError, Fault::kNoSpace, Fault::kShortWrite, Fault::kInterrupted}) {
    for (int at = 1; at <= calls; ++at) {
      fs::remove(part_);
      const Outcome outcome = run_with_fault(fault, at, fetch);
      if (outcome.kind == Outcome::kSucceeded) {
        EXPECT_TRUE(text_of(part_) == kContent) << name_of(fault) << " " << at;
        continue;
      }
      EXPECT_THAT(outcome.message, AnyOf(HasSubstr("Input/output error"), HasSubstr("No space left on device")));
      EXPECT_NE(fault, Fault::kInterrupted) << at;
      fetch(real_file_system());  // continues from the bytes that are there
      EXPECT_TRUE(text_of(part_) == kContent) << name_of(fault) << " " << at;
    }
  }
}

// A size that is not known is not 0: the download would begin again, or fail later.
TEST_F(DownloadTest, ASizeIsOnlyZeroIfThereIsNoFile) {
  EXPECT_EQ(size_of(part_), 0);
  EXPECT_EQ(size_of(part_ / "below"), 0);
  put_text(part_, "12345");
  EXPECT_EQ(size_of(part_), 5);
  FailingFileSystem broken(Fault::kIoError, 1);
  EXPECT_EQ(test::error_of([&] { size_of(part_, broken); }), "cannot open " + part_.string() + ": Input/output error");
  EXPECT_THAT(test::error_of([&] { size_of(scratch_ / std::string(300, 'x')); }), HasSubstr("File name too long"));
}

TEST_F(DownloadTest, RemovesAFileOrNamesTheCause) {
  put_text(part_, "12345");
  FailingFileSystem broken(Fault::kIoError, 1);
  EXPECT_EQ(test::error_of([&] { remove_file(part_, broken); }),
            "cannot remove " + part_.string() + ": Input/output error");
  remove_file(part_);
  EXPECT_EQ(scratch_.names(), Names{});
  remove_file(part_);
}

TEST_F(DownloadTest, PassesOnWhatTheProgressCallbackThrows) {
  HttpServer server(kContent, well);
  struct Stopped {};
  options_.progress = [](std::int64_t, std::int64_t) { throw Stopped(); };
  EXPECT_THROW(failure(server.url()), Stopped);
}

class FetchTest : public testing::Test {
 protected:
  FetchTest() {
    ::unsetenv("GRADAMP_CIFAR10_URL");
    ::unsetenv("GRADAMP_CIFAR100_URL");
  }
  ~FetchTest() override { ::unsetenv("GRADAMP_CIFAR10_URL"); }

  static std::string md5_of(const std::string& bytes) {
    Md5 md5;
    md5.add(bytes.data(), bytes.size());
    return md5.finish();
  }
  /// Options to fetch `archive` from the server.
  FetchOptions options(const HttpServer& server, const std::string& archive) const {
    FetchOptions options;
    options.url = server.url("/cifar.tar.gz");
    options.md5 = md5_of(archive);
    options.destination = scratch_ / "data";
    options.layout = CifarLayout{kTinyTrain, kTinyTest};
    options.download.pause = 0;
    return options;
  }
  /// What is in the destination, other than files that serve as locks.
  Names left() const {
    Names names;
    for (const auto& entry : fs::directory_iterator(scratch_ / "data")) {
      if (entry.path().extension() != ".lock") names.insert(entry.path().filename().string());
    }
    return names;
  }
  ScratchFolder scratch_;
  const std::string archive_ = archive_of_files("cifar-10-batches-bin", tiny_cifar10_binary());
};

TEST_F(FetchTest, DownloadsChecksAndUnpacksAllFourArchives) {
  const struct {
    const char* dataset;
    CifarVersion version;
    const char* folder;
    Files files;
  } all[] = {{"cifar10", CifarVersion::kBinary, "cifar-10-batches-bin", tiny_cifar10_binary()},
             {"cifar10", CifarVersion::kPython, "cifar-10-batches-py", tiny_cifar10_python(false)},
             {"cifar100", CifarVersion::kBinary, "cifar-100-binary", tiny_cifar100_binary()},
             {"cifar100", CifarVersion::kPython, "cifar-100-python", tiny_cifar100_python(false)}};
  Names expected;
  for (const auto& one : all) {
    const std::string archive = archive_of_files(one.folder, one.files);
    HttpServer server(archive, well);
    FetchOptions fetch = options(server, archive);
    fetch.dataset = one.dataset;
    fetch.version = one.version;
    const fs::path folder = fetch_cifar(fetch);
    EXPECT_EQ(folder, scratch_ / "data" / one.folder);
    for (const auto& [name, content] : one.files) EXPECT_TRUE(text_of(folder / name) == content) << name;
    expected.insert(one.folder);
    EXPECT_EQ(left(), expected);  // the archive and the temporary folder were removed
    fetch_cifar(fetch);           // it exists: no request
    EXPECT_EQ(server.requests().size(), 1u);
  }
}

TEST_F(FetchTest, GoesOnWithABrokenDownload) {
  HttpServer server(archive_, [](int request) { return request == 0 ? Reply{200, false, 20000} : Reply{}; });
  FetchOptions fetch = options(server, archive_);
  fetch.download.attempts = 1;
  EXPECT_NE(test::error_of([&] { fetch_cifar(fetch); }), "");
  EXPECT_EQ(left(), Names{"cifar-10-binary.tar.gz.part"});
  fetch_cifar(fetch);
  EXPECT_EQ(left(), Names{"cifar-10-batches-bin"});
  EXPECT_THAT(server.requests(), ElementsAre(0, 20000));
}

TEST_F(FetchTest, OfSeveralAtATimeOneDownloads) {
  HttpServer server(archive_, well);
  std::vector<std::string> messages(4);
  std::atomic<int> waited = 0;
  std::vector<std::thread> callers;
  for (std::string& message : messages) {
    callers.emplace_back([&] {
      FetchOptions fetch = options(server, archive_);
      fetch.note = [&](const std::string& text) {
        EXPECT_THAT(text, AllOf(HasSubstr("process"), HasSubstr("fetches it already; waiting")));
        ++waited;
      };
      message = test::error_of([&] { fetch_cifar(fetch); });
    });
  }
  for (std::thread& caller : callers) caller.join();
  for (const std::string& message : messages) EXPECT_EQ(message, "");
  EXPECT_LE(waited, 3);
  EXPECT_THAT(server.requests(), ElementsAre(0));
  EXPECT_EQ(left(), Names{"cifar-10-batches-bin"});
}

TEST_F(FetchTest, UsesAWholeArchiveThatIsThere) {
  HttpServer server(archive_, well);
  write_text(scratch_ / "data/cifar-10-binary.tar.gz.part", archive_);
  fetch_cifar(options(server, archive_));
  EXPECT_EQ(server.requests(), Starts{});
  EXPECT_EQ(left(), Names{"cifar-10-batches-bin"});
}

TEST_F(FetchTest, UnpacksNothingWhereTheSumsDiffer) {
  std::string corrupt = archive_;
  corrupt[corrupt.size() / 2] ^= 1;
  HttpServer server(corrupt, well);
  EXPECT_THAT(test::error_of([&] { fetch_cifar(options(server, archive_)); }),
              AllOf(HasSubstr(server.url("/cifar.tar.gz")), HasSubstr(md5_of(archive_)), HasSubstr(md5_of(corrupt))));
  EXPECT_EQ(left(), Names{});
}

TEST_F(FetchTest, TheOfficialSumsAreTheDefault) {
  HttpServer server(archive_, well);
  const struct {
    const char* dataset;
    CifarVersion version;
    const char* md5;
  } all[] = {{"cifar10", CifarVersion::kBinary, "c32a1d4ab5d03f1284b67883e8d87530"},
             {"cifar10", CifarVersion::kPython, "c58f30108f718f92721af3b95e74349a"},
             {"cifar100", CifarVersion::kBinary, "03b5dce01913d631647c71ecec9e9cb8"},
             {"cifar100", CifarVersion::kPython, "eb9058c3a382ffc7106e4002c42a8d85"}};
  for (const auto& one : all) {
    FetchOptions fetch = options(server, archive_);
    fetch.md5.clear();
    fetch.dataset = one.dataset;
    fetch.version = one.version;
    EXPECT_THAT(test::error_of([&] { fetch_cifar(fetch); }), HasSubstr(one.md5));
    EXPECT_EQ(left(), Names{});
  }
}

TEST_F(FetchTest, SaysThatAnArchiveIsNotTheAuthors) {
  write_text(scratch_ / "a.tar.gz", archive_);
  const ArchiveOrigin origin = origin_of_archive(scratch_ / "a.tar.gz");
  EXPECT_FALSE(origin.is_authors);
  EXPECT_THAT(origin.text, AllOf(HasSubstr("a.tar.gz: none of the author's archives"), HasSubstr(md5_of(archive_))));
}

TEST_F(FetchTest, TheOptionComesBeforeTheEnvironment) {
  HttpServer by_option(archive_, well), by_environment(archive_, well);
  ::setenv("GRADAMP_CIFAR10_URL", by_environment.url().c_str(), 1);
  FetchOptions fetch = options(by_option, archive_);
  fetch_cifar(fetch);
  EXPECT_EQ(by_environment.requests().size(), 0u);
  fs::remove_all(scratch_ / "data");
  fetch.url.clear();
  fetch_cifar(fetch);
  EXPECT_EQ(by_environment.requests().size(), 1u);
  EXPECT_EQ(by_option.requests().size(), 1u);
}

TEST_F(FetchTest, KeepsNoFolderThatIsNotWhole) {
  Files files = tiny_cifar10_binary();
  files["data_batch_4.bin"].pop_back();
  for (const std::string& archive :
       {archive_of_files("cifar-10-batches-bin", files), archive_of_files("another-folder", tiny_cifar10_binary()),
        make_gzip(make_tar({{"cifar-10-batches-bin/../../../outside", "x"}})), std::string("no archive")}) {
    HttpServer server(archive, well);
    EXPECT_NE(test::error_of([&] { fetch_cifar(options(server, archive)); }), "");
    EXPECT_EQ(left(), Names{"cifar-10-binary.tar.gz.part"});
    EXPECT_EQ(scratch_.names(), Names{"data"});
    fs::remove_all(scratch_ / "data");
  }
}

TEST_F(FetchTest, LeavesADamagedFolderAloneAndNamesIt) {
  HttpServer server(archive_, well);
  write_files(scratch_ / "data/cifar-10-batches-bin", tiny_cifar10_binary());
  put_text(scratch_ / "data/cifar-10-batches-bin/test_batch.bin", "short");
  EXPECT_THAT(test::error_of([&] { fetch_cifar(options(server, archive_)); }),
              AllOf(HasSubstr("test_batch.bin"), HasSubstr("to fetch it again, remove the folder")));
  EXPECT_EQ(text_of(scratch_ / "data/cifar-10-batches-bin/test_batch.bin"), "short");
  EXPECT_EQ(server.requests(), Starts{});
}

TEST_F(FetchTest, RefusesWrongOptions) {
  HttpServer server(archive_, well);
  FetchOptions fetch = options(server, archive_);
  fetch.dataset = "mnist";
  EXPECT_THAT(test::error_of([&] { fetch_cifar(fetch); }), HasSubstr("cifar10 and cifar100"));
  fetch = options(server, archive_);
  fetch.md5 = "c32a";
  EXPECT_THAT(test::error_of([&] { fetch_cifar(fetch); }), HasSubstr("32 hexadecimal digits, got 'c32a'"));
  fetch = options(server, archive_);
  fetch.destination = "";
  EXPECT_THAT(test::error_of([&] { fetch_cifar(fetch); }), HasSubstr("expected a folder"));
  EXPECT_EQ(server.requests(), Starts{});
}

}  // namespace
}  // namespace gradamp

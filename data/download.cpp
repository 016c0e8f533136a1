// SPDX-License-Identifier: MIT
#include "data/download.h"

#include <curl/curl.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <fstream>
#include <memory>
#include <thread>

#include "core/error.h"
#include "data/archive.h"
#include "data/digest.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

/// libcurl's global state, counted by libcurl itself.
class CurlGlobal {
 public:
  CurlGlobal() { check(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK, "libcurl could not be started"); }
  ~CurlGlobal() { curl_global_cleanup(); }
  CurlGlobal(const CurlGlobal&) = delete;
  CurlGlobal& operator=(const CurlGlobal&) = delete;
};

struct FreeCurl {
  void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
};

std::int64_t size_of(const fs::path& path) {
  std::error_code error;
  const std::uintmax_t size = fs::file_size(path, error);
  return error ? 0 : static_cast<std::int64_t>(size);
}

void remove_file(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  check(!error, "cannot remove {}: {}", path.string(), error.message());
}

/// What libcurl's callbacks work on. Exceptions must not pass through C: they are kept and thrown afterwards.
struct Transfer {
  std::ofstream file;
  std::int64_t begin = 0;  // bytes that were there before
  const DownloadProgress* progress = nullptr;
  int write_error = 0;
  std::exception_ptr thrown;
};

std::size_t on_bytes(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  errno = 0;
  transfer->file.write(bytes, static_cast<std::streamsize>(size * count));
  if (transfer->file.good()) return size * count;
  transfer->write_error = errno;
  return 0;
}

int on_progress(void* user, curl_off_t total, curl_off_t now, curl_off_t, curl_off_t) {
  auto* transfer = static_cast<Transfer*>(user);
  try {
    (*transfer->progress)(transfer->begin + now, total > 0 ? transfer->begin + total : 0);
  } catch (...) {
    transfer->thrown = std::current_exception();
    return 1;
  }
  return 0;
}

enum class Outcome { kWhole, kRestart, kRetry, kFailed };

struct Attempt {
  Outcome outcome = Outcome::kFailed;
  std::string reason;
};

Attempt judge(CURLcode code, long status, bool resumed, const std::string& details) {
  // 416: nothing follows the bytes we have, so they are too many or of another file. libcurl takes it for the end.
  if (status == 416 && resumed) return {Outcome::kRestart, "the server has no bytes after those that are there"};
  if (code == CURLE_OK) return {Outcome::kWhole, ""};
  if (code == CURLE_HTTP_RETURNED_ERROR) {
    const bool passing = status == 408 || status == 429 || status >= 500;
    return {passing ? Outcome::kRetry : Outcome::kFailed,
            fmt::format("the server answered with HTTP status {}", status)};
  }
  const std::string reason = details.empty() ? curl_easy_strerror(code) : details;
  switch (code) {
    case CURLE_RANGE_ERROR:
    case CURLE_BAD_DOWNLOAD_RESUME: return {resumed ? Outcome::kRestart : Outcome::kFailed, reason};
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_CONNECT:
    case CURLE_PARTIAL_FILE:
    case CURLE_OPERATION_TIMEDOUT:
    case CURLE_GOT_NOTHING:
    case CURLE_SEND_ERROR:
    case CURLE_RECV_ERROR:
    case CURLE_HTTP2:
    case CURLE_HTTP2_STREAM:
    case CURLE_SSL_CONNECT_ERROR: return {Outcome::kRetry, reason};
    default: return {Outcome::kFailed, reason};
  }
}

void set_options(CURL* curl, const std::string& url, Transfer& transfer, const DownloadOptions& options,
                 char* details) {
  const auto set = [&](CURLoption option, auto value) {
    check(curl_easy_setopt(curl, option, value) == CURLE_OK,
          "libcurl refused option {}; it is too old or was built in part", static_cast<int>(option));
  };
  set(CURLOPT_URL, url.c_str());
  set(CURLOPT_PROTOCOLS_STR, "http,https,file");
  set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
  set(CURLOPT_FOLLOWLOCATION, 1L);
  set(CURLOPT_MAXREDIRS, 10L);
  set(CURLOPT_FAILONERROR, 1L);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_USERAGENT, "gradamp");
  set(CURLOPT_CONNECTTIMEOUT, 30L);
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // bytes a second
  set(CURLOPT_LOW_SPEED_TIME, std::max(1L, static_cast<long>(options.stall)));
  set(CURLOPT_ERRORBUFFER, details);
  set(CURLOPT_WRITEFUNCTION, &on_bytes);
  set(CURLOPT_WRITEDATA, static_cast<void*>(&transfer));
  set(CURLOPT_RESUME_FROM_LARGE, static_cast<curl_off_t>(transfer.begin));
  if (options.progress) {
    transfer.progress = &options.progress;
    set(CURLOPT_NOPROGRESS, 0L);
    set(CURLOPT_XFERINFOFUNCTION, &on_progress);
    set(CURLOPT_XFERINFODATA, static_cast<void*>(&transfer));
  }
}

/// One connection: appends to `part` what comes.
Attempt attempt_download(const std::string& url, const fs::path& part, const DownloadOptions& options) {
  Transfer transfer;
  transfer.begin = size_of(part);
  transfer.file.open(part, std::ios::binary | std::ios::app);
  check(transfer.file.is_open(), "cannot write {}: {}", part.string(), std::strerror(errno));
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  check(curl != nullptr, "libcurl could not be started: out of memory");
  char details[CURL_ERROR_SIZE] = "";
  set_options(curl.get(), url, transfer, options, details);
  const CURLcode code = curl_easy_perform(curl.get());
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  errno = 0;
  transfer.file.close();
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  const bool written = transfer.file.good();
  check(written, "{}: writing what was downloaded failed after {} bytes: {}", part.string(), size_of(part),
        std::strerror(transfer.write_error != 0 ? transfer.write_error : errno));
  return judge(code, status, transfer.begin > 0, details);
}

/// What is known of an archive of CIFAR's author.
struct Archive {
  const char* dataset;
  CifarVersion version;
  const char* file;
  const char* folder;
  const char* md5;
};
constexpr Archive kArchives[] = {
    {"cifar10", CifarVersion::kBinary, "cifar-10-binary.tar.gz", "cifar-10-batches-bin",
     "c32a1d4ab5d03f1284b67883e8d87530"},
    {"cifar10", CifarVersion::kPython, "cifar-10-python.tar.gz", "cifar-10-batches-py",
     "c58f30108f718f92721af3b95e74349a"},
    {"cifar100", CifarVersion::kBinary, "cifar-100-binary.tar.gz", "cifar-100-binary",
     "03b5dce01913d631647c71ecec9e9cb8"},
    {"cifar100", CifarVersion::kPython, "cifar-100-python.tar.gz", "cifar-100-python",
     "eb9058c3a382ffc7106e4002c42a8d85"},
};

const Archive& archive_of(const FetchOptions& options) {
  for (const Archive& archive : kArchives) {
    if (archive.dataset == options.dataset && archive.version == options.version) return archive;
  }
  fail("unknown dataset '{}'; cifar10 and cifar100 can be fetched", options.dataset);
}

/// The address: the option, the environment's, the author's.
std::string address_of(const FetchOptions& options, const Archive& archive) {
  if (!options.url.empty()) return options.url;
  const char* variable = options.dataset == "cifar10" ? "GRADAMP_CIFAR10_URL" : "GRADAMP_CIFAR100_URL";
  const char* set = std::getenv(variable);
  if (set != nullptr && *set != '\0') return set;
  return std::string("https://www.cs.toronto.edu/~kriz/") + archive.file;
}

std::string expected_md5(const FetchOptions& options, const Archive& archive) {
  std::string md5 = options.md5.empty() ? archive.md5 : options.md5;
  for (char& digit : md5) digit = static_cast<char>(std::tolower(static_cast<unsigned char>(digit)));
  check(md5.size() == 32 && md5.find_first_not_of("0123456789abcdef") == std::string::npos,
        "expected an MD5 sum of 32 hexadecimal digits, got '{}'", options.md5);
  return md5;
}

/// Loads both splits, which refuses whatever is not as it should be.
void verify(const FetchOptions& options, const fs::path& folder) {
  for (const char* split : {"train", "test"}) {
    if (options.dataset == "cifar10") {
      Cifar10Options strict;
      if (options.layout) strict.layout = *options.layout;
      load_cifar10(folder, split, strict);
    } else {
      Cifar100Options strict;
      if (options.layout) strict.layout = *options.layout;
      load_cifar100(folder, split, strict);
    }
  }
}

/// Unpacks a whole archive next to `target`, verifies what came out and renames it to `target`.
void unpack(const FetchOptions& options, const Archive& archive, const fs::path& file, const fs::path& target) {
  fs::path temporary = target;
  temporary += ".partial";
  std::error_code error;
  fs::remove_all(temporary, error);
  fs::create_directories(temporary, error);
  check(!error, "cannot create the folder {}: {}", temporary.string(), error.message());
  try {
    extract_archive(file, temporary);
    const fs::path unpacked = temporary / archive.folder;
    check(fs::is_directory(unpacked, error), "{}: expected the folder {} in it, found none", file.string(),
          archive.folder);
    verify(options, unpacked);
    fs::rename(unpacked, target, error);
    check(!error, "cannot rename {} to {}: {}", unpacked.string(), target.string(), error.message());
  } catch (...) {
    fs::remove_all(temporary, error);
    throw;
  }
  fs::remove_all(temporary, error);
}

}  // namespace

void download(const std::string& url, const fs::path& part, const DownloadOptions& options) {
  const CurlGlobal global;
  double pause = options.pause;
  bool restarted = false;
  for (int left = options.attempts;;) {
    const std::int64_t before = size_of(part);
    const Attempt attempt = attempt_download(url, part, options);
    if (attempt.outcome == Outcome::kWhole) return;
    if (attempt.outcome == Outcome::kRestart && !restarted) {
      restarted = true;
      remove_file(part);
      continue;
    }
    const bool progressed = size_of(part) > before;
    if (progressed) {
      left = options.attempts;
      pause = options.pause;
    }
    if (attempt.outcome != Outcome::kRetry || --left <= 0) {
      const std::int64_t there = size_of(part);
      if (there == 0) remove_file(part);
      fail("{}: {}{}", url, attempt.reason,
           there == 0
               ? ""
               : fmt::format("; {} bytes are kept in {}, the next try goes on from there", there, part.string()));
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(pause));
    pause *= 2;
  }
}

fs::path fetch_cifar(const FetchOptions& options) {
  const Archive& archive = archive_of(options);
  const std::string url = address_of(options, archive);
  const std::string expected = expected_md5(options, archive);
  check(!options.destination.empty(), "expected a folder to fetch {} into, got none", options.dataset);
  std::error_code error;
  fs::create_directories(options.destination, error);
  check(!error, "cannot create the folder {}: {}", options.destination.string(), error.message());
  const fs::path target = options.destination / archive.folder;
  if (fs::exists(target, error)) {
    verify(options, target);
    return target;
  }
  const fs::path part = options.destination / (std::string(archive.file) + ".part");
  // A whole archive that could not be unpacked before, for want of space perhaps, is not downloaded again.
  if (size_of(part) == 0 || md5_of_file(part) != expected) {
    download(url, part, options.download);
    const std::string sum = md5_of_file(part);
    if (sum != expected) {
      const std::int64_t size = size_of(part);
      remove_file(part);
      fail(
          "{}: expected the MD5 sum {}, got {} ({} bytes); it was deleted and nothing unpacked; try again or another "
          "address",
          url, expected, sum, size);
    }
  }
  unpack(options, archive, part, target);
  remove_file(part);
  return target;
}

}  // namespace gradamp

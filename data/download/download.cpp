// SPDX-License-Identifier: MIT
#include "gradamp/data/download/download.h"

#include <curl/curl.h>
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <span>
#include <system_error>
#include <thread>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/data/files/open_file.h"
#include "gradamp/data/files/paths.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

/// Initializes libcurl's global state, for which libcurl counts references.
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

/// State for libcurl's callbacks. Exceptions must not pass through C, so they are stored and thrown afterwards.
struct Transfer {
  OpenFile file;
  std::int64_t begin = 0;  // number of bytes that were there before
  const DownloadProgress* progress = nullptr;
  int write_error = 0;
  std::exception_ptr thrown = nullptr;
};

std::size_t on_bytes(char* bytes, std::size_t size, std::size_t count, void* user) {
  auto* transfer = static_cast<Transfer*>(user);
  try {
    if (transfer->file.write(std::as_bytes(std::span(bytes, size * count)))) return size * count;
    transfer->write_error = errno;
  } catch (...) {
    transfer->thrown = std::current_exception();
  }
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
  // 416: nothing follows our bytes, so they are too many or of another file. libcurl treats it as the end.
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
  set(CURLOPT_LOW_SPEED_LIMIT, 1L);  // bytes per second
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

/// One connection: appends the received bytes to `part`.
Attempt attempt_download(const std::string& url, const fs::path& part, const DownloadOptions& options,
                         FileSystem& file_system) {
  OpenFile file(file_system, part, O_WRONLY | O_CREAT | O_APPEND | O_NONBLOCK);
  check(file.is_open(), "cannot write {}: {}", part.string(), last_cause());
  Transfer transfer{.file = std::move(file), .begin = size_of(part, file_system)};
  const std::unique_ptr<CURL, FreeCurl> curl(curl_easy_init());
  check(curl != nullptr, "libcurl could not be started: out of memory");
  char details[CURL_ERROR_SIZE] = "";
  set_options(curl.get(), url, transfer, options, details);
  const CURLcode code = curl_easy_perform(curl.get());
  long status = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &status);
  if (transfer.thrown) std::rethrow_exception(transfer.thrown);
  if (!transfer.file.close() && transfer.write_error == 0) transfer.write_error = errno;
  check(transfer.write_error == 0, "{}: writing what was downloaded failed after {} bytes: {}", part.string(),
        size_of(part, file_system), std::generic_category().message(transfer.write_error));
  return judge(code, status, transfer.begin > 0, details);
}

}  // namespace

std::int64_t size_of(const fs::path& path, FileSystem& file_system) {
  const std::optional<FileStatus> status = status_of(path, file_system);
  return status ? status->size : 0;
}

void remove_file(const fs::path& path, FileSystem& file_system) {
  const bool removed = file_system.unlink(path.string()) == 0 || means_missing(errno);
  check(removed, "cannot remove {}: {}", path.string(), last_cause());
}

void download(const std::string& url, const fs::path& part, const DownloadOptions& options, FileSystem& file_system) {
  const CurlGlobal global;
  double pause = options.pause;
  bool restarted = false;
  for (int left = options.attempts;;) {
    const std::int64_t before = size_of(part, file_system);
    const Attempt attempt = attempt_download(url, part, options, file_system);
    if (attempt.outcome == Outcome::kWhole) return;
    if (attempt.outcome == Outcome::kRestart && !restarted) {
      restarted = true;
      remove_file(part, file_system);
      continue;
    }
    const bool progressed = size_of(part, file_system) > before;
    if (progressed) {
      left = options.attempts;
      pause = options.pause;
    }
    if (attempt.outcome != Outcome::kRetry || --left <= 0) {
      const std::int64_t there = size_of(part, file_system);
      if (there == 0) remove_file(part, file_system);
      fail("{}: {}{}", url, attempt.reason,
           there == 0
               ? ""
               : fmt::format("; {} bytes are kept in {}, the next try continues from there", there, part.string()));
    }
    std::this_thread::sleep_for(std::chrono::duration<double>(pause));
    pause *= 2;
  }
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Downloads files with libcurl, and goes on with those that were broken off.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

namespace gradamp {

/// Called now and then with the bytes that are there and the bytes of the whole file, 0 where that is not known.
using DownloadProgress = std::function<void(std::int64_t done, std::int64_t total)>;

struct DownloadOptions {
  int attempts = 5;     // in a row that bring nothing new; one that does starts the count again
  double pause = 1.0;   // seconds before the second attempt in a row, doubled before each further one
  double stall = 60.0;  // seconds without a byte after which an attempt is given up
  DownloadProgress progress;
};

/// Downloads `url` (http, https or file) into the file `part`, going on after the bytes that are already in it. A
/// server that cannot go on in the middle makes it start again; connections that break, answers 408, 429 and 5xx are
/// tried again. Does not check what came: the caller knows what it should be. Throws Error with the address and the
/// reason (HTTP status, connection, disk); `part` then keeps what came.
void download(const std::string& url, const std::filesystem::path& part, const DownloadOptions& options = {});

/// The bytes of the file `path`; 0 where there is none.
std::int64_t size_of(const std::filesystem::path& path);

/// Error where the file is there and cannot be removed.
void remove_file(const std::filesystem::path& path);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Downloads files with libcurl, and resumes interrupted downloads.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// Called repeatedly with the number of bytes received and the size of the whole file, 0 if it is unknown.
using DownloadProgress = std::function<void(std::int64_t done, std::int64_t total)>;

struct DownloadOptions {
  int attempts = 5;     // in a row without new bytes; an attempt with new bytes restarts the count
  double pause = 1.0;   // seconds before the second attempt in a row, doubled before each further one
  double stall = 60.0;  // seconds without a byte after which an attempt ends
  DownloadProgress progress;
};

/// Downloads `url` (http, https or file) into the file `part`, and continues after the bytes that are already in it. If
/// the server cannot continue in the middle, the download starts again. Broken connections and the answers 408, 429 and
/// 5xx are retried. Does not verify the content; the caller knows what is expected. Throws Error with the address and
/// the reason (HTTP status, connection, disk); `part` then keeps the received bytes.
void download(const std::string& url, const std::filesystem::path& part, const DownloadOptions& options = {},
              FileSystem& file_system = real_file_system());

/// The size of the file `path` in bytes; 0 if there is none. Error if it cannot be told.
std::int64_t size_of(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

/// Removes the file if there is one. Error if it cannot be removed.
void remove_file(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

}  // namespace gradamp

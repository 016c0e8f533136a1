// SPDX-License-Identifier: MIT
// Downloads files with libcurl, and CIFAR in particular: resumed when broken off, checked, and unpacked only when
// whole.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "data/cifar.h"

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

enum class CifarVersion { kBinary, kPython };

struct FetchOptions {
  std::string dataset = "cifar10";  // or "cifar100"
  CifarVersion version = CifarVersion::kBinary;
  std::string url;  // where empty: GRADAMP_CIFAR10_URL or GRADAMP_CIFAR100_URL, then the author's server
  std::string md5;  // of the archive; where empty: what the author gives for it
  std::filesystem::path destination;  // gets cifar-10-batches-bin (-py) or cifar-100-binary (-python)
  std::optional<CifarLayout> layout;  // where not given: the official one
  DownloadOptions download;
};

/// Downloads CIFAR and unpacks it; returns the folder with its files. Where that folder is there already, it is
/// verified and nothing is downloaded. The archive is kept as `<name>.tar.gz.part` in the destination until it is
/// whole, so that another call goes on where this one was broken off. Its MD5 sum is compared, it is unpacked into a
/// temporary folder, read strictly with load_cifar10 or load_cifar100, renamed into place, and then deleted. Throws
/// Error where any of this fails: with both sums where they differ (the archive is then deleted).
std::filesystem::path fetch_cifar(const FetchOptions& options);

}  // namespace gradamp

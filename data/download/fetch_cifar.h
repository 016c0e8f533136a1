// SPDX-License-Identifier: MIT
// Downloads CIFAR: interrupted downloads are resumed, and an archive is unpacked only after it has been verified.
#pragma once

#include <filesystem>
#include <functional>
#include <optional>
#include <string>

#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/download/download.h"

namespace gradamp {

enum class CifarVersion { kBinary, kPython };

struct FetchOptions {
  std::string dataset = "cifar10";  // or "cifar100"
  CifarVersion version = CifarVersion::kBinary;
  std::string url;                    // if empty: GRADAMP_CIFAR10_URL or GRADAMP_CIFAR100_URL, then the author's server
  std::string md5;                    // of the archive; if empty: the one that the author publishes
  std::filesystem::path destination;  // gets cifar-10-batches-bin (-py) or cifar-100-binary (-python)
  std::optional<CifarLayout> layout;  // if not given: the official one
  DownloadOptions download;
  std::function<void(const std::string&)> note;  // gets lines for the user: what is waited for, what is not safe
};

/// Downloads CIFAR and unpacks it; returns the folder with its files. If that folder exists, verifies it and downloads
/// nothing. The archive is kept as `<name>.tar.gz.part` in the destination until it is complete, so that another call
/// can continue an interrupted download. Of several
/// processes that fetch into one destination at a time, one downloads, and the others wait for it (a FileLock on
/// `<name>.tar.gz.lock`, which stays). The archive's MD5 sum is compared. The archive is unpacked into a temporary
/// folder, which is read strictly with load_cifar10 or load_cifar100 and renamed; then the archive is deleted. Throws
/// Error if any of this fails. If the MD5 sums differ, the message has both, and the archive is deleted.
std::filesystem::path fetch_cifar(const FetchOptions& options);

/// Which of the author's archives a file is, by its MD5 sum.
struct ArchiveOrigin {
  bool is_authors = false;
  std::string text;  // a line for the user
};
ArchiveOrigin origin_of_archive(const std::filesystem::path& file);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Downloads CIFAR: resumed when broken off, checked, and unpacked only when whole.
#pragma once

#include <filesystem>
#include <optional>
#include <string>

#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/download/download.h"

namespace gradamp {

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

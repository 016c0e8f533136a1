// SPDX-License-Identifier: MIT
#include "gradamp/data/download/fetch_cifar.h"

#include <cctype>
#include <cstdlib>
#include <optional>

#include "gradamp/core/error.h"
#include "gradamp/data/download/archive.h"
#include "gradamp/data/download/digest.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/data/files/partial_folder.h"
#include "gradamp/data/files/paths.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

/// The known properties of one of the author's archives.
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

/// The address: from the option, else the environment variable, else the author's.
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

/// Loads both splits. Error if anything is not as expected.
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

/// Unpacks a complete archive next to `target`, verifies the result and renames it to `target`.
void unpack(const FetchOptions& options, const Archive& archive, const fs::path& file, const fs::path& target) {
  const PartialFolder temporary(target);
  const auto in_folder = [&](const std::string& path) {
    const bool wanted = path.starts_with(std::string(archive.folder) + "/");
    return wanted ? std::optional(kMaxArchiveBytes) : std::nullopt;
  };
  extract_archive(file, temporary.path(), kMaxArchiveBytes, in_folder);
  const fs::path unpacked = temporary.path() / archive.folder;
  check(is_folder(unpacked), "{}: expected the folder {} in it, found none", file.string(), archive.folder);
  verify(options, unpacked);
  std::error_code error;
  fs::rename(unpacked, target, error);
  check(!error, "cannot rename {} to {}: {}", unpacked.string(), target.string(), error.message());
}

/// `target`, which was there before; Error if it is damaged.
fs::path verified(const FetchOptions& options, const fs::path& target) {
  try {
    verify(options, target);
  } catch (const Error& damage) {
    fail("{}; to fetch it again, remove the folder {} first", damage.what(), target.string());
  }
  return target;
}

}  // namespace

ArchiveOrigin origin_of_archive(const fs::path& file) {
  const std::string md5 = md5_of_file(file);
  for (const Archive& archive : kArchives) {
    if (md5 == archive.md5)
      return {true, fmt::format("{}: the author's {} (MD5 sum {})", file.string(), archive.file, md5)};
  }
  return {false, fmt::format("{}: none of the author's archives by its MD5 sum, {}", file.string(), md5)};
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
  if (path_exists(target)) return verified(options, target);
  fs::path lock_path = options.destination / archive.file;
  lock_path += ".lock";
  FileLock lock(lock_path);
  const auto note = [&](const std::string& text) {
    if (options.note) options.note(text);
  };
  const LockState state = lock.acquire([&](const std::string& holder) {
    note(fmt::format("{}: {} fetches it already; waiting for that", target.string(), holder));
  });
  if (state == LockState::kNoLocks) note(lock.warning());
  if (path_exists(target)) return verified(options, target);  // another process has fetched it meanwhile
  const fs::path part = options.destination / (std::string(archive.file) + ".part");
  // A complete archive that could not be unpacked before, perhaps because the disk was full, is not downloaded again.
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

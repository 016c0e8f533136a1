// SPDX-License-Identifier: MIT
#include "gradamp/data/idx.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/paths.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxFileBytes = std::int64_t{1} << 32;

struct IdxFile {
  std::vector<std::int64_t> extents;
  std::vector<std::uint8_t> values;
};

FileReader open_idx(const fs::path& path, FileSystem& file_system) {
  std::optional<FileReader> file = FileReader::if_exists(path, file_system);
  if (file) return std::move(*file);
  check(!path_exists(path.string() + ".gz", file_system), "{}: found only {}.gz; unpack it with gunzip --keep",
        path.string(), path.filename().string());
  fail("{}: expected this file, and it is missing", path.string());
}

std::uint32_t read_big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

/// Reads an IDX file of bytes that has `dimensions` dimensions.
IdxFile read_idx(const fs::path& path, int dimensions, FileSystem& file_system) {
  FileReader file = open_idx(path, file_system);
  const std::int64_t length = std::int64_t{4} * (1 + dimensions);  // of the header
  std::vector<std::uint8_t> header(static_cast<std::size_t>(std::min(length, file.size())));
  file.read(std::as_writable_bytes(std::span(header)), 0);
  const auto check_length = [&](std::int64_t needed) {
    check(file.size() >= needed, "{}: the file is cut short: expected a header of {} bytes, got {} bytes",
          path.string(), length, file.size());
  };
  check_length(4);
  const std::uint32_t magic = read_big_endian(header.data());
  const std::uint32_t expected = 0x800u + static_cast<std::uint32_t>(dimensions);
  check(magic == expected, "{}: expected an IDX file of bytes with {} dimensions (magic number {:#010x}), got {:#010x}",
        path.string(), dimensions, expected, magic);
  check_length(length);
  IdxFile content;
  std::int64_t bytes = 1;
  for (int d = 0; d < dimensions; ++d) {
    const std::int64_t extent = read_big_endian(header.data() + 4 * (1 + d));
    check(extent >= 1 && extent <= kMaxFileBytes / bytes,
          "{}: expected 1 to {} bytes of values, got extent {} as number {}", path.string(), kMaxFileBytes, extent,
          d + 1);
    bytes *= extent;
    content.extents.push_back(extent);
  }
  check(file.size() == length + bytes, "{}: expected {} bytes by its header, got {}", path.string(), length + bytes,
        file.size());
  content.values.resize(static_cast<std::size_t>(bytes));
  file.read(std::as_writable_bytes(std::span(content.values)), length);
  file.close();
  return content;
}

}  // namespace

Dataset load_idx_dataset(const fs::path& folder, const std::string& split, const std::string& name,
                         const std::vector<std::string>& class_names, FileSystem& file_system) {
  check(split == "train" || split == "test", "expected the split train or test, got '{}'", split);
  const std::string prefix = split == "train" ? "train" : "t10k";
  IdxFile images = read_idx(folder / (prefix + "-images-idx3-ubyte"), 3, file_system);
  const fs::path label_path = folder / (prefix + "-labels-idx1-ubyte");
  const IdxFile labels = read_idx(label_path, 1, file_system);
  check(labels.extents[0] == images.extents[0], "{}: expected {} labels like images, got {}", label_path.string(),
        images.extents[0], labels.extents[0]);
  Dataset dataset;
  dataset.name = name;
  dataset.split = split;
  dataset.count = images.extents[0];
  dataset.height = images.extents[1];
  dataset.width = images.extents[2];
  dataset.channels = 1;
  dataset.classes = static_cast<int>(class_names.size());
  dataset.class_names = class_names;
  dataset.images = std::move(images.values);
  dataset.labels.assign(labels.values.begin(), labels.values.end());
  check_dataset(dataset);
  return dataset;
}

}  // namespace gradamp

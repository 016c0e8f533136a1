// SPDX-License-Identifier: MIT
#include "gradamp/data/idx.h"

#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <fstream>
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

void check_there(const fs::path& path) {
  const fs::file_status status = status_of(path);
  if (fs::exists(status)) return check_is_file(path, status);
  std::error_code error;
  check(!fs::is_regular_file(path.string() + ".gz", error), "{}: found only {}.gz; unpack it with gunzip --keep",
        path.string(), path.filename().string());
  fail("{}: expected this file, and it is missing", path.string());
}

std::uint32_t read_big_endian(const std::uint8_t* bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 | bytes[3];
}

void read_exactly(std::ifstream& file, const fs::path& path, std::uint8_t* bytes, std::int64_t count) {
  file.read(reinterpret_cast<char*>(bytes), static_cast<std::streamsize>(count));
  check(file.gcount() == count, "{}: the file is cut short: expected {} more bytes, got {}", path.string(), count,
        file.gcount());
}

/// Reads an IDX file of bytes that has `dimensions` dimensions.
IdxFile read_idx(const fs::path& path, int dimensions) {
  check_there(path);
  std::ifstream file(path, std::ios::binary);
  check(file.is_open(), "cannot open {}: {}", path.string(), std::strerror(errno));
  std::array<std::uint8_t, 4> word{};
  read_exactly(file, path, word.data(), 4);
  const std::uint32_t magic = read_big_endian(word.data()), expected = 0x800u + static_cast<std::uint32_t>(dimensions);
  check(magic == expected, "{}: expected an IDX file of bytes with {} dimensions (magic number {:#010x}), got {:#010x}",
        path.string(), dimensions, expected, magic);
  IdxFile content;
  std::int64_t bytes = 1;
  for (int d = 0; d < dimensions; ++d) {
    read_exactly(file, path, word.data(), 4);
    const std::int64_t extent = read_big_endian(word.data());
    check(extent >= 1 && extent <= kMaxFileBytes / bytes,
          "{}: expected 1 to {} bytes of values, got extent {} as number {}", path.string(), kMaxFileBytes, extent,
          d + 1);
    bytes *= extent;
    content.extents.push_back(extent);
  }
  std::error_code error;
  const auto size = static_cast<std::int64_t>(fs::file_size(path, error)), header = std::int64_t{4} * (1 + dimensions);
  check(!error, "cannot read {}: {}", path.string(), error.message());
  check(size == header + bytes, "{}: expected {} bytes by its header, got {}", path.string(), header + bytes, size);
  content.values.resize(static_cast<std::size_t>(bytes));
  read_exactly(file, path, content.values.data(), bytes);
  return content;
}

}  // namespace

Dataset load_idx_dataset(const fs::path& folder, const std::string& split, const std::string& name,
                         const std::vector<std::string>& class_names) {
  check(split == "train" || split == "test", "expected the split train or test, got '{}'", split);
  const std::string prefix = split == "train" ? "train" : "t10k";
  IdxFile images = read_idx(folder / (prefix + "-images-idx3-ubyte"), 3);
  const fs::path label_path = folder / (prefix + "-labels-idx1-ubyte");
  const IdxFile labels = read_idx(label_path, 1);
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

// SPDX-License-Identifier: MIT
// Tensors in a file, in the safetensors format (https://github.com/huggingface/safetensors, "Format"), written so that
// a crash cannot damage the file and read so that damage is detected.
//
// Ours is an ordinary safetensors file whose __metadata__ also has CRC-32C checksums, in 8 hexadecimal digits:
// "crc32c:<name>" is that of a tensor's bytes. "crc32c" is that of the header without this entry, as compact JSON with
// sorted keys. A file has all of these or none.
#pragma once

#include <cstddef>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradamp/core/dtype.h"
#include "gradamp/core/shape.h"
#include "gradamp/data/files/durable_file.h"

namespace gradamp {

/// A tensor whose elements are stored elsewhere, row-major.
struct TensorView {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::span<const std::byte> bytes;
};

/// A tensor with its elements.
struct TensorRecord {
  std::string name;
  DType dtype = DType::kF32;
  Shape shape;
  std::vector<std::byte> bytes;

  /// Valid as long as this record is.
  TensorView view() const { return {name, dtype, shape, bytes}; }
};

/// The content of a file. The views point into its own copy of the elements, so it can be moved but not copied. In a
/// file of ours each tensor is aligned for its type.
class TensorFile {
 public:
  TensorFile(std::vector<std::byte> bytes, std::vector<TensorView> tensors, std::map<std::string, std::string> metadata,
             bool has_checksums)
      : bytes_(std::move(bytes)),
        tensors_(std::move(tensors)),
        metadata_(std::move(metadata)),
        has_checksums_(has_checksums) {}
  TensorFile(TensorFile&&) = default;
  TensorFile& operator=(TensorFile&&) = default;

  /// In the file's order.
  const std::vector<TensorView>& tensors() const { return tensors_; }
  /// Without the checksums.
  const std::map<std::string, std::string>& metadata() const { return metadata_; }
  /// Whether the file had checksums, which were then verified.
  bool has_checksums() const { return has_checksums_; }
  /// The tensor of that name, or null.
  const TensorView* find(std::string_view name) const;

 private:
  std::vector<std::byte> bytes_;
  std::vector<TensorView> tensors_;
  std::map<std::string, std::string> metadata_;
  bool has_checksums_;
};

/// Writes `tensors` and `metadata` to `path` as write_durably() does. Equal contents, in any order, give equal bytes:
/// tensors are sorted by descending alignment and then by name, as by the reference writer. Throws Error if a name is
/// used twice, a number of bytes does not match the shape, a metadata key begins with "crc32c", text is not UTF-8, or
/// write_durably() fails.
void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata, Keep keep,
                       FileSystem& file_system = real_file_system());

/// Reads a file of ours or of another safetensors writer. Throws Error with the path and the reason if the file is
/// missing, breaks a rule of the format, does not match its checksums, or has something that this program cannot
/// represent (a tensor of more than 4 dimensions, a dtype that is not in DType). The message names previous_of(path) if
/// that exists.
TensorFile read_safetensors(const std::filesystem::path& path, FileSystem& file_system = real_file_system());

}  // namespace gradamp

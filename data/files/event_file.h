// SPDX-License-Identifier: MIT
// TensorBoard's event files: records of a checksummed length and checksummed data. The data is a protobuf message
// `Event` (tensorboard/compat/proto/event.proto and summary.proto; the framing is that of TensorFlow's TFRecord files).
// A file is valid after every call: a crash can tear only its last record, and the next call cuts that off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "gradamp/core/error.h"
#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// A point of the curve `tag`, which is UTF-8. TensorBoard groups tags by the part before their first slash. The value
/// is stored as float32: rounded, and infinite beyond its range. Infinities and NaNs are stored unchanged.
struct Scalar {
  std::string tag;
  double value;
};

/// The checksum in a record: CRC-32C rotated right by 15 bits, plus 0xa282ead8. Without this mask, the checksum of data
/// that contain checksums would be weaker.
std::uint32_t masked_crc32c(std::span<const std::byte> bytes);

/// `events.out.tfevents.<seconds>.<run id>`: TensorBoard reads all files with "tfevents" in their names, those of a run
/// in the order of their names. `seconds` since 1970.
std::string event_file_name(std::int64_t seconds, std::string_view run_id);

/// The error for a file that is damaged, or that another program wrote.
class DamagedEventFile : public Error {
 public:
  using Error::Error;
};

/// Times are in seconds since 1970. Only one writer per file at a time. append() and trim() read the whole file first,
/// which costs little for one record per epoch but too much for one per batch. They throw
/// DamagedEventFile with the path and the offset if a record that is not torn is damaged, and leave such a file
/// unchanged.
class EventFile {
 public:
  /// Creates a file with the record of the format's version, as write_durably() does. Error if there is a file already.
  static void create(const std::filesystem::path& path, double wall_time, FileSystem& file_system = real_file_system());

  /// Appends one record with all of `scalars`, in one write, and syncs it. Error with the path and the cause if there
  /// is no such file, it has no first record, or a call fails; the earlier records then stay valid.
  static void append(const std::filesystem::path& path, std::int64_t step, double wall_time,
                     std::span<const Scalar> scalars, FileSystem& file_system = real_file_system());

  /// Keeps the first record and those with a step up to `last_step`, for a run that continues from there. Replaces the
  /// file as write_durably() does. If no byte changes, writes nothing.
  static void trim(const std::filesystem::path& path, std::int64_t last_step,
                   FileSystem& file_system = real_file_system());
};

}  // namespace gradamp

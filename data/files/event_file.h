// SPDX-License-Identifier: MIT
// TensorBoard's event files: records of a checksummed length and checksummed data, the data a protobuf message `Event`
// (tensorboard/compat/proto/event.proto and summary.proto; the framing is that of TensorFlow's TFRecord files). A file
// is whole after every call: a crash leaves at most its last record torn, and the next call cuts that off.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

#include "gradamp/data/files/file_system.h"

namespace gradamp {

/// A point of the curve `tag`, which is UTF-8; TensorBoard groups tags by what comes before their first slash. The
/// value is stored as float32: rounded, beyond its range infinite. Infinities and NaNs are stored as they are.
struct Scalar {
  std::string tag;
  double value;
};

/// The checksum in a record: CRC-32C rotated right by 15 bits, plus 0xa282ead8, so that the checksum of data that hold
/// checksums is no weaker.
std::uint32_t masked_crc32c(std::span<const std::byte> bytes);

/// `events.out.tfevents.<seconds>.<run id>`: TensorBoard reads the files with "tfevents" in their names, a run's files
/// in the order of their names. `seconds` since 1970.
std::string event_file_name(std::int64_t seconds, std::string_view run_id);

/// Times are in seconds since 1970. One writer a file at a time. append() and trim() read the whole file first, which
/// is nothing for a record an epoch and too much for one a batch; they throw Error with the path and the offset where a
/// record that is not torn is damaged, and leave such a file as it is.
class EventFile {
 public:
  /// Makes a file with the record that says what it is, as write_durably() does. Error where there is a file already.
  static void create(const std::filesystem::path& path, double wall_time, FileSystem& file_system = real_file_system());

  /// Appends one record with all of `scalars`, in one write, and syncs it. Error where there is no such file, it has no
  /// first record, or a call fails, with the path and the cause; the records before are still whole then.
  static void append(const std::filesystem::path& path, std::int64_t step, double wall_time,
                     std::span<const Scalar> scalars, FileSystem& file_system = real_file_system());

  /// Keeps the first record and those with a step up to `last_step`, for a run that goes on from there: a new file is
  /// put in the place of the old one as write_durably() does. Where every byte stays, nothing is written.
  static void trim(const std::filesystem::path& path, std::int64_t last_step,
                   FileSystem& file_system = real_file_system());
};

}  // namespace gradamp

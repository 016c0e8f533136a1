// SPDX-License-Identifier: MIT
#include "gradamp/data/files/event_file.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <optional>
#include <system_error>
#include <utility>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/data/files/durable_file.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using ByteView = std::span<const std::byte>;

constexpr std::size_t kHeaderSize = 12;   // the data's length, 8 bytes, and its checksum
constexpr std::size_t kChecksumSize = 4;  // after the data

// How protobuf encodes a field's value: the low three bits of the field's key. The other bits are the field's number.
enum WireType : std::uint64_t { kVarint = 0, kFixed64 = 1, kLengthDelimited = 2, kFixed32 = 5 };

constexpr std::uint64_t key(std::uint64_t field, WireType type) { return field << 3 | type; }

constexpr std::uint64_t kEventWallTime = key(1, kFixed64);             // double
constexpr std::uint64_t kEventStep = key(2, kVarint);                  // int64
constexpr std::uint64_t kEventFileVersion = key(3, kLengthDelimited);  // string
constexpr std::uint64_t kEventSummary = key(5, kLengthDelimited);      // Summary
constexpr std::uint64_t kSummaryValue = key(1, kLengthDelimited);      // repeated Value
constexpr std::uint64_t kValueTag = key(1, kLengthDelimited);          // string
constexpr std::uint64_t kValueSimpleValue = key(2, kFixed32);          // float

ByteView bytes_of(std::string_view text) { return std::as_bytes(std::span(text)); }

// Little-endian, as the whole format.
template <typename Unsigned>
void put_fixed(std::string& text, Unsigned value) {
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) text += static_cast<char>(value >> (8 * i) & 0xff);
}

template <typename Unsigned>
Unsigned fixed_at(ByteView bytes, std::size_t offset) {
  Unsigned value = 0;
  for (std::size_t i = 0; i < sizeof(Unsigned); ++i) value |= std::to_integer<Unsigned>(bytes[offset + i]) << (8 * i);
  return value;
}

// Seven bits per byte, the low ones first; the high bit means that more bytes follow.
void put_varint(std::string& text, std::uint64_t value) {
  for (; value >= 0x80; value >>= 7) text += static_cast<char>((value & 0x7f) | 0x80);
  text += static_cast<char>(value);
}

void put_text(std::string& text, std::uint64_t its_key, std::string_view value) {
  put_varint(text, its_key);
  put_varint(text, value.size());
  text += value;
}

std::string event_at(double wall_time) {
  std::string event;
  put_varint(event, kEventWallTime);
  put_fixed(event, std::bit_cast<std::uint64_t>(wall_time));
  return event;
}

std::string summary_of(std::span<const Scalar> scalars) {
  std::string summary;
  for (const Scalar& scalar : scalars) {
    std::string value;
    put_text(value, kValueTag, scalar.tag);
    put_varint(value, kValueSimpleValue);
    put_fixed(value, std::bit_cast<std::uint32_t>(static_cast<float>(scalar.value)));
    put_text(summary, kSummaryValue, value);
  }
  return summary;
}

std::string record_of(std::string_view event) {
  std::string record;
  put_fixed(record, std::uint64_t{event.size()});
  put_fixed(record, masked_crc32c(bytes_of(record)));
  record += event;
  put_fixed(record, masked_crc32c(bytes_of(event)));
  return record;
}

bool all_zero(ByteView bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte byte) { return byte == std::byte{0}; });
}

template <typename... Arguments>
void require(bool condition, fmt::format_string<Arguments...> message, Arguments&&... arguments) {
  if (!condition) throw DamagedEventFile(fmt::format(message, std::forward<Arguments>(arguments)...));
}

// The size of the first record of `rest`, the file from `offset` on. Nothing if the record is torn: cut short, or with
// zeros as its last bytes, which a power failure leaves if the length reached the disk before the data.
std::optional<std::size_t> record_size(const fs::path& path, ByteView rest, std::size_t offset) {
  if (rest.size() < kHeaderSize || all_zero(rest)) return std::nullopt;
  require(masked_crc32c(rest.first(8)) == fixed_at<std::uint32_t>(rest, 8),
          "{} is damaged: the length of the record at byte {} does not match its checksum", path.string(), offset);
  const auto length = fixed_at<std::uint64_t>(rest, 0);
  const std::size_t left = rest.size() - kHeaderSize;
  if (left < kChecksumSize || length > left - kChecksumSize) return std::nullopt;
  const std::size_t size = kHeaderSize + length + kChecksumSize;
  if (masked_crc32c(rest.subspan(kHeaderSize, length)) == fixed_at<std::uint32_t>(rest, size - kChecksumSize)) {
    return size;
  }
  require(size == rest.size() && all_zero(rest.last(kChecksumSize)),
          "{} is damaged: the data of the record at byte {} do not match their checksum", path.string(), offset);
  return std::nullopt;
}

// The whole records of a file with these `bytes`, at least the first one. Torn bytes may follow them.
std::vector<ByteView> whole_records(const fs::path& path, ByteView bytes) {
  std::vector<ByteView> records;
  std::size_t offset = 0;
  while (const auto size = record_size(path, bytes.subspan(offset), offset)) {
    records.push_back(bytes.subspan(offset, *size));
    offset += *size;
  }
  require(!records.empty(), "{} is no event file: it has no whole first record", path.string());
  return records;
}

// The step of an event that append() wrote: its second field, after the time's key and 8 bytes. Nothing for other
// events.
std::optional<std::int64_t> step_of(ByteView event) {
  constexpr std::size_t kStepAt = 9;
  if (event.size() <= kStepAt || event[0] != std::byte{kEventWallTime} || event[kStepAt] != std::byte{kEventStep}) {
    return std::nullopt;
  }
  std::uint64_t step = 0;
  int shift = 0;
  for (const std::byte byte : event.subspan(kStepAt + 1)) {
    step |= (std::to_integer<std::uint64_t>(byte) & 0x7f) << shift;
    if (std::to_integer<int>(byte) < 0x80) return static_cast<std::int64_t>(step);
    shift += 7;
    if (shift >= 64) break;
  }
  return std::nullopt;
}

// An open file whose calls are repeated after a signal. A failed call throws Error with the path and the cause.
class Appending {
 public:
  Appending(const fs::path& path, FileSystem& file_system) : path_(path), file_system_(file_system) {
    descriptor_ = static_cast<int>(
        uninterrupted("opening it", [&] { return file_system.open(path.string(), O_WRONLY | O_APPEND | O_CLOEXEC); }));
  }
  ~Appending() {
    if (descriptor_ >= 0) file_system_.close(descriptor_);
  }
  Appending(const Appending&) = delete;
  Appending& operator=(const Appending&) = delete;

  void truncate(std::size_t size) {
    uninterrupted("cutting off a torn record",
                  [&] { return file_system_.ftruncate(descriptor_, static_cast<std::int64_t>(size)); });
  }
  void write(ByteView bytes) {
    while (!bytes.empty()) {
      const std::int64_t written =
          uninterrupted("writing", [&] { return file_system_.write(descriptor_, bytes.data(), bytes.size()); });
      check(written > 0, "cannot append to {}: writing took no byte", path_.string());
      bytes = bytes.subspan(static_cast<std::size_t>(written));
    }
  }
  void sync_and_close() {
    uninterrupted("syncing it", [&] { return file_system_.fsync(descriptor_); });
    // Linux has closed the descriptor even if it returns EINTR.
    const int descriptor = descriptor_;
    descriptor_ = -1;
    if (file_system_.close(descriptor) != 0 && errno != EINTR) fail_at("closing it");
  }

 private:
  template <typename Call>
  std::int64_t uninterrupted(const char* step, Call call) {
    std::int64_t result = call();
    while (result < 0 && errno == EINTR) result = call();
    if (result < 0) fail_at(step);
    return result;
  }
  [[noreturn]] void fail_at(const char* step) {
    const std::string cause = std::generic_category().message(errno);
    fail("cannot append to {}: {} failed: {}", path_.string(), step, cause);
  }

  const fs::path& path_;
  FileSystem& file_system_;
  int descriptor_ = -1;
};

}  // namespace

std::uint32_t masked_crc32c(ByteView bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

std::string event_file_name(std::int64_t seconds, std::string_view run_id) {
  return fmt::format("events.out.tfevents.{}.{}", seconds, run_id);
}

void EventFile::create(const fs::path& path, double wall_time, FileSystem& file_system) {
  check(!file_exists(path, file_system), "{} is there already; name another event file", path.string());
  std::string event = event_at(wall_time);
  put_text(event, kEventFileVersion, "brain.Event:2");
  const std::string record = record_of(event);
  const std::array parts = {bytes_of(record)};
  write_durably(path, parts, Keep::kNothing, file_system);
}

void EventFile::append(const fs::path& path, std::int64_t step, double wall_time, std::span<const Scalar> scalars,
                       FileSystem& file_system) {
  const std::vector<std::byte> before = read_whole_file(path, file_system);
  std::size_t whole = 0;
  for (const ByteView record : whole_records(path, before)) whole += record.size();

  std::string event = event_at(wall_time);
  put_varint(event, kEventStep);
  put_varint(event, static_cast<std::uint64_t>(step));
  put_text(event, kEventSummary, summary_of(scalars));
  const std::string record = record_of(event);
  Appending file(path, file_system);
  if (whole < before.size()) file.truncate(whole);
  try {
    file.write(bytes_of(record));
  } catch (const Error&) {
    try {
      file.truncate(whole);
    } catch (const Error&) {  // then the next append cuts it off
    }
    throw;
  }
  file.sync_and_close();
}

void EventFile::trim(const fs::path& path, std::int64_t last_step, FileSystem& file_system) {
  const std::vector<std::byte> before = read_whole_file(path, file_system);
  std::vector<std::byte> kept;
  for (const ByteView record : whole_records(path, before)) {
    const ByteView event = record.subspan(kHeaderSize, record.size() - kHeaderSize - kChecksumSize);
    const std::optional<std::int64_t> step = kept.empty() ? last_step : step_of(event);
    require(step.has_value(), "{}: the record at byte {} is of another program", path.string(),
            record.data() - before.data());
    if (*step <= last_step) kept.insert(kept.end(), record.begin(), record.end());
  }
  if (kept.size() == before.size()) return;
  const std::array parts = {ByteView(kept)};
  write_durably(path, parts, Keep::kNothing, file_system);
}

}  // namespace gradamp

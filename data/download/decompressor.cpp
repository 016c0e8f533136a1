// SPDX-License-Identifier: MIT
#include "gradamp/data/download/decompressor.h"

#include <archive.h>
#include <archive_entry.h>
#include <zlib.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/files/durable_file.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using std::string_view_literals::operator""sv;

constexpr std::size_t kPiece = 1 << 16;

/// The bytes of a regular file.
class FileBytes {
 public:
  FileBytes(const fs::path& path, FileSystem& file_system) : path_(path.string()), file_(path, file_system) {}

  /// The next bytes; empty at the end.
  std::span<const std::uint8_t> next() {
    const std::int64_t count = std::min<std::int64_t>(file_.size() - offset_, std::ssize(buffer_));
    const auto piece = std::span(buffer_).first(static_cast<std::size_t>(count));
    file_.read(std::as_writable_bytes(piece), offset_);
    offset_ += count;
    return piece;
  }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  FileReader file_;
  std::int64_t offset_ = 0;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(kPiece);
};

class PlainFile : public Decompressor {
 public:
  PlainFile(const fs::path& path, FileSystem& file_system) : file_(path, file_system) {}
  std::span<const std::uint8_t> next() override { return file_.next(); }

 private:
  FileBytes file_;
};

/// Gzip (RFC 1952). zlib compares the CRC-32 and the length at the end of each member.
class GzipFile : public Decompressor {
 public:
  GzipFile(const fs::path& path, FileSystem& file_system) : file_(path, file_system) {
    constexpr int kGzipOnly = 16;  // added to the window's bits
    check(inflateInit2(&stream_, kGzipOnly + MAX_WBITS) == Z_OK, "zlib could not be started: out of memory");
  }
  ~GzipFile() override { inflateEnd(&stream_); }
  GzipFile(const GzipFile&) = delete;
  GzipFile& operator=(const GzipFile&) = delete;

  std::span<const std::uint8_t> next() override {
    while (!ended_) {
      if (stream_.avail_in == 0 && !refill())
        fail("{}: damaged: the gzip file is cut short, its end with the checksum is missing", file_.path());
      stream_.next_out = buffer_.data();
      stream_.avail_out = static_cast<uInt>(buffer_.size());
      const int status = inflate(&stream_, Z_NO_FLUSH);
      check(status == Z_OK || status == Z_STREAM_END, "{}: damaged: gzip reports: {}", file_.path(),
            stream_.msg == nullptr ? zError(status) : stream_.msg);
      if (status == Z_STREAM_END) begin_next_member();
      const std::size_t count = buffer_.size() - stream_.avail_out;
      if (count > 0) return {buffer_.data(), count};
    }
    return {};
  }

 private:
  bool refill() {
    const auto bytes = file_.next();
    stream_.next_in = const_cast<Bytef*>(bytes.data());
    stream_.avail_in = static_cast<uInt>(bytes.size());
    return !bytes.empty();
  }

  /// After the last member there may be zeros (of tapes), and nothing else.
  void begin_next_member() {
    if (stream_.avail_in == 0 && !refill()) {
      ended_ = true;
    } else if (*stream_.next_in != 0) {
      check(*stream_.next_in == 0x1f, "{}: damaged: it has other bytes behind the end of the gzip file", file_.path());
      check(inflateReset(&stream_) == Z_OK, "zlib failed at the next member of {}", file_.path());
    } else {
      do {
        const Bytef* end = stream_.next_in + stream_.avail_in;
        check(std::all_of(static_cast<const Bytef*>(stream_.next_in), end, [](Bytef byte) { return byte == 0; }),
              "{}: damaged: it has other bytes behind the end of the gzip file", file_.path());
      } while (refill());
      ended_ = true;
    }
  }

  FileBytes file_;
  z_stream stream_{};
  bool ended_ = false;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(kPiece);
};

/// The compressions that libarchive reads; their libraries check the checksums.
class LibarchiveFile : public Decompressor {
 public:
  LibarchiveFile(const fs::path& path, Packing packing, FileSystem& file_system)
      : file_(path, file_system), handle_(archive_read_new()) {
    check(handle_ != nullptr, "libarchive could not be started: out of memory");
    const char* name = packing == Packing::kBzip2 ? "bzip2" : packing == Packing::kXz ? "xz" : "zstd";
    const int status = packing == Packing::kBzip2 ? archive_read_support_filter_bzip2(handle_.get())
                       : packing == Packing::kXz  ? archive_read_support_filter_xz(handle_.get())
                                                  : archive_read_support_filter_zstd(handle_.get());
    // A warning means that libarchive would run an external program.
    check(status == ARCHIVE_OK, "{}: compressed by {}, which this system's libarchive does not read; unpack it first",
          file_.path(), name);
    archive_read_support_format_raw(handle_.get());
    if (archive_read_open(handle_.get(), this, nullptr, &on_read, nullptr) != ARCHIVE_OK) fail_reading();
    archive_entry* entry = nullptr;
    const int header = archive_read_next_header(handle_.get(), &entry);
    ended_ = header == ARCHIVE_EOF;
    if (!ended_ && header != ARCHIVE_OK) fail_reading();
  }

  std::span<const std::uint8_t> next() override {
    if (ended_) return {};
    const la_ssize_t count = archive_read_data(handle_.get(), buffer_.data(), buffer_.size());
    if (count < 0) fail_reading();
    ended_ = count == 0;
    return {buffer_.data(), static_cast<std::size_t>(count)};
  }

 private:
  struct Free {
    void operator()(archive* handle) const { archive_read_free(handle); }
  };

  /// Exceptions must not pass through C.
  static la_ssize_t on_read(archive* handle, void* user, const void** bytes) {
    auto* self = static_cast<LibarchiveFile*>(user);
    try {
      const auto piece = self->file_.next();
      *bytes = piece.data();
      return static_cast<la_ssize_t>(piece.size());
    } catch (const Error& error) {
      self->cause_ = error;
    }
    archive_set_error(handle, EIO, "the file cannot be read");
    return -1;
  }

  [[noreturn]] void fail_reading() const {
    if (cause_) throw *cause_;
    const char* reason = archive_error_string(handle_.get());
    fail("{}: damaged: {}", file_.path(), reason == nullptr ? "it cannot be decompressed" : reason);
  }

  FileBytes file_;
  std::optional<Error> cause_;
  std::unique_ptr<archive, Free> handle_;
  bool ended_ = false;
  std::vector<std::uint8_t> buffer_ = std::vector<std::uint8_t>(kPiece);
};

struct Signature {
  std::string_view bytes;
  Packing packing;
  const char* unread;  // what the file is, if it is not read
};

constexpr std::array kSignatures{
    Signature{"\x1f\x8b"sv, Packing::kGzip, nullptr},
    Signature{"BZh"sv, Packing::kBzip2, nullptr},
    Signature{"\xfd"
              "7zXZ\0"sv,
              Packing::kXz, nullptr},
    Signature{"\x28\xb5\x2f\xfd"sv, Packing::kZstd, nullptr},
    Signature{"PK\3\4"sv, Packing::kZip, nullptr},
    Signature{"PK\5\6"sv, Packing::kZip, nullptr},
    Signature{"\x1f\x9d"sv, Packing::kNone, "a file compressed by compress (.Z)"},
    Signature{"\x04\x22\x4d\x18"sv, Packing::kNone, "a file compressed by lz4"},
    Signature{"LZIP"sv, Packing::kNone, "a file compressed by lzip"},
    Signature{"\x5d\0\0"sv, Packing::kNone, "a file compressed by lzma"},
    Signature{"7z\xbc\xaf\x27\x1c"sv, Packing::kNone, "a 7-Zip archive"},
    Signature{"Rar!\x1a\x07"sv, Packing::kNone, "a RAR archive"},
    Signature{"<!"sv, Packing::kNone, "a page of HTML, perhaps a server's answer instead of the file"},
    Signature{"<html"sv, Packing::kNone, "a page of HTML, perhaps a server's answer instead of the file"},
    Signature{"<HTML"sv, Packing::kNone, "a page of HTML, perhaps a server's answer instead of the file"},
};

}  // namespace

Packing packing_of(const fs::path& file, FileSystem& file_system) {
  FileBytes bytes(file, file_system);
  const auto first = bytes.next();
  check(!first.empty(), "{}: the file is empty", bytes.path());
  const std::string_view text(reinterpret_cast<const char*>(first.data()), first.size());
  for (const Signature& signature : kSignatures) {
    if (!text.starts_with(signature.bytes)) continue;
    check(signature.unread == nullptr,
          "{}: is {}; expected an archive (.tar, .tar.gz, .tar.bz2, .tar.xz, .tar.zst, .zip)", bytes.path(),
          signature.unread);
    return signature.packing;
  }
  return Packing::kNone;
}

std::unique_ptr<Decompressor> open_decompressor(const fs::path& file, Packing packing, FileSystem& file_system) {
  if (packing == Packing::kNone) return std::make_unique<PlainFile>(file, file_system);
  if (packing == Packing::kGzip) return std::make_unique<GzipFile>(file, file_system);
  return std::make_unique<LibarchiveFile>(file, packing, file_system);
}

}  // namespace gradamp

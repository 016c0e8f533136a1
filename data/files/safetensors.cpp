// SPDX-License-Identifier: MIT
#include "gradamp/data/files/safetensors.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <limits>
#include <set>
#include <system_error>
#include <tuple>
#include <utility>

#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/data/files/crc32c.h"

namespace gradamp {
namespace {

using nlohmann::json;

static_assert(std::endian::native == std::endian::little, "the format is little-endian, and so are our tensors");

constexpr std::size_t kLengthBytes = 8;
constexpr std::uint64_t kMaxHeaderBytes = 100'000'000;
constexpr std::size_t kMaxDepth = 8;  // a header has 3 levels
constexpr const char* kMetadata = "__metadata__";
constexpr const char* kChecksum = "crc32c";

struct NamedType {
  const char* name;
  DType type;
};
// In the reference writer's order.
constexpr std::array<NamedType, 7> kTypes{{{"I64", DType::kI64},
                                           {"F64", DType::kF64},
                                           {"F32", DType::kF32},
                                           {"I32", DType::kI32},
                                           {"BF16", DType::kBF16},
                                           {"F16", DType::kF16},
                                           {"U8", DType::kU8}}};

std::size_t rank_of(DType type) {
  return static_cast<std::size_t>(
      std::find_if(kTypes.begin(), kTypes.end(), [&](const NamedType& entry) { return entry.type == type; }) -
      kTypes.begin());
}

DType type_named(const std::string& name, const std::string& tensor) {
  for (const NamedType& entry : kTypes) {
    if (name == entry.name) return entry.type;
  }
  static const std::set<std::string> kOthers{"BOOL", "I8", "I16", "U16", "U32", "U64", "C64"};
  const bool known = kOthers.contains(name) || name.starts_with("F8_") || name.starts_with("F6_") || name == "F4";
  fail("tensor '{}' has the {} dtype '{}'; convert it to one of F32, BF16, F16, F64, I32, I64, U8", tensor,
       known ? "unsupported" : "unknown", name);
}

std::string checksum_key(const std::string& tensor) { return fmt::format("{}:{}", kChecksum, tensor); }
std::string checksum(std::span<const std::byte> bytes) { return fmt::format("{:08x}", crc32c(bytes)); }

// json sorts its keys, so the text depends only on the contents. Takes a copy, from which it removes the entry.
std::string checksum_of_header(json header) {
  header[kMetadata].erase(kChecksum);
  const std::string text = header.dump();
  return checksum(std::as_bytes(std::span(text)));
}

// ---- writing

void check_tensors(const std::vector<TensorView>& tensors) {
  std::set<std::string_view> names;
  for (const TensorView& tensor : tensors) {
    check(names.insert(tensor.name).second, "two tensors are named '{}'", tensor.name);
    check(tensor.name != kMetadata, "a tensor cannot be named '{}'", tensor.name);
    const std::size_t expected = static_cast<std::size_t>(tensor.shape.count()) * size_of(tensor.dtype);
    check(tensor.bytes.size() == expected, "tensor '{}' of {} {} needs {} bytes, got {}", tensor.name,
          name_of(tensor.dtype), tensor.shape.to_string(), expected, tensor.bytes.size());
  }
}

// The length and the header, padded so that the tensors begin at a multiple of 8.
std::string make_header(const std::vector<TensorView>& tensors, const std::map<std::string, std::string>& metadata) {
  nlohmann::ordered_json header = nlohmann::ordered_json::object();
  std::map<std::string, std::string> all = metadata;
  for (const auto& [key, value] : metadata) {
    check(!key.starts_with(kChecksum), "the metadata key '{}' is taken: '{}' begins our checksums", key, kChecksum);
  }
  for (const TensorView& tensor : tensors) all[checksum_key(tensor.name)] = checksum(tensor.bytes);
  header[kMetadata] = all;

  // Appended, since operator[] searches all keys.
  auto& object = header.get_ref<nlohmann::ordered_json::object_t&>();
  std::size_t offset = 0;
  for (const TensorView& tensor : tensors) {
    nlohmann::ordered_json entry;
    entry["dtype"] = kTypes.at(rank_of(tensor.dtype)).name;
    entry["shape"] = nlohmann::ordered_json::array();
    for (int i = 0; i < tensor.shape.rank(); ++i) entry["shape"].push_back(tensor.shape[i]);
    entry["data_offsets"] = {offset, offset + tensor.bytes.size()};
    object.push_back({tensor.name, std::move(entry)});
    offset += tensor.bytes.size();
  }
  all[kChecksum] = checksum_of_header(json(header));
  header[kMetadata] = all;

  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  check(text.size() <= kMaxHeaderBytes, "the header has {} bytes, the format allows {}", text.size(), kMaxHeaderBytes);
  const std::uint64_t length = text.size();
  std::string prefix(kLengthBytes, '\0');
  std::memcpy(prefix.data(), &length, kLengthBytes);
  return prefix + text;
}

// ---- reading

struct Entry {
  TensorView tensor;  // its bytes are set after the ranges have been checked
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
};

/// Refuses what json::parse accepts: two equal keys, of which it silently keeps the last, and deep nesting, which
/// overflows the stack when a value is printed. (json::parse with a callback would take quadratic time.)
class HeaderCheck final : public nlohmann::json_sax<json> {
 public:
  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override { return begin(); }
  bool end_object() override { return end(); }
  bool start_array(std::size_t) override { return begin(); }
  bool end_array() override { return end(); }
  bool key(string_t& name) override {
    check(keys_.back().insert(name).second, "its header has the key '{}' twice", name);
    return true;
  }
  bool parse_error(std::size_t, const std::string&, const json::exception& error) override {
    fail("its header is not valid JSON: {}", error.what());
  }

 private:
  bool begin() {
    check(keys_.size() < kMaxDepth, "its header is nested more than {} levels deep: this is no safetensors file",
          kMaxDepth);
    keys_.emplace_back();
    return true;
  }
  bool end() {
    keys_.pop_back();
    return true;
  }

  std::vector<std::set<std::string>> keys_;  // of each open object; empty for a list
};

json parse_json(std::string_view text) {
  HeaderCheck header;
  json::sax_parse(text, &header);
  return json::parse(text);
}

std::string read_header(FileReader& file) {
  const auto size = static_cast<std::uint64_t>(file.size());
  check(size >= kLengthBytes, "it has {} bytes, too few for the length of a header: it is cut short", size);
  std::uint64_t length = 0;
  file.read(std::as_writable_bytes(std::span(&length, 1)), 0);
  check(length <= kMaxHeaderBytes,
        "its header would have {} bytes, at most {} are allowed: this is no safetensors file", length, kMaxHeaderBytes);
  check(length <= size - kLengthBytes, "its header should have {} bytes, only {} follow: it is cut short", length,
        size - kLengthBytes);
  std::string text(length, '\0');
  file.read(std::as_writable_bytes(std::span(text)), kLengthBytes);
  return text;
}

json parse_header(std::string_view text) {
  check(text.starts_with('{'), "its header does not begin with '{{': this is no safetensors file");
  const std::size_t last = text.find_last_not_of(' ');
  check(text[last] == '}', "its header is not padded with spaces after the last '}}'");
  // The parser would treat a zero byte as the end.
  check(text.find('\0') == std::string_view::npos, "its header holds a zero byte");
  return parse_json(text);
}

std::uint64_t non_negative(const json& value, const char* what, const std::string& tensor) {
  check(value.is_number_unsigned() && value.get<std::uint64_t>() <= std::numeric_limits<std::int64_t>::max(),
        "tensor '{}' has a {} that is not a whole number from 0 to 2^63 - 1: {}", tensor, what, value.dump());
  return value.get<std::uint64_t>();
}

Entry parse_entry(const std::string& name, const json& value) {
  const auto member = [&](const char* key) -> const json& {
    check(value.is_object() && value.contains(key), "tensor '{}' has no '{}'", name, key);
    return value[key];
  };
  Entry entry;
  entry.tensor.name = name;
  check(member("dtype").is_string(), "tensor '{}' has a dtype that is not text", name);
  entry.tensor.dtype = type_named(member("dtype").get<std::string>(), name);

  const json& shape = member("shape");
  check(shape.is_array(), "tensor '{}' has a shape that is not a list", name);
  check(shape.size() <= Shape::kMaxRank, "tensor '{}' has {} dimensions, this program supports at most {}", name,
        shape.size(), +Shape::kMaxRank);
  std::uint64_t size = size_of(entry.tensor.dtype);
  for (const json& extent : shape) {
    const std::uint64_t value_of_extent = non_negative(extent, "shape", name);
    check(!__builtin_mul_overflow(size, value_of_extent, &size), "tensor '{}' has a shape too large for any memory: {}",
          name, shape.dump());
    entry.tensor.shape.push_back(static_cast<std::int64_t>(value_of_extent));
  }

  const json& offsets = member("data_offsets");
  check(offsets.is_array() && offsets.size() == 2, "tensor '{}' has data_offsets that are not two numbers", name);
  entry.begin = non_negative(offsets[0], "data offset", name);
  entry.end = non_negative(offsets[1], "data offset", name);
  check(entry.begin <= entry.end && entry.end - entry.begin == size,
        "tensor '{}' of {} {} needs {} bytes, its data_offsets are {}", name, name_of(entry.tensor.dtype),
        entry.tensor.shape.to_string(), size, offsets.dump());
  return entry;
}

// Sorts the entries by their position in the file's `size` bytes of elements, which they must fill exactly.
void sort_and_check_ranges(std::vector<Entry>& entries, std::uint64_t size) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::tie(a.begin, a.end, a.tensor.name) < std::tie(b.begin, b.end, b.tensor.name);
  });
  std::uint64_t covered = 0;
  for (const Entry& entry : entries) {
    check(entry.begin >= covered, "tensor '{}' overlaps the one before it, which ends at {}, not {}", entry.tensor.name,
          covered, entry.begin);
    check(entry.begin == covered, "there is a hole before tensor '{}': bytes {} to {} belong to nothing",
          entry.tensor.name, covered, entry.begin);
    check(entry.end <= size, "tensor '{}' should end at {}, the file has {} bytes of tensors: it is cut short",
          entry.tensor.name, entry.end, size);
    covered = entry.end;
  }
  check(covered == size, "{} bytes follow the last tensor and belong to nothing", size - covered);
}

std::map<std::string, std::string> parse_metadata(const json& header) {
  std::map<std::string, std::string> metadata;
  if (!header.contains(kMetadata)) return metadata;
  const json& values = header[kMetadata];
  check(values.is_object(), "its {} is not a map", kMetadata);
  for (const auto& [key, value] : values.items()) {
    check(value.is_string(), "its {} has the key '{}' with a value that is not text", kMetadata, key);
    metadata[key] = value.get<std::string>();
  }
  return metadata;
}

// Removes the checksums from `metadata`, and verifies the file by them. False if there are none.
bool check_checksums(const json& header, const std::vector<Entry>& entries,
                     std::map<std::string, std::string>& metadata) {
  std::map<std::string, std::string> sums;
  for (auto it = metadata.begin(); it != metadata.end();) {
    const bool is_sum = it->first.starts_with(kChecksum);
    if (is_sum) sums.insert(*it);
    it = is_sum ? metadata.erase(it) : std::next(it);
  }
  if (sums.empty()) return false;
  const auto take = [&](const std::string& key) {
    const auto it = sums.find(key);
    check(it != sums.end(), "it lacks the checksum '{}': it is damaged", key);
    std::string sum = it->second;
    sums.erase(it);
    return sum;
  };
  check(take(kChecksum) == checksum_of_header(header),
        "its header does not match its checksum: it is damaged, or another program changed it");
  for (const Entry& entry : entries) {
    check(take(checksum_key(entry.tensor.name)) == checksum(entry.tensor.bytes),
          "tensor '{}' does not match its checksum: it is damaged, or another program changed it", entry.tensor.name);
  }
  if (!sums.empty()) fail("it has the checksum '{}' of a tensor that it lacks: it is damaged", sums.begin()->first);
  return true;
}

// Checks the whole header before it allocates memory for the elements.
TensorFile read_file(FileReader file) {
  const std::string text = read_header(file);
  const json header = parse_header(text);
  std::map<std::string, std::string> metadata = parse_metadata(header);
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name != kMetadata) entries.push_back(parse_entry(name, value));
  }
  const std::uint64_t begin = kLengthBytes + text.size();
  const std::uint64_t size = static_cast<std::uint64_t>(file.size()) - begin;
  sort_and_check_ranges(entries, size);
  std::vector<std::byte> bytes(size);
  file.read(bytes, static_cast<std::int64_t>(begin));
  file.close();
  for (Entry& entry : entries) entry.tensor.bytes = std::span(bytes).subspan(entry.begin, entry.end - entry.begin);
  const bool has_checksums = check_checksums(header, entries, metadata);
  std::vector<TensorView> tensors;
  for (Entry& entry : entries) tensors.push_back(std::move(entry.tensor));
  return {std::move(bytes), std::move(tensors), std::move(metadata), has_checksums};
}

/// The end of a message about a file that cannot be loaded: where the file saved before it is, if there is one.
std::string describe_previous(const std::filesystem::path& path, FileSystem& file_system) {
  const std::filesystem::path previous = previous_of(path);
  try {
    return file_exists(previous, file_system) ? fmt::format("; the file saved before it is {}", previous.string()) : "";
  } catch (const Error& error) {
    return fmt::format("; {}, so it is not known whether the file saved before it is there", error.what());
  }
}

}  // namespace

const TensorView* TensorFile::find(std::string_view name) const {
  const auto it =
      std::find_if(tensors_.begin(), tensors_.end(), [&](const TensorView& tensor) { return tensor.name == name; });
  return it == tensors_.end() ? nullptr : &*it;
}

void write_safetensors(const std::filesystem::path& path, std::vector<TensorView> tensors,
                       const std::map<std::string, std::string>& metadata, Keep keep, FileSystem& file_system) {
  std::string header;
  try {
    check_tensors(tensors);
    std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
      return std::pair(rank_of(a.dtype), std::string_view(a.name)) <
             std::pair(rank_of(b.dtype), std::string_view(b.name));
    });
    header = make_header(tensors, metadata);
  } catch (const Error& error) {
    fail("cannot save {}: {}", path.string(), error.what());
  } catch (const json::exception& error) {
    fail("cannot save {}: a name or the metadata is not UTF-8 ({})", path.string(), error.what());
  }
  std::vector<std::span<const std::byte>> parts{std::as_bytes(std::span(header))};
  for (const TensorView& tensor : tensors) parts.push_back(tensor.bytes);
  write_durably(path, parts, keep, file_system);
}

TensorFile read_safetensors(const std::filesystem::path& path, FileSystem& file_system) {
  try {
    return read_file(FileReader(path, file_system));
  } catch (const Error& error) {
    fail("{} cannot be loaded: {}{}", path.string(), error.what(), describe_previous(path, file_system));
  }
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/data/files/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/files/failing_file_system.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using test::error_of;
using ::testing::HasSubstr;
using Metadata = std::map<std::string, std::string>;

template <typename Element>
TensorRecord record(std::string name, DType dtype, Shape shape, const std::vector<Element>& elements) {
  TensorRecord made{std::move(name), dtype, shape, std::vector<std::byte>(elements.size() * sizeof(Element))};
  if (!elements.empty()) std::memcpy(made.bytes.data(), elements.data(), made.bytes.size());
  return made;
}

std::vector<TensorView> views_of(const std::vector<TensorRecord>& records) {
  std::vector<TensorView> views;
  for (const TensorRecord& each : records) views.push_back(each.view());
  return views;
}

// One tensor of each type. One is a scalar, one is empty, and one has a name that JSON must escape.
std::vector<TensorRecord> every_kind() {
  return {record<std::uint8_t>("u", DType::kU8, {3}, {1, 2, 255}),
          record<float>("b", DType::kF32, {2, 3}, {0, 1, 2, 3, 4, 5}),
          record<float>("e", DType::kF32, {0, 3}, {}),
          record<float>("\u00e9.w\"", DType::kF32, {1}, {2.5f}),
          record<std::int64_t>("n", DType::kI64, {}, {7}),
          record<std::uint16_t>("a", DType::kBF16, {2}, {0x3fc0, 0xc000}),  // 1.5 and -2
          record<double>("d", DType::kF64, {1}, {0.1}),
          record<std::int32_t>("i", DType::kI32, {2, 1}, {-1, 2})};
}

void expect_equal(const TensorFile& file, const std::vector<TensorRecord>& expected) {
  ASSERT_EQ(file.tensors().size(), expected.size());
  for (const TensorRecord& each : expected) {
    const TensorView* found = file.find(each.name);
    ASSERT_NE(found, nullptr) << each.name;
    EXPECT_EQ(found->name, each.name);
    EXPECT_EQ(found->dtype, each.dtype) << each.name;
    EXPECT_EQ(found->shape, each.shape) << each.name;
    EXPECT_EQ(std::vector<std::byte>(found->bytes.begin(), found->bytes.end()), each.bytes) << each.name;
  }
}

// The output of safetensors.torch.save() of safetensors 0.8.0 for every_kind() with the metadata {"format": "pt"}.
constexpr std::string_view kReferenceTensors =
    R"("n":{"dtype":"I64","shape":[],"data_offsets":[0,8]},"d":{"dtype":"F64","shape":[1],"data_offsets":[8,16]},)"
    R"("b":{"dtype":"F32","shape":[2,3],"data_offsets":[16,40]},"e":{"dtype":"F32","shape":[0,3],"data_offsets":[40,40]},)"
    "\"\u00e9.w\\\"\":"
    R"({"dtype":"F32","shape":[1],"data_offsets":[40,44]},"i":{"dtype":"I32","shape":[2,1],"data_offsets":[44,52]},)"
    R"("a":{"dtype":"BF16","shape":[2],"data_offsets":[52,56]},"u":{"dtype":"U8","shape":[3],"data_offsets":[56,59]}})";
constexpr char kReferenceData[] =
    "\x07\0\0\0\0\0\0\0\x9a\x99\x99\x99\x99\x99\xb9?\0\0\0\0\0\0\x80?\0\0\0@\0\0@@\0\0\x80@\0\0\xa0@\0\0 @"
    "\xff\xff\xff\xff\x02\0\0\0\xc0?\0\xc0\x01\x02\xff";
const std::string kReferenceBuffer(kReferenceData, sizeof(kReferenceData) - 1);

// A file with this header, padded as required or not at all, and this tensor data.
std::string file_of(std::string header, const std::string& data, bool pad = true) {
  while (pad && header.size() % 8 != 0) header += ' ';
  const std::uint64_t length = header.size();
  std::string file(8, '\0');
  std::memcpy(file.data(), &length, 8);
  return file + header + data;
}

std::string error_reading(const std::string& contents) {
  const ScratchFolder folder;
  put_text(folder / "file", contents);
  return error_of([&] { read_safetensors(folder / "file"); });
}

TEST(Safetensors, EveryKindOfTensorAndMetadataComeBack) {
  const ScratchFolder folder;
  const Metadata metadata{{"format", "pt"}, {"", "empty key"}, {"quote\"", "\u00fc\n{}"}};
  write_safetensors(folder / "file", views_of(every_kind()), metadata, Keep::kNothing);
  const TensorFile file = read_safetensors(folder / "file");
  expect_equal(file, every_kind());
  EXPECT_EQ(file.metadata(), metadata);
  EXPECT_EQ(file.find("missing"), nullptr);
  for (const TensorView& tensor : file.tensors()) {
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(tensor.bytes.data()) % size_of(tensor.dtype), 0u) << tensor.name;
  }
}

TEST(Safetensors, NothingAtAllComesBack) {
  const ScratchFolder folder;
  write_safetensors(folder / "file", {}, {}, Keep::kNothing);
  const TensorFile file = read_safetensors(folder / "file");
  EXPECT_TRUE(file.tensors().empty());
  EXPECT_TRUE(file.metadata().empty());
}

// The checksums are from another implementation; the header's is that of Python's
// json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False) without the entry.
TEST(Safetensors, SmallFileByteForByte) {
  const ScratchFolder folder;
  const std::vector<TensorRecord> records{record<std::uint8_t>("x", DType::kU8, {1}, {9}),
                                          record<float>("w", DType::kF32, {1, 2}, {1, -2})};
  write_safetensors(folder / "file", views_of(records), {{"a", "b"}}, Keep::kNothing);
  const std::string header =
      R"({"__metadata__":{"a":"b","crc32c":"04f0b4c4","crc32c:w":"aa36f2c9","crc32c:x":"2acf889d"},)"
      R"("w":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},"x":{"dtype":"U8","shape":[1],"data_offsets":[8,9]}})";
  const std::string data("\0\0\x80?\0\0\0\xc0\x09", 9);
  EXPECT_EQ(text_of(folder / "file"), file_of(header, data));
}

TEST(Safetensors, OrderOfTheTensorsGivenDoesNotMatter) {
  const ScratchFolder folder;
  std::vector<TensorRecord> records = every_kind();
  write_safetensors(folder / "one", views_of(records), {}, Keep::kNothing);
  std::reverse(records.begin(), records.end());
  write_safetensors(folder / "two", views_of(records), {}, Keep::kNothing);
  EXPECT_EQ(text_of(folder / "one"), text_of(folder / "two"));
}

TEST(Safetensors, ReadsTheReferenceWritersFile) {
  const ScratchFolder folder;
  const std::string header = R"({"__metadata__":{"format":"pt"},)" + std::string(kReferenceTensors);
  put_text(folder / "file", file_of(header, kReferenceBuffer));
  const TensorFile file = read_safetensors(folder / "file");
  expect_equal(file, every_kind());
  EXPECT_EQ(file.metadata(), (Metadata{{"format", "pt"}}));
}

TEST(Safetensors, WritesWhatTheReferenceWriterWritesButForTheChecksums) {
  const ScratchFolder folder;
  write_safetensors(folder / "file", views_of(every_kind()), {{"format", "pt"}}, Keep::kNothing);
  std::string text = text_of(folder / "file").substr(8);
  text = text.substr(text.find("},") + 2);
  const std::string padding(text.size() - kReferenceTensors.size() - kReferenceBuffer.size(), ' ');
  EXPECT_LT(padding.size(), 8u);
  EXPECT_EQ(text, std::string(kReferenceTensors) + padding + kReferenceBuffer);
}

TEST(Safetensors, WriterRefusesWhatIsWrongAndLeavesTheOldFile) {
  const ScratchFolder folder;
  const auto path = folder / "file";
  put_text(path, "old");
  const auto one = record<float>("w", DType::kF32, {2}, {1, 2});
  const auto error_writing = [&](const std::vector<TensorRecord>& records, const Metadata& metadata) {
    const std::string error = error_of([&] { write_safetensors(path, views_of(records), metadata, Keep::kPrevious); });
    EXPECT_THAT(error, HasSubstr("cannot save " + path.string() + ": "));
    return error;
  };
  EXPECT_THAT(error_writing({one, one}, {}), HasSubstr("two tensors are named 'w'"));
  EXPECT_THAT(error_writing({record<float>("w", DType::kF32, {3}, {1, 2})}, {}),
              HasSubstr("tensor 'w' of f32 [3] needs 12 bytes, got 8"));
  EXPECT_THAT(error_writing({record<float>("__metadata__", DType::kF32, {1}, {1})}, {}), HasSubstr("cannot be named"));
  EXPECT_THAT(error_writing({one}, {{"crc32c:w", "0"}}), HasSubstr("the metadata key 'crc32c:w' is taken"));
  EXPECT_THAT(error_writing({one}, {{"k", "\xff"}}), HasSubstr("not UTF-8"));
  EXPECT_THAT(error_writing({record<float>("\xff", DType::kF32, {1}, {1})}, {}), HasSubstr("not UTF-8"));
  EXPECT_EQ(text_of(path), "old");
  EXPECT_EQ(folder.names(), std::set<std::string>{"file"});
}

// ---- damage

TEST(Safetensors, EveryTruncationIsRefused) {
  const ScratchFolder folder;
  write_safetensors(folder / "file", views_of(every_kind()), {{"epoch", "3"}}, Keep::kNothing);
  const std::string whole = text_of(folder / "file");
  for (std::size_t length = 0; length < whole.size(); ++length) {
    put_text(folder / "file", std::string_view(whole).substr(0, length));
    const std::string error = error_of([&] { read_safetensors(folder / "file"); });
    ASSERT_THAT(error, HasSubstr((folder / "file").string() + " cannot be loaded: ")) << length;
    ASSERT_THAT(error, HasSubstr("it is cut short")) << length;
  }
  put_text(folder / "file", whole + '\0');
  EXPECT_THAT(error_of([&] { read_safetensors(folder / "file"); }), HasSubstr("1 bytes follow the last tensor"));
}

TEST(Safetensors, EveryFlippedBitIsRefused) {
  const ScratchFolder folder;
  write_safetensors(folder / "file", views_of(every_kind()), {{"epoch", "3"}}, Keep::kNothing);
  std::string text = text_of(folder / "file");
  for (std::size_t i = 0; i < text.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      text[i] = static_cast<char>(text[i] ^ 1 << bit);
      put_text(folder / "file", text);
      ASSERT_THAT(error_of([&] { read_safetensors(folder / "file"); }), HasSubstr("cannot be loaded"))
          << "bit " << bit << " of byte " << i << " in " << text;
      text[i] = static_cast<char>(text[i] ^ 1 << bit);
    }
  }
}

TEST(Safetensors, SaysWhichTensorIsDamaged) {
  const ScratchFolder folder;
  write_safetensors(folder / "file", views_of(every_kind()), {}, Keep::kNothing);
  std::string text = text_of(folder / "file");
  text.back() ^= 1;
  EXPECT_THAT(error_reading(text), HasSubstr("tensor 'u' does not match its checksum: it is damaged"));
  text.back() ^= 1;
  text.replace(text.find("\"i\":{\"dtype\":\"I32\""), 18, "\"i\":{\"dtype\":\"F32\"");
  EXPECT_THAT(error_reading(text), HasSubstr("its header does not match its checksum"));
}

TEST(Safetensors, NamesThePreviousFile) {
  const ScratchFolder folder;
  const auto path = folder / "file";
  write_safetensors(path, views_of(every_kind()), {{"epoch", "1"}}, Keep::kPrevious);
  EXPECT_THAT(error_of([&] { read_safetensors(folder / "other"); }), ::testing::EndsWith("No such file or directory"));
  write_safetensors(path, views_of(every_kind()), {{"epoch", "2"}}, Keep::kPrevious);
  put_text(path, "torn");
  EXPECT_EQ(error_of([&] { read_safetensors(path); }),
            path.string() + " cannot be loaded: it has 4 bytes, too few for the length of a header: it is cut short; " +
                "the file saved before it is " + path.string() + ".previous");
  std::filesystem::remove(path);
  EXPECT_THAT(error_of([&] { read_safetensors(path); }), HasSubstr(path.string() + ".previous"));
  EXPECT_EQ(read_safetensors(previous_of(path)).metadata().at("epoch"), "1");
  FailingFileSystem broken(Fault::kBroken, 1);
  EXPECT_THAT(error_of([&] { read_safetensors(path, broken); }),
              ::testing::AllOf(HasSubstr("cannot read " + path.string() + ": Input/output error"),
                               HasSubstr("cannot look at " + path.string() + ".previous: Input/output error"),
                               ::testing::EndsWith("so it is not known whether the file saved before it is there")));
}

struct BadFile {
  const char* what;
  std::string contents;
  const char* error;
};

std::string with_tensor(const std::string& tensor, std::size_t bytes) {
  return file_of(R"({"t":)" + tensor + "}", std::string(bytes, 'x'));
}

TEST(Safetensors, EveryRuleOfTheFormatIsKept) {
  const std::string two_gigabytes("\0\0\0\x80\0\0\0\0", 8);
  const std::string a = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  const auto b_at = [](int begin, int end) {
    return R"("b":{"dtype":"U8","shape":[2],"data_offsets":[)" + std::to_string(begin) + "," + std::to_string(end) +
           "]}";
  };
  const std::vector<BadFile> files = {
      {"huge header", two_gigabytes + "{}", "its header would have 2147483648 bytes"},
      {"length of all ones", std::string(8, '\xff') + "{}", "at most 100000000 are allowed"},
      {"one byte past the cap", std::string("\x01\xe1\xf5\x05\0\0\0\0", 8) + "{}", "at most 100000000 are allowed"},
      {"at the cap", std::string("\x00\xe1\xf5\x05\0\0\0\0", 8) + "{}", "should have 100000000 bytes, only 2 follow"},
      {"empty header", std::string(8, '\0'), "does not begin with '{'"},
      {"leading space", file_of(" {}", ""), "does not begin with '{'"},
      {"a list", file_of("[]", ""), "does not begin with '{'"},
      {"padded with newlines", file_of("{}\n\n", ""), "not padded with spaces"},
      {"zero byte", file_of(std::string("{}\0}", 4), ""), "holds a zero byte"},
      {"two objects", file_of("{}{}", ""), "not valid JSON"},
      {"not JSON", file_of("{\"a\"}", ""), "not valid JSON"},
      {"not UTF-8", file_of("{\"\xff\":1}", ""), "not valid JSON"},
      {"duplicate tensor", file_of("{" + a + "," + a + "}", "xx"), "the key 'a' twice"},
      {"duplicate in a tensor", with_tensor(R"({"dtype":"U8","dtype":"U8","shape":[],"data_offsets":[0,1]})", 1),
       "the key 'dtype' twice"},
      {"duplicate metadata", file_of(R"({"__metadata__":{"k":"1","k":"2"}})", ""), "the key 'k' twice"},
      {"duplicate by escape", file_of(R"({"__metadata__":{"k":"1","\u006b":"2"}})", ""), "the key 'k' twice"},
      {"metadata no map", file_of(R"({"__metadata__":["k"]})", ""), "__metadata__ is not a map"},
      {"metadata no text", file_of(R"({"__metadata__":{"k":1}})", ""), "key 'k' with a value that is not text"},
      {"tensor no map", with_tensor("1", 0), "tensor 't' has no 'dtype'"},
      {"no dtype", with_tensor(R"({"shape":[],"data_offsets":[0,1]})", 1), "tensor 't' has no 'dtype'"},
      {"no shape", with_tensor(R"({"dtype":"U8","data_offsets":[0,1]})", 1), "tensor 't' has no 'shape'"},
      {"no offsets", with_tensor(R"({"dtype":"U8","shape":[]})", 1), "tensor 't' has no 'data_offsets'"},
      {"dtype no text", with_tensor(R"({"dtype":8,"shape":[],"data_offsets":[0,1]})", 1), "dtype that is not text"},
      {"dtype unknown", with_tensor(R"({"dtype":"f32","shape":[],"data_offsets":[0,4]})", 4), "unknown dtype 'f32'"},
      {"dtype U16", with_tensor(R"({"dtype":"U16","shape":[],"data_offsets":[0,2]})", 2),
       "unsupported dtype 'U16'; convert it to one of F32, BF16, F16"},
      {"dtype BOOL", with_tensor(R"({"dtype":"BOOL","shape":[],"data_offsets":[0,1]})", 1), "unsupported dtype 'BOOL'"},
      {"nested deeply",
       with_tensor(R"({"dtype":"U8","shape":)" + std::string(200'000, '[') + std::string(200'000, ']') +
                       R"(,"data_offsets":[0,1]})",
                   1),
       "nested more than 8 levels deep"},
      {"shape no list", with_tensor(R"({"dtype":"U8","shape":1,"data_offsets":[0,1]})", 1), "shape that is not a list"},
      {"five dimensions", with_tensor(R"({"dtype":"U8","shape":[1,1,1,1,1],"data_offsets":[0,1]})", 1),
       "tensor 't' has 5 dimensions, this program supports at most 4"},
      {"negative extent", with_tensor(R"({"dtype":"U8","shape":[-1],"data_offsets":[0,1]})", 1), "2^63 - 1: -1"},
      {"real extent", with_tensor(R"({"dtype":"U8","shape":[1.0],"data_offsets":[0,1]})", 1), "2^63 - 1: 1.0"},
      {"extent of 2^63", with_tensor(R"({"dtype":"U8","shape":[9223372036854775808],"data_offsets":[0,1]})", 1),
       "2^63 - 1: 9223372036854775808"},
      {"extent of 2^64", with_tensor(R"({"dtype":"U8","shape":[18446744073709551616],"data_offsets":[0,0]})", 0),
       "not a whole number"},
      {"product of 2^64", with_tensor(R"({"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]})", 0),
       "too large for any memory"},
      {"size of 2^64", with_tensor(R"({"dtype":"F32","shape":[4611686018427387904],"data_offsets":[0,0]})", 0),
       "too large for any memory"},
      {"one offset", with_tensor(R"({"dtype":"U8","shape":[],"data_offsets":[0]})", 1), "not two numbers"},
      {"negative offset", with_tensor(R"({"dtype":"U8","shape":[],"data_offsets":[-1,0]})", 1), "data offset that"},
      {"offsets reversed", with_tensor(R"({"dtype":"U8","shape":[],"data_offsets":[1,0]})", 1),
       "data_offsets are [1,0]"},
      {"range too short", with_tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,4]})", 4),
       "tensor 't' of f32 [2] needs 8 bytes, its data_offsets are [0,4]"},
      {"range too long", with_tensor(R"({"dtype":"F32","shape":[2],"data_offsets":[0,9]})", 9), "needs 8 bytes"},
      {"out of bounds", file_of("{" + a + "," + b_at(2, 4) + "}", "xxx"), "tensor 'b' should end at 4, the file has 3"},
      {"overlap", file_of("{" + a + "," + b_at(1, 3) + "}", "xxx"), "tensor 'b' overlaps"},
      {"the same range", file_of("{" + a + "," + b_at(0, 2) + "}", "xx"), "tensor 'b' overlaps"},
      {"hole at the start", file_of("{" + b_at(1, 3) + "}", "xxx"), "a hole before tensor 'b': bytes 0 to 1"},
      {"hole", file_of("{" + a + "," + b_at(3, 5) + "}", "xxxxx"), "a hole before tensor 'b': bytes 2 to 3"},
      {"bytes left over", file_of("{" + a + "}", "xxxx"), "2 bytes follow the last tensor"},
      {"bytes and no tensor", file_of("{}", "x"), "1 bytes follow the last tensor"},
      {"some checksums only", file_of(R"({"__metadata__":{"crc32c:a":"0"},)" + a + "}", "xx"),
       "lacks the checksum 'crc32c'"},
  };
  for (const BadFile& file : files) {
    EXPECT_THAT(error_reading(file.contents), HasSubstr(file.error)) << file.what;
  }
}

TEST(Safetensors, AcceptsWhatTheFormatAllows) {
  const ScratchFolder folder;
  const auto path = folder / "file";
  // No padding, an unaligned buffer, spaces between the tokens, an unknown member, unordered ranges, and empty tensors
  // between others.
  put_text(path, file_of(R"({ "b": {"dtype":"F32", "shape":[1], "data_offsets":[1,5], "later":{}},)"
                         R"("e":{"shape":[2,0],"dtype":"F64","data_offsets":[1,1]},)"
                         R"("a":{"data_offsets":[0,1],"dtype":"U8","shape":[]}})",
                         std::string("\x05\0\0\x80?", 5), false));
  const TensorFile file = read_safetensors(path);
  expect_equal(file, {record<float>("b", DType::kF32, {1}, {1}), record<double>("e", DType::kF64, {2, 0}, {}),
                      record<std::uint8_t>("a", DType::kU8, {}, {5})});
  EXPECT_EQ(file.tensors()[0].name, "a");
  put_text(path, file_of("{}", "", false));
  EXPECT_TRUE(read_safetensors(path).tensors().empty());
}

// ---- saves that fail

std::vector<TensorRecord> epoch_tensors(float value) {
  return {record<float>("weight", DType::kF32, {2, 2}, {value, value, value, value}),
          record<std::int64_t>("step", DType::kI64, {}, {static_cast<std::int64_t>(value)})};
}

void save_epoch(const std::filesystem::path& path, int epoch, FileSystem& file_system) {
  write_safetensors(path, views_of(epoch_tensors(static_cast<float>(epoch))), {{"epoch", std::to_string(epoch)}},
                    Keep::kPrevious, file_system);
}

// The epoch that `path` has, complete; -1 if it cannot be loaded.
int epoch_at(const std::filesystem::path& path) {
  if (!std::filesystem::exists(path)) return -1;
  const TensorFile file = read_safetensors(path);
  const int epoch = std::stoi(file.metadata().at("epoch"));
  expect_equal(file, epoch_tensors(static_cast<float>(epoch)));
  return epoch;
}

TEST(Safetensors, WithAnyCallFailingTheOldOrTheNewFileLoads) {
  for (const bool links : {true, false}) {
    const auto save = [&](const std::filesystem::path& path) {
      return [&links, path](FailingFileSystem& file_system) {
        if (!links) file_system.refuse_links();
        save_epoch(path, 3, file_system);
      };
    };
    const ScratchFolder counting;
    FailingFileSystem at_first;
    save_epoch(counting / "model", 2, at_first);
    const int calls = count_calls(save(counting / "model"));
    for (Fault fault : kAllFaults) {
      for (int at = 1; at <= calls + 1; ++at) {
        SCOPED_TRACE(fmt::format("{} at call {}, links {}", name_of(fault), at, links));
        const ScratchFolder folder;
        const auto path = folder / "model";
        FailingFileSystem sound;
        save_epoch(path, 1, sound);
        save_epoch(path, 2, sound);
        const Outcome outcome = run_with_fault(fault, at, save(path));
        const int current = epoch_at(path), previous = epoch_at(previous_of(path));
        if (current == -1) {
          ASSERT_FALSE(links);
          ASSERT_EQ(previous, 2);
          ASSERT_THAT(error_of([&] { read_safetensors(path); }), HasSubstr(previous_of(path).string()));
          continue;
        }
        ASSERT_TRUE(current == 2 || current == 3) << current;
        if (current == 3) {
          ASSERT_EQ(previous, 2);
        } else if (links) {
          ASSERT_TRUE(previous == 1 || previous == 2) << previous;
        }
        if (outcome.kind == Outcome::kSucceeded) {
          ASSERT_EQ(current, 3);
        }
      }
    }
  }
}

// A sparse file of 5 GiB is refused by its header: only the header is read.
TEST(Safetensors, TheHeaderIsCheckedBeforeTheRestIsRead) {
  const ScratchFolder folder;
  const std::uint64_t size = std::uint64_t{5} << 30;
  put_text(folder / "zeros", "");
  std::filesystem::resize_file(folder / "zeros", size);
  FailingFileSystem watched;
  EXPECT_THAT(error_of([&] { read_safetensors(folder / "zeros", watched); }), HasSubstr("does not begin with '{'"));
  const std::string header = R"({"a":{"dtype":"U8","shape":[5],"data_offsets":[0,5]}})";
  const std::uint64_t length = header.size();
  put_text(folder / "rest", std::string(reinterpret_cast<const char*>(&length), 8) + header);
  std::filesystem::resize_file(folder / "rest", size);
  EXPECT_THAT(error_of([&] { read_safetensors(folder / "rest", watched); }), HasSubstr("belong to nothing"));
  for (const std::string& call : watched.done()) EXPECT_FALSE(call.starts_with("write")) << call;
  EXPECT_LE(std::count(watched.done().begin(), watched.done().end(), "pread zeros"), 2);
  EXPECT_LE(std::count(watched.done().begin(), watched.done().end(), "pread rest"), 2);
}

}  // namespace
}  // namespace gradamp

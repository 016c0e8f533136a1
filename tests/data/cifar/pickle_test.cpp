// SPDX-License-Identifier: MIT
#include "gradamp/data/cifar/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/cifar/cifar_files.h"
#include "gradamp/tests/data/cifar/recorded_pickles.h"
#include "gradamp/tests/data/files/from_hex.h"

namespace gradamp {
namespace {

using testing::AllOf;
using testing::HasSubstr;

PickledDict read(const std::string& pickle) {
  return read_pickle({reinterpret_cast<const std::uint8_t*>(pickle.data()), pickle.size()}, "some/file");
}

const PickledArray& array_at(const PickledDict& dict, const std::string& key) {
  return *std::get<std::shared_ptr<const PickledArray>>(dict.at(key));
}

const std::string& text_at(const PickledDict& dict, const std::string& key) {
  return *std::get<PickledText>(std::get<PickledScalar>(dict.at(key)));
}

std::vector<std::int64_t> list_at(const PickledDict& dict, const std::string& key) {
  std::vector<std::int64_t> numbers;
  for (const PickledScalar& one : *std::get<std::shared_ptr<const PickledList>>(dict.at(key))) {
    numbers.push_back(std::get<std::int64_t>(one));
  }
  return numbers;
}

std::vector<std::int64_t> integers_at(const PickledDict& dict, const std::string& key) {
  std::vector<std::int64_t> numbers;
  const PickledArray& array = array_at(dict, key);
  for (std::size_t i = 0; i < array.count(); ++i) numbers.push_back(array.at(i));
  return numbers;
}

TEST(Pickle, ReadsAllProtocolsAndKindsOfLabels) {
  const std::vector<std::int64_t> labels{3, 300, -1};
  for (std::size_t protocol = 0; protocol < kRecordedPickles.size(); ++protocol) {
    SCOPED_TRACE(protocol);
    PickledDict dict;
    ASSERT_EQ(test::error_of([&] { dict = read(from_hex(kRecordedPickles[protocol])); }), "");
    EXPECT_EQ(array_at(dict, "data").shape, (std::vector<std::int64_t>{2, 3}));
    EXPECT_EQ(array_at(dict, "data").bytes, (std::vector<std::uint8_t>{0, 10, 92, 255, 128, 13}));
    for (const char* key : {"list", "tuple", "scalars"}) EXPECT_EQ(list_at(dict, key), labels) << key;
    for (const char* key : {"array", "big"}) EXPECT_EQ(integers_at(dict, key), labels) << key;
    EXPECT_EQ(text_at(dict, "name"), "\u00e9t\u00e9\n\\");
  }
}

TEST(Pickle, ReadsALargeArrayOfProtocol0) {
  std::string pickle = "(dVa\ncnumpy.core.numeric\n_frombuffer\n(c_codecs\nencode\n(V";
  pickle += std::string(200000, '\xff') + "\nVlatin1\ntRcnumpy\ndtype\n(Vu1\ntR(I200000\ntVC\ntRs.";
  const PickledDict dict = read(pickle);
  EXPECT_EQ(array_at(dict, "a").bytes, std::vector<std::uint8_t>(200000, 0xff));
}

TEST(Pickle, ReadsStringsAndNumbersOfPython2) {
  const PickledDict dict = read("(dp1\nS'a'\nS'x\\n\\x80\\''\np2\nsS\"b\"\nL-5L\nsS'c'\nI01\nsS'd'\nI7\ns."s);
  EXPECT_EQ(text_at(dict, "a"), "x\n\x80'");
  EXPECT_EQ(std::get<std::int64_t>(std::get<PickledScalar>(dict.at("b"))), -5);
  EXPECT_TRUE(std::get<bool>(std::get<PickledScalar>(dict.at("c"))));
  EXPECT_EQ(std::get<std::int64_t>(std::get<PickledScalar>(dict.at("d"))), 7);
  for (const char* bad :
       {"(dS'a\n.", "(dS'a\\q'\n.", "(dVa\\u12\n.", "(dS'a'\nI99999999999999999999\ns.", "(dS'a'\nIx\ns.",
        "(dS'a'\n\x8a\x09"
        "123456789s."}) {
    EXPECT_THAT(test::error_of([&] { read(bad); }), HasSubstr("some/file: not one of CIFAR's Python files")) << bad;
  }
}

std::string counted(std::size_t size) {
  return {static_cast<char>(size), static_cast<char>(size >> 8), static_cast<char>(size >> 16), '\0'};
}

TEST(Pickle, AStringThatOccursManyTimesIsStoredOnce) {
  constexpr std::size_t kTimes = 60000;
  std::string pickle = "\x80\x02}U\1a]("s;
  pickle += 'T' + counted(100000) + std::string(100000, 'A') + "q\1"s;
  for (std::size_t i = 1; i < kTimes; ++i) pickle += "h\1"s;
  const PickledDict dict = read(pickle + "es."s);
  const PickledList& list = *std::get<std::shared_ptr<const PickledList>>(dict.at("a"));
  ASSERT_EQ(list.size(), kTimes);
  EXPECT_EQ(&*std::get<PickledText>(list[0]), &*std::get<PickledText>(list[kTimes - 1]));
}

/// A pickle in which a value of 100,000 bytes is stored as number 1, and `use` is repeated 1000 times behind it.
std::string repeated(const std::string& before, const std::string& value, const std::string& use) {
  std::string pickle = "\x80\x02" + before + value + "q\1"s;
  for (int i = 0; i < 1000; ++i) pickle += use;
  return pickle + ".";
}

TEST(Pickle, ValuesThatGrowAreRefused) {
  const std::string large = 'T' + counted(100000) + std::string(100000, 'A');
  const std::string tuple = "(" + std::string(100000, 'N') + "t";
  std::string shape = "J"s + counted(100000) + "\x85q\2"s;
  const std::vector<std::string> pickles{
      repeated("", large, "c_codecs\nencode\nh\1U\6latin1\x86R"s), repeated("", large, "}h\1Ns"s),
      repeated("}", tuple, "}U\1ah\1s"s),
      repeated("cnumpy\ndtype\nU\2u1\x85Rq\3"s + shape, large, "cnumpy.core.numeric\n_frombuffer\n(h\1h\3h\2U\1CtR"s)};
  for (const std::string& pickle : pickles) {
    EXPECT_THAT(test::error_of([&] { read(pickle); }), HasSubstr("grow too large"));
  }
}

TEST(Pickle, BoundsTheNumberOfInstructions) {
  EXPECT_THAT(test::error_of([] { read("\x80\x02" + std::string(5'000'000, 'N')); }),
              HasSubstr("more than 4000000 instructions"));
}

TEST(Pickle, BoundsTheNumberOfContainers) {
  for (const char container : {'}', ']'}) {
    EXPECT_THAT(test::error_of([&] { read("\x80\x02" + std::string(1001, container) + "."); }),
                HasSubstr("more than 1000 lists, dictionaries and arrays"));
  }
}

// Each tuple has two of the one before, so a reader that follows them takes 2^n steps.
TEST(Pickle, BoundsTheDepthOfTuples) {
  std::string pickle = "\x80\x02N\x85q\0"s;
  for (int i = 0; i < 100; ++i) pickle += "h\0h\0\x86q\0"s;
  EXPECT_THAT(test::error_of([&] { read(pickle); }), HasSubstr("more than an array's description"));
}

TEST(Pickle, MessagesAreShortAndPrintable) {
  const std::string message = test::error_of([] {
    read(
        "\x80\x02"
        "c\x1b[31m" +
        std::string(100000, 'm') + "\nx\n.");
  });
  EXPECT_THAT(message, AllOf(HasSubstr("?[31mmmm"), HasSubstr("nothing was run")));
  EXPECT_LT(message.size(), 300u);
}

// {'a': 1, 'b': 'x', 'c': [], 'd': None, 'e': -5}, from Python 3's pickle.dumps(..., 2) and (..., 4).
TEST(Pickle, ReadsWhatPythonWrote) {
  const std::string protocol2 =
      "\x80\x02}q\0(X\1\0\0\0aq\1K\1X\1\0\0\0bq\2X\1\0\0\0xq\3X\1\0\0\0cq\4]"
      "q\5X\1\0\0\0dq\6NX\1\0\0\0eq\7J\xfb\xff\xff\xffu."s;
  const std::string protocol4 =
      "\x80\x04\x95\x1f\0\0\0\0\0\0\0}\x94(\x8c\1a\x94K\1\x8c\1b\x94\x8c\1x\x94\x8c\1c\x94]"
      "\x94\x8c\1d\x94N\x8c\1e\x94J\xfb\xff\xff\xffu."s;
  for (const std::string& pickle : {protocol2, protocol4}) {
    const PickledDict dict = read(pickle);
    ASSERT_EQ(dict.size(), 5u);
    EXPECT_EQ(std::get<std::int64_t>(std::get<PickledScalar>(dict.at("a"))), 1);
    EXPECT_EQ(text_at(dict, "b"), "x");
    EXPECT_TRUE(std::get<std::shared_ptr<const PickledList>>(dict.at("c"))->empty());
    EXPECT_TRUE(std::holds_alternative<PickledNone>(std::get<PickledScalar>(dict.at("d"))));
    EXPECT_EQ(std::get<std::int64_t>(std::get<PickledScalar>(dict.at("e"))), -5);
  }
}

TEST(Pickle, ReadsArraysOfBothPythonsAndOrders) {
  for (const bool python3 : {false, true}) {
    for (const bool column_major : {false, true}) {
      PickleWriter pickle(python3);
      pickle.text("data");
      pickle.array(2, 3, column_major ? "\x01\xff\x00\x80\x7f\xc3"s : "\x01\x00\x7f\xff\x80\xc3"s, column_major);
      const PickledDict dict = read(pickle.finish());
      EXPECT_EQ(array_at(dict, "data").shape, (std::vector<std::int64_t>{2, 3}));
      EXPECT_EQ(array_at(dict, "data").bytes, (std::vector<std::uint8_t>{0x01, 0x00, 0x7f, 0xff, 0x80, 0xc3}));
    }
  }
}

TEST(Pickle, RunsNothing) {
  const std::vector<std::string> programs{
      "\x80\x02"
      "cos\nsystem\nX\4\0\0\0\x74rueq\1\x85R."s,
      "\x80\x02"
      "c__builtin__\neval\n."s,
      "\x80\x02}X\1\0\0\0acposix\nsystem\ns."s};
  for (const std::string& program : programs) {
    EXPECT_THAT(test::error_of([&] { read(program); }), AllOf(HasSubstr("some/file"), HasSubstr("nothing was run")))
        << program;
  }
  // Instructions outside the subset: INST, OBJ, NEWOBJ, PERSID, EXT1, buffers outside the file, floating-point numbers.
  for (const char instruction : {'i', 'o', '\x81', 'P', '\x82', '\x97', 'F', 'G'}) {
    EXPECT_THAT(test::error_of([&] { read(std::string("\x80\x02}") + instruction + "x\ny\n."); }),
                HasSubstr("is not followed"))
        << instruction;
  }
}

TEST(Pickle, RefusesOtherTypesOfArrays) {
  PickleWriter good(false);
  good.text("data");
  good.array(1, 4, "abcd");
  std::string pickle = good.finish();
  pickle.replace(pickle.find("u1"), 2, "f4");
  EXPECT_THAT(test::error_of([&] { read(pickle); }), HasSubstr("expected an array of integers"));
}

TEST(Pickle, RefusesAnArrayWhoseBytesDoNotFitItsShape) {
  PickleWriter writer(false);
  writer.text("data");
  writer.array(2, 3, "abcde");
  EXPECT_THAT(test::error_of([&] { read(writer.finish()); }), HasSubstr("6 bytes as its shape says, got 5"));
}

TEST(Pickle, RefusesAFileCutShortOrChangedAnywhere) {
  for (const bool python3 : {false, true}) {
    PickleWriter writer(python3);
    writer.text("labels");
    writer.numbers({1, 300, -1});
    writer.text("data");
    writer.array(2, 3, "\x01\xa0\x7f\xff\x80\xc3");
    const std::string whole = writer.finish();
    ASSERT_EQ(test::error_of([&] { read(whole); }), "");
    for (std::size_t size = 0; size < whole.size(); ++size) {
      EXPECT_THAT(test::error_of([&] { read(whole.substr(0, size)); }), HasSubstr("cut short")) << size;
    }
    EXPECT_THAT(test::error_of([&] { read(whole + "x"); }), HasSubstr("after its end"));
    // Any other byte at any position gives a message or a dictionary, and no crash.
    for (std::size_t at = 0; at < whole.size(); ++at) {
      for (int other = 0; other < 256; other += 5) {
        std::string changed = whole;
        changed[at] = static_cast<char>(other);
        const std::string message = test::error_of([&] { read(changed); });
        EXPECT_TRUE(message.empty() || message.starts_with("some/file")) << message;
      }
    }
  }
}

TEST(Pickle, RefusesWhatRefersToItselfOrNests) {
  for (const std::string& pickle : {"\x80\x02]q\1h\1a."s, "\x80\x02}q\1X\1\0\0\0ah\1s."s,
                                    "\x80\x02"
                                    "K\1\x85\x85\x85\x85."s,
                                    "\x80\x02]\x85."s, "\x80\x02}]]as."s}) {
    EXPECT_THAT(test::error_of([&] { read(pickle); }), HasSubstr("some/file"));
  }
}

TEST(Pickle, RefusesOtherContentsAndProtocols) {
  EXPECT_THAT(test::error_of([] { read("\x80\x02]."); }), HasSubstr("expected a dictionary"));
  EXPECT_THAT(test::error_of([] { read("\x80\x06}."); }), HasSubstr("protocol 6"));
  EXPECT_THAT(test::error_of([] { read("\x80\x02}h\x07."); }), HasSubstr("not defined"));
  EXPECT_THAT(test::error_of([] { read("\x80\x02}(X\1\0\0\0aK\1X\1\0\0\0aK\2u."s); }), HasSubstr("twice"));
}

}  // namespace
}  // namespace gradamp

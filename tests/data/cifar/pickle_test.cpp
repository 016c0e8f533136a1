// SPDX-License-Identifier: MIT
#include "gradamp/data/cifar/pickle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/tests/core/error_of.h"
#include "gradamp/tests/data/cifar/cifar_files.h"

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
    EXPECT_EQ(std::get<std::string>(std::get<PickledScalar>(dict.at("b"))), "x");
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
  // Instructions outside the subset: INST, OBJ, NEWOBJ, PERSID, EXT1, the text forms of protocol 0.
  for (const char instruction : {'i', 'o', '\x81', 'P', '\x82', 'I', 'S', 'd', 'l', 'p', 'g', 'V', 'F', 'G'}) {
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
  pickle.replace(pickle.find("u1"), 2, "i4");
  EXPECT_THAT(test::error_of([&] { read(pickle); }), HasSubstr("unsigned bytes"));
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
                                    "K\1\x85\x85\x85."s,
                                    "\x80\x02]\x85."s, "\x80\x02}]]as."s}) {
    EXPECT_THAT(test::error_of([&] { read(pickle); }), HasSubstr("some/file"));
  }
}

TEST(Pickle, RefusesOtherContentsAndProtocols) {
  EXPECT_THAT(test::error_of([] { read("\x80\x02]."); }), HasSubstr("expected a dictionary"));
  EXPECT_THAT(test::error_of([] { read("\x80\x05}."); }), HasSubstr("protocol 5"));
  EXPECT_THAT(test::error_of([] { read("\x80\x02}h\x07."); }), HasSubstr("not defined"));
  EXPECT_THAT(test::error_of([] { read("\x80\x02}(X\1\0\0\0aK\1X\1\0\0\0aK\2u."s); }), HasSubstr("twice"));
}

}  // namespace
}  // namespace gradamp

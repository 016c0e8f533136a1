// SPDX-License-Identifier: MIT
#include <cstring>

#include <fmt/format.h>

#include "gradamp/tests/fuzz/targets.h"

namespace gradamp::test {
namespace {

constexpr std::size_t kDeep = 100'000, kMany = 20'000;

std::string repeated(const std::string& text, std::size_t count) {
  std::string result;
  result.reserve(text.size() * count);
  for (std::size_t i = 0; i < count; ++i) result += text;
  return result;
}

/// A list in a list in a list.
std::string nested_list() { return repeated("[", kDeep) + repeated("]", kDeep); }

std::string many_lines(const std::string& format) {
  std::string text;
  for (std::size_t i = 0; i < kMany; ++i) text += fmt::format(fmt::runtime(format), i) + "\n";
  return text;
}

/// Headers of safetensors files.
std::vector<std::string> headers() {
  std::string many = "{";
  for (std::size_t i = 0; i < kMany; ++i)
    many += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}})", i == 0 ? "" : ",", i);
  return {
      R"({"t":{"dtype":"U8","shape":)" + nested_list() + R"(,"data_offsets":[0,1]}})",
      R"({"t":)" + repeated(R"({"t":)", kDeep) + "1" + repeated("}", kDeep) + "}",
      many + "}",
      R"({"t":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"u":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
      R"({"__metadata__":{"k":")" + std::string(1 << 20, 'x') + R"("}})",
      R"({")" + std::string(1 << 20, 'x') + R"(":{"dtype":"F99","shape":[],"data_offsets":[0,1]}})",
  };
}

std::string file_of(const std::string& header) {
  const std::uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file + header;
}

std::vector<std::string> pickles() {
  const std::string doubled = repeated(std::string("2"), kMany);  // DUP, without an end
  std::string laughs = std::string("\x80\x02", 2) + "]q" + std::string(1, '\0');
  for (int i = 1; i < 100; ++i)  // each list has the one before it twice
    laughs += "]q" + std::string(1, static_cast<char>(i)) + "(h" + std::string(1, static_cast<char>(i - 1)) + "h" +
              std::string(1, static_cast<char>(i - 1)) + "e";
  return {std::string("\x80\x02", 2) + repeated("(", kDeep) + ".",
          std::string("\x80\x02", 2) + repeated("]", kDeep) + ".",
          std::string("\x80\x02N", 3) + doubled + ".",
          laughs + ".",
          std::string("\x80\x02T\xff\xff\xff\x7f", 7) + "x.",
          std::string("\x80\x04\x96\xff\xff\xff\xff\xff\xff\xff\x7f", 11)};
}

}  // namespace

std::vector<std::string> hostile_inputs(const std::string& target) {
  std::vector<std::string> inputs;
  if (target == "safetensors" || target == "weights")
    for (const std::string& header : headers()) inputs.push_back(file_of(header));
  if (target == "safetensors_header")
    for (const std::string& header : headers()) inputs.push_back("\x01" + header);
  if (target == "checkpoint")
    inputs = {
        std::string(1 << 20, '9'), "=\n99999999999999999999\n=\n=\n=", "=\n-1\n=\n=\n=", "=\n\n\n\n" + nested_list(),
        "=\n1e9\nx\n=\n=",         "=\n=\n=\ncpu 99999999999\n="};
  if (target == "pickle") inputs = pickles();
  if (target == "cifar")
    for (const std::string& pickle : pickles()) inputs.insert(inputs.end(), {"\x04" + pickle, "\x06" + pickle});
  if (target == "config" || target == "sweep")
    inputs = {"a = " + nested_list(),
              many_lines("k{} = 1"),
              repeated("[training]\n", kMany),
              std::string(1 << 20, '='),
              "seed = 1:2147483647",
              "seed = 1:1e18:1e-9",
              "seed = [" + repeated("1, ", kMany) + "1]",
              "epochs = 99999999999999999999"};
  if (target == "strategy")
    inputs = {std::string(8, '\1') + repeated("1:0.1,", kMany) + "2:0.1",
              std::string("\xff\xff\xff\x7f\xff\xff\xff\x7f", 8) + "2147483647:0.1:2",
              std::string(8, '\1') + "1:" + std::string(100'000, '9')};
  if (target == "run_folder")
    for (const char file : {'\0', '\1', '\2', '\3'})
      for (const std::string& text : {nested_list(), "{\"schema\":" + nested_list() + "}", std::string(1 << 20, '{'),
                                      many_lines("{{\"epoch\": {}}}"), std::string("null\n"), std::string("1e999\n")})
        inputs.push_back(std::string(1, file) + text);
  if (target == "event_file")
    inputs = {std::string(1, '\x10') + std::string(1 << 20, '\xff'),
              "\x11" + repeated(std::string("\1\x08", 2), kMany)};
  if (target == "archive")
    inputs = {std::string("\x1f\x8b\x08", 3) + std::string(1 << 20, '\0'), std::string(1 << 20, '\0'),
              repeated("PK\3\4", kMany)};
  return inputs;
}

}  // namespace gradamp::test

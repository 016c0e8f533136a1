// SPDX-License-Identifier: MIT
// Weights files as other programs write them: names with wrappers' prefixes, other floating-point types.
#include <cmath>
#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/backends.h"
#include "gradamp/layers/layers.h"
#include "gradamp/layers/state_dict.h"
#include "gradamp/optim/training/checkpoint.h"
#include "gradamp/tests/data/files/scratch_folder.h"

namespace gradamp {
namespace {

using testing::HasSubstr;
using testing::ThrowsMessage;

/// These values have an exact representation in f16 and bf16.
const std::vector<float> kWeight = {1.5f, -2.0f, 0.25f, 3.0f, -0.125f, 96.0f}, kBias = {0.5f, -1.0f};

template <typename T, typename Convert>
std::vector<std::byte> bytes_of(const std::vector<float>& values, const Convert& convert) {
  std::vector<T> converted(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) converted[i] = convert(values[i]);
  std::vector<std::byte> bytes(converted.size() * sizeof(T));
  std::memcpy(bytes.data(), converted.data(), bytes.size());
  return bytes;
}

/// f16 by way of its definition: (1 + fraction / 1024) 2^(exponent - 15).
std::uint16_t f16_of(float value) {
  int exponent = 0;
  const float fraction = std::frexp(std::abs(value), &exponent);  // 0.5 to 1
  const int bits = (exponent + 14) * 1024 + static_cast<int>((2 * fraction - 1) * 1024);
  return static_cast<std::uint16_t>(bits | (value < 0 ? 0x8000 : 0));
}

std::vector<std::byte> bytes_as(DType type, const std::vector<float>& values) {
  switch (type) {
    case DType::kF32: return bytes_of<float>(values, [](float x) { return x; });
    case DType::kF64: return bytes_of<double>(values, [](float x) { return static_cast<double>(x); });
    case DType::kBF16: return bytes_of<std::uint16_t>(values, to_bf16);
    case DType::kF16: return bytes_of<std::uint16_t>(values, f16_of);
    default: break;
  }
  return bytes_of<std::int32_t>(values, [](float x) { return static_cast<std::int32_t>(x); });
}

class WeightsTest : public testing::Test {
 protected:
  WeightsTest() : backend_(make_backend({})), network_(*backend_, 3, 2) {}

  void write(const std::string& prefix, DType type, const std::vector<float>& weight = kWeight) {
    const TensorRecord w{prefix + "weight", type, {2, 3}, bytes_as(type, weight)};
    const TensorRecord b{prefix + "bias", type, {2}, bytes_as(type, kBias)};
    write_safetensors(path(), {w.view(), b.view()}, {}, Keep::kNothing);
  }
  std::filesystem::path path() const { return folder_ / "weights"; }
  void load() { load_weights(path(), network_); }
  void expect_loaded(const std::string& note) {
    const std::vector<StateEntry> entries = state_dict(network_);
    EXPECT_EQ(entries.at(0).values, kWeight) << note;
    EXPECT_EQ(entries.at(1).values, kBias) << note;
    for (const NamedParameter& parameter : network_.named_parameters()) parameter.variable.value().fill_zero();
  }

  ScratchFolder folder_;
  std::unique_ptr<Backend> backend_;
  Linear network_;
};

TEST_F(WeightsTest, OfEveryFloatingPointTypeAreConverted) {
  for (const DType type : {DType::kF32, DType::kF64, DType::kBF16, DType::kF16}) {
    write("", type);
    load();
    expect_loaded(name_of(type));
  }
  write("", DType::kI32);
  EXPECT_THAT([&] { load(); }, ThrowsMessage<Error>(HasSubstr("as f32, bf16, f16 or f64, got i32")));
}

TEST_F(WeightsTest, PrefixesOfWrappersAreRemoved) {
  for (const char* prefix :
       {"module.", "_orig_mod.", "model.", "module._orig_mod.", "_orig_mod.module.", "model.module."}) {
    write(prefix, DType::kF32);
    load();
    expect_loaded(prefix);
  }
  write("other.", DType::kF32);
  EXPECT_THAT([&] { load(); }, ThrowsMessage<Error>(HasSubstr("the weights lack 'weight'")));
}

TEST_F(WeightsTest, APrefixThatTheNetworkHasStays) {
  class Named final : public Module {
   public:
    explicit Named(Backend& backend) : linear_(add_module("model", std::make_shared<Linear>(backend, 3, 2))) {}
    Variable forward(const Variable& x, Mode mode) override { return linear_->forward(x, mode); }

   private:
    std::shared_ptr<Linear> linear_;
  };
  Named network(*backend_);
  write("model.", DType::kF32);
  load_weights(path(), network);
  EXPECT_EQ(state_dict(network).at(0).values, kWeight);
  write("module.model.", DType::kF32);
  load_weights(path(), network);
  EXPECT_EQ(state_dict(network).at(1).values, kBias);
}

TEST_F(WeightsTest, AHeadForOtherClassesIsTheOnlyMismatchThatHasItsOwnError) {
  Linear of_three(*backend_, 3, 3), of_four_inputs(*backend_, 4, 2);
  write("module.", DType::kF32);
  EXPECT_THAT([&] { load_weights(path(), of_three); },
              ThrowsMessage<HeadMismatch>(HasSubstr("weights: the weights' 'weight' has shape [2, 3], expected [3, 3]: "
                                                    "they are for 2 classes, this network has 3")));
  const std::vector<float> own(9, 0.5f);
  of_three.named_parameters().at(0).variable.value().copy_from_host(std::span<const float>(own));
  load_weights(path(), of_three, real_file_system(), Head::kKeep);
  EXPECT_EQ(state_dict(of_three).at(0).values, own);
  for (const Head head : {Head::kLoad, Head::kKeep}) {
    const auto other_inputs = [&] { load_weights(path(), of_four_inputs, real_file_system(), head); };
    EXPECT_THAT(other_inputs, ThrowsMessage<Error>(HasSubstr("has shape [2, 3], expected [2, 4]")));
    EXPECT_THAT(other_inputs, testing::Not(testing::Throws<HeadMismatch>()));
  }
}

TEST_F(WeightsTest, WhatIsNotFiniteIsNamed) {
  std::vector<float> bad = kWeight;
  bad[4] = std::numeric_limits<float>::quiet_NaN();
  write("module.", DType::kF32, bad);
  EXPECT_THAT([&] { load(); }, ThrowsMessage<NotFiniteTensor>(HasSubstr("element 4 of 'module.weight' is nan")));
  bad[4] = -std::numeric_limits<float>::infinity();
  write("", DType::kBF16, bad);
  EXPECT_THAT([&] { load(); }, ThrowsMessage<NotFiniteTensor>(HasSubstr("element 4 of 'weight' is -inf")));
}

}  // namespace
}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Checks each instruction on values whose result is exact. The expected results follow from the layouts that
// kernels/cuda/ptx.h documents.
#include <bit>
#include <utility>

#include "gradamp/core/bf16.h"
#include "gradamp/kernels/cuda/instruction_check.h"
#include "gradamp/kernels/cuda/self_check_support.h"

namespace gradamp::GRADAMP_GPU {
namespace {

/// Device memory that contains `values`.
template <typename T>
std::shared_ptr<T> device_copy(Backend& backend, const std::vector<T>& values) {
  const auto memory = std::static_pointer_cast<T>(backend.allocate(values.size() * sizeof(T)));
  backend.copy_to_device(memory.get(), values.data(), values.size() * sizeof(T));
  return memory;
}

/// Runs launches(stream, output) in a separate stream and returns the `count` elements of the output. Elements that
/// nothing writes are -1, or all ones.
template <typename T, typename Launches>
std::vector<T> output_of(Backend& backend, std::size_t count, const Launches& launches) {
  std::vector<T> values(count, static_cast<T>(-1));
  const std::shared_ptr<T> output = device_copy(backend, values);
  const Stream stream = make_stream();
  launches(stream.get(), output.get());
  check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
  backend.copy_to_host(values.data(), output.get(), count * sizeof(T));
  return values;
}

/// Sums of up to 16 products of numbers up to 8, added to numbers up to 64: far below 2^24.
std::string check_mma(Backend& backend, Precision precision) {
  const int per_word = precision == Precision::kBF16 ? 2 : 1;  // values per 32-bit word
  const int depth = kMmaWords * per_word;
  const std::vector<float> a = whole_numbers(std::int64_t{kMmaRows} * depth, 8, 1);
  const std::vector<float> b = whole_numbers(std::int64_t{kMmaColumns} * depth, 8, 2);
  const std::vector<float> before = whole_numbers(std::int64_t{kMmaRows} * kMmaColumns, 64, 3);
  const auto words_of = [&](const std::vector<float>& values) {
    std::vector<std::uint32_t> words;
    for (std::size_t i = 0; i < values.size(); i += static_cast<std::size_t>(per_word)) {
      words.push_back(per_word == 1
                          ? std::bit_cast<std::uint32_t>(values[i])
                          : gradamp::to_bf16(values[i]) | std::uint32_t{gradamp::to_bf16(values[i + 1])} << 16);
    }
    return words;
  };
  std::vector<float> expected = before;
  for (int row = 0; row < kMmaRows; ++row) {
    for (int column = 0; column < kMmaColumns; ++column) {
      float& sum = expected[static_cast<std::size_t>(row * kMmaColumns + column)];
      for (int k = 0; k < depth; ++k)
        sum += a[static_cast<std::size_t>(row * depth + k)] * b[static_cast<std::size_t>(column * depth + k)];
    }
  }
  const auto device_a = device_copy(backend, words_of(a)), device_b = device_copy(backend, words_of(b));
  const auto sums = device_copy(backend, before);
  const Stream stream = make_stream();
  launch_mma(stream.get(), precision, device_a.get(), device_b.get(), sums.get());
  check_cuda(cudaStreamSynchronize(stream.get()), "cudaStreamSynchronize");
  std::vector<float> got(expected.size());
  backend.copy_to_host(got.data(), sums.get(), got.size() * sizeof(float));
  return disagreement({"d", {"row", "column"}}, {kMmaRows, kMmaColumns}, got, expected);
}

/// Rounds to the nearest number with a 10-bit mantissa fraction; a tie goes away from zero.
std::string check_rounding(Backend& backend) {
  constexpr float kUnit = 1.0f / 1024;  // the last bit of a tf32 in [1, 2)
  const std::vector<std::pair<float, float>> roundings = {
      {0.0f, 0.0f},
      {1.0f, 1.0f},
      {-3.0f, -3.0f},
      {1 + kUnit, 1 + kUnit},
      {1 + 0.25f * kUnit, 1.0f},
      {1 + 0.5f * kUnit, 1 + kUnit},  // ties
      {-1 - 0.5f * kUnit, -1 - kUnit},
      {1 + 1.5f * kUnit, 1 + 2 * kUnit},
      {1 + 0.75f * kUnit, 1 + kUnit},
      {2 - 0.5f * kUnit, 2.0f},  // to the next power of two
      {1024.25f, 1024.0f},
      {-4097.0f, -4096.0f},
  };
  std::vector<float> values;
  std::vector<float> expected;
  for (const auto& [value, rounded] : roundings) {
    values.push_back(value);
    expected.push_back(rounded);
  }
  const auto device_values = device_copy(backend, values);
  const std::vector<std::uint32_t> words =
      output_of<std::uint32_t>(backend, values.size(), [&](cudaStream_t stream, std::uint32_t* results) {
        launch_to_tf32(stream, static_cast<int>(values.size()), device_values.get(), results);
      });
  std::vector<float> got;
  // The lowest 13 bits are undefined.
  for (const std::uint32_t word : words) got.push_back(std::bit_cast<float>(word & 0xFFFFE000u));
  return disagreement({"rounded", {"value"}}, {static_cast<std::int64_t>(got.size())}, got, expected);
}

std::string check_ldmatrix(Backend& backend, bool transposed) {
  constexpr int kMatrices = 4;
  std::vector<std::uint16_t> rows(std::size_t{kMatrices} * 64);
  for (std::size_t i = 0; i < rows.size(); ++i) rows[i] = static_cast<std::uint16_t>(1000 + i);
  std::vector<std::uint32_t> expected;
  for (int lane = 0; lane < 32; ++lane) {
    const int group = lane / 4, member = lane % 4;
    for (int matrix = 0; matrix < kMatrices; ++matrix) {
      const auto value = [&](int i) {  // the lower half of the register, then the upper one
        const int row = transposed ? 2 * member + i : group, column = transposed ? group : 2 * member + i;
        return std::uint32_t{rows[static_cast<std::size_t>((8 * matrix + row) * 8 + column)]};
      };
      expected.push_back(value(0) | value(1) << 16);
    }
  }
  const auto device_rows = device_copy(backend, rows);
  const std::vector<std::uint32_t> got =
      output_of<std::uint32_t>(backend, expected.size(), [&](cudaStream_t stream, std::uint32_t* registers) {
        launch_ldmatrix(stream, transposed, device_rows.get(), registers);
      });
  return disagreement_of_words({"register", {"lane", "matrix"}}, {32, kMatrices}, got, expected);
}

std::string check_async_copy(Backend& backend) {
  constexpr int kWords = 4;
  const auto at = [&](int group, int thread, int word) {
    return static_cast<std::size_t>((group * kCopyThreads + thread) * kWords + word);
  };
  std::vector<std::uint32_t> source(at(kCopyGroups, 0, 0)), expected(source.size());
  for (std::size_t i = 0; i < source.size(); ++i) source[i] = 0x01000000u + static_cast<std::uint32_t>(i);
  for (int group = 0; group < kCopyGroups; ++group) {
    for (int thread = 0; thread < kCopyThreads; ++thread) {
      const int other = kCopyThreads - 1 - thread;
      for (int word = 0; word < kWords; ++word)
        expected[at(group, thread, word)] = copy_reads(group, other) ? source[at(group, other, word)] : 0;
    }
  }
  const auto device_source = device_copy(backend, source);
  const std::vector<std::uint32_t> got = output_of<std::uint32_t>(
      backend, expected.size(),
      [&](cudaStream_t stream, std::uint32_t* seen) { launch_async_copy(stream, device_source.get(), seen); });
  return disagreement_of_words({"copied", {"group", "thread", "word"}}, {kCopyGroups, kCopyThreads, kWords}, got,
                               expected);
}

}  // namespace

std::vector<CheckedPart> instruction_parts(CheckedBackends& backends) {
  using enum Precision;
  Backend* const backend = &backends.f32;
  return {
      {"mma.m16n8k16, bf16", {kBF16}, [=] { return check_mma(*backend, kBF16); }},
      {"mma.m16n8k8, tf32", {kTF32}, [=] { return check_mma(*backend, kTF32); }},
      {"cvt.rna, tf32", {kTF32}, [=] { return check_rounding(*backend); }},
      {"ldmatrix.x4", {kBF16, kTF32}, [=] { return check_ldmatrix(*backend, false); }},
      {"ldmatrix.x4.trans", {kBF16}, [=] { return check_ldmatrix(*backend, true); }},
      {"cp.async of 16 bytes", {kF32, kTF32, kBF16}, [=] { return check_async_copy(*backend); }},
  };
}

}  // namespace gradamp::GRADAMP_GPU

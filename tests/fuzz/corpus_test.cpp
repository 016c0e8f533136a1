// SPDX-License-Identifier: MIT
// Runs every fuzz target on its corpus, on changed copies of it, and on hostile inputs.
#include "gradamp/tests/fuzz/targets.h"

#include <sys/resource.h>

#include <algorithm>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include <gtest/gtest.h>

#include "gradamp/core/philox.h"

#if defined(__SANITIZE_ADDRESS__)
/// Freed memory is kept, up to 256 MiB by default, which is as much as an input may take.
extern "C" const char* __asan_default_options() { return "quarantine_size_mb=8"; }
#endif

namespace gradamp::test {
namespace {

namespace fs = std::filesystem;

/// Files of the target's corpus, by name.
std::vector<std::string> corpus_of(const std::string& target) {
  std::vector<fs::path> paths;
  for (const auto& entry : fs::directory_iterator(fs::path(GRADAMP_TEST_DATA) / "fuzz/corpus" / target))
    paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> inputs;
  for (const fs::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    inputs.push_back({std::istreambuf_iterator<char>(file), {}});
  }
  return inputs;
}

long peak_memory_kib() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_maxrss;
}

/// Runs the target; its own exceptions are findings. No input may take long or much memory.
void run(const FuzzTarget& target, const std::string& input, const std::string& note) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr double kLongest = 50;  // everything takes ten times as long
#else
  constexpr double kLongest = 5;  // seconds of the processor; usually less than a millisecond
#endif
  constexpr long kMostMemory = 256 << 10;  // KiB more than before
  const long before = peak_memory_kib();
  const std::clock_t start = std::clock();
  try {
    target.run({reinterpret_cast<const std::uint8_t*>(input.data()), input.size()});
  } catch (const std::exception& error) {
    ADD_FAILURE() << note << ": " << error.what();
  }
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, kLongest) << note;
  EXPECT_LT(peak_memory_kib() - before, kMostMemory) << note;
}

class FuzzCorpus : public testing::TestWithParam<FuzzTarget> {};

TEST_P(FuzzCorpus, IsReadOrRefused) {
  const std::vector<std::string> corpus = corpus_of(GetParam().name);
  ASSERT_FALSE(corpus.empty());
  for (std::size_t i = 0; i < corpus.size(); ++i) run(GetParam(), corpus[i], "input " + std::to_string(i));
}

/// Cuts each input at up to 200 places, and changes up to 500 of its bytes, one at a time.
TEST_P(FuzzCorpus, IsReadOrRefusedWhenItIsDamaged) {
  PhiloxSequence random(1, RandomStream::kTest, 0);
  for (const std::string& input : corpus_of(GetParam().name)) {
    const auto size = static_cast<std::uint32_t>(input.size());
    for (std::uint32_t i = 0; i < std::min(size, 200u); ++i) {
      const std::uint32_t length = size <= 200 ? i : random.below(size);
      run(GetParam(), input.substr(0, length), "cut at " + std::to_string(length));
    }
    for (std::uint32_t i = 0; i < std::min(size, 500u); ++i) {
      const std::uint32_t at = size <= 500 ? i : random.below(size);
      std::string changed = input;
      changed[at] = static_cast<char>(random.below(256));
      run(GetParam(), changed, "changed at " + std::to_string(at));
    }
  }
}

TEST_P(FuzzCorpus, HostileInputsAreRefused) {
  const std::vector<std::string> inputs = hostile_inputs(GetParam().name);
  ASSERT_FALSE(inputs.empty());
  for (std::size_t i = 0; i < inputs.size(); ++i) run(GetParam(), inputs[i], "hostile input " + std::to_string(i));
}

INSTANTIATE_TEST_SUITE_P(Targets, FuzzCorpus, testing::ValuesIn(fuzz_targets()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace gradamp::test

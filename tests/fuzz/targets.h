// SPDX-License-Identifier: MIT
// What is fuzzed: every reader of files and texts that a user may have from elsewhere, or that may be damaged.
//
// A target gives its input to a reader. An Error is right; any other exception, a crash, a hang, a leak or unbounded
// memory is a finding, and so is a result that contradicts itself, for which a target throws Contradiction.
//
//   tests/fuzz/corpus_test.cpp   a test: every target on its seeds and earlier findings (tests/fuzz/corpus/TARGET/), on
//                                shortened and changed copies of these, and on deep, large and overlapping inputs
//   tests/fuzz/fuzzer.cpp        one libFuzzer program per target; tools/fuzz.sh builds and runs them
#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace gradamp::test {

using FuzzInput = std::span<const std::uint8_t>;

struct Contradiction : std::logic_error {
  using std::logic_error::logic_error;
};

struct FuzzTarget {
  const char* name;
  void (*run)(FuzzInput input);

  friend void PrintTo(const FuzzTarget& target, std::ostream* out) { *out << target.name; }
};

/// All targets, by name.
const std::vector<FuzzTarget>& fuzz_targets();

/// Inputs that are nested deeply, long, repeated or overlapping, for the target of that name.
std::vector<std::string> hostile_inputs(const std::string& target);

}  // namespace gradamp::test

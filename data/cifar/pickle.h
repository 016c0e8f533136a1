// SPDX-License-Identifier: MIT
// Reads the Python pickles in which CIFAR is also published: a dictionary of strings, integers, lists of those, and
// numpy byte arrays. A pickle is a program. This reader knows only the instructions that these files use, recognizes
// only numpy's encoding of an array, calls nothing, and refuses everything else.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace gradamp {

/// A numpy array of unsigned bytes, row-major.
struct PickledArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;
};

struct PickledNone {};

/// The type of a list's elements, and of dictionary entries other than lists and arrays.
using PickledScalar = std::variant<PickledNone, bool, std::int64_t, std::string>;
using PickledList = std::vector<PickledScalar>;
using PickledEntry =
    std::variant<PickledScalar, std::shared_ptr<const PickledList>, std::shared_ptr<const PickledArray>>;
using PickledDict = std::map<std::string, PickledEntry>;

/// The dictionary in a pickle of protocol 2 to 4, written by Python 2 or 3. Throws Error, which begins with `name`, if
/// the pickle is damaged, cut short, or contains anything else.
PickledDict read_pickle(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace gradamp

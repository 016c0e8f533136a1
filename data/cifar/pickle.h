// SPDX-License-Identifier: MIT
// Reads the Python pickles that CIFAR is also published in: a dictionary of strings, integers, lists of those, and
// numpy byte arrays. A pickle is a program; this reader knows the few instructions these files consist of, recognises
// the one way numpy spells an array, calls nothing, and refuses everything else.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace gradamp {

/// A numpy array of unsigned bytes, row by row.
struct PickledArray {
  std::vector<std::int64_t> shape;
  std::vector<std::uint8_t> bytes;
};

struct PickledNone {};

/// What a list may hold, or a dictionary besides lists and arrays.
using PickledScalar = std::variant<PickledNone, bool, std::int64_t, std::string>;
using PickledList = std::vector<PickledScalar>;
using PickledEntry =
    std::variant<PickledScalar, std::shared_ptr<const PickledList>, std::shared_ptr<const PickledArray>>;
using PickledDict = std::map<std::string, PickledEntry>;

/// The dictionary that a pickle of protocol 2 to 4 holds, as Python 2 or 3 wrote it. Throws Error, beginning with
/// `name`, where the pickle is damaged, cut short, or holds anything but the above.
PickledDict read_pickle(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Reads the Python pickles in which CIFAR is also published, and what Python and numpy write when such a file is saved
// again: a dictionary of strings, integers, lists and tuples of those, and numpy arrays of integers. A pickle is a
// program. This reader knows only the instructions that these files use, recognizes only numpy's encodings of an array
// and an integer, calls nothing, and refuses everything else. Its time and memory are linear in the file's size.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <variant>
#include <vector>

namespace gradamp {

/// The element type of a numpy array.
struct IntegerType {
  std::size_t bytes = 1;
  bool is_signed = false;
  bool big_endian = false;
};

/// A numpy array of integers, row-major.
struct PickledArray {
  std::vector<std::int64_t> shape;
  IntegerType type;
  std::vector<std::uint8_t> bytes;

  std::size_t count() const { return bytes.size() / type.bytes; }
  std::int64_t at(std::size_t index) const;
};

struct PickledNone {};

/// The type of a list's elements, and of dictionary entries other than lists and arrays.
using PickledText = std::shared_ptr<const std::string>;  // strings can occur many times
using PickledScalar = std::variant<PickledNone, bool, std::int64_t, PickledText>;
using PickledList = std::vector<PickledScalar>;
using PickledEntry =
    std::variant<PickledScalar, std::shared_ptr<const PickledList>, std::shared_ptr<const PickledArray>>;
using PickledDict = std::map<std::string, PickledEntry>;

/// The dictionary in a pickle of protocol 0 to 5, written by Python 2 or 3. Tuples become lists. Throws Error, which
/// begins with `name`, if the pickle is damaged, cut short, contains anything else, or has more values than any file of
/// CIFAR.
PickledDict read_pickle(std::span<const std::uint8_t> bytes, const std::string& name);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// wgmma: matrix products of a warpgroup (four warps), whose operands are in shared memory. A warp's 16 rows of a
// product are computed as late as the program permits, at the warp's wgmma.wait_group, from shared memory as it is
// then. Until then the accumulators contain NaN.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "gradamp/kernels/emulation/source_location.h"

namespace gradamp::emulation {

inline constexpr unsigned kWarpgroupWarps = 4;

/// A lane's part of d (64 x n) = a b + d, or a b unless `accumulate`; a and b have a depth of 16. The lane has n / 2
/// elements of d: d[4 j + {0, 1}] is (group, 8 j + 2 member + {0, 1}) of the warp's 16 rows, d[4 j + {2, 3}] is 8 rows
/// below.
struct Wgmma {
  float* d;
  std::uint64_t a, b;  // descriptors
  int n;
  bool accumulate;
  bool a_mn_major, b_mn_major;
};

void wgmma_fence(const SourceLocation& location);
void wgmma(const Wgmma& lane, const SourceLocation& location);
void wgmma_commit(const SourceLocation& location);
/// Completes the warp's products, except those of its last `groups` groups.
void wgmma_wait(int groups, const SourceLocation& location);

class SharedView;
struct TensorLoad;

/// An operand of a product: which rows of 16 bytes of shared memory it has.
class WgmmaOperand {
 public:
  WgmmaOperand() = default;
  /// `rows`: along m or n.
  WgmmaOperand(std::uint64_t descriptor, bool mn_major, int rows);

  /// "" or why the descriptor is not one with a swizzle of 128 bytes.
  static const char* problem(std::uint64_t descriptor);

  std::uint32_t begin() const { return begin_; }
  std::uint32_t end() const { return end_; }
  bool overlaps(std::uint32_t begin, std::uint32_t end) const;

  /// Calls visit(address, mn, k) for each chunk of 16 bytes of the rows [first, first + rows): elements (mn ... mn + 7,
  /// k) if MN-major, else (mn, k ... k + 7).
  template <typename Visit>
  void for_each_chunk(int first, int rows, const Visit& visit) const;
  bool is_mn_major() const { return mn_major_; }
  int rows() const { return rows_; }

 private:
  std::uint32_t address(int mn, int k) const;

  std::uint32_t start_ = 0, leading_ = 0, stride_ = 0;
  bool mn_major_ = false;
  int rows_ = 0;
  std::uint32_t begin_ = 0, end_ = 0;
};

/// The products of the block that a BlockRunner runs. Each function is for a whole warp.
class WgmmaProducts {
 public:
  void begin_block(std::size_t warps);

  void fence(unsigned warp);
  void issue(unsigned warp, const Wgmma* const* lanes, const SourceLocation& location, const void* code);
  void commit(unsigned warp);
  /// Whether all warps of the warpgroup have issued what this warp waits for: the tensor cores begin only then.
  bool issued_by_all(unsigned warp, int groups) const;
  /// The running thread waits until a warp of the warpgroup issues a product.
  void wait_for_others(unsigned warp, const SourceLocation& location);
  void finish(unsigned warp, int groups);

  /// Where a pending product was issued that reads these bytes of shared memory; null if none does.
  const SourceLocation* reader_of(std::uint32_t begin, std::uint32_t end) const;
  /// Describes a product that was pending when the block ended; "" if there is none.
  std::string leftover() const;

 private:
  /// A warp's 16 rows of d. They are kept between products, to find out whether other instructions wrote to d.
  struct Accumulators {
    float* key;               // lane 0's d
    std::vector<float> rows;  // [16][n]
    int pending = 0;
  };
  struct Product {
    std::array<float*, 32> d;  // by lane
    Wgmma lane;                // lane 0's
    unsigned group;
    std::size_t accumulators;
    WgmmaOperand a, b;
    SourceLocation location;
    const void* code;  // for the race checker
  };
  struct Warp {
    std::vector<Product> pending;
    std::vector<Accumulators> accumulators;
    std::size_t issued = 0, finished = 0;
    unsigned group = 0;                      // of the next product
    std::vector<std::size_t> issued_before;  // [group]: number of products issued before it was closed
    bool fenced = false;
    std::vector<unsigned> waiters;  // ranks
  };

  std::size_t take_accumulators(Warp& warp, const Wgmma* const* lanes, const SourceLocation& location);
  void check_operand(const WgmmaOperand& operand, char name, const SourceLocation& location) const;
  const Product* same_of_warpgroup(unsigned warp, const Wgmma& lane, const SourceLocation& location) const;
  void multiply(unsigned warp, const Product& product, float* rows);
  void read(unsigned warp, const Product& product, const WgmmaOperand& operand, int first, int rows,
            float* values) const;

  bool used_ = false;  // in this block
  std::vector<Warp> warps_;
  std::vector<float> gathered_;
};

}  // namespace gradamp::emulation

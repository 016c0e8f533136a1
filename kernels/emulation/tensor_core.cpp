// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/tensor_core.h"

#include <bit>
#include <cstddef>
#include <cstring>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/memory_intrinsics.h"

namespace gradamp::emulation {
namespace {

constexpr int kRows = 16;    // of a tile of a and d
constexpr int kColumns = 8;  // of a tile of b and d
constexpr int kMaxTiles = 16;
constexpr std::uint32_t kWholeWarp = 0xFFFFFFFFu;

float as_float(std::uint32_t word) { return std::bit_cast<float>(word); }

// ---- mma ----

// A row of a tile of d, which the compiler keeps in one or two registers; and a lane's part of a tile, of two such
// rows.
typedef float Row __attribute__((vector_size(kColumns * sizeof(float))));
typedef float LanePart __attribute__((vector_size(4 * sizeof(float))));

// The warp's a and b as matrices, and the addresses of its lanes' parts of d. A lane's index is 4 group + member.
template <MmaType kType>
struct Operands {
  static constexpr bool kPairs = kType == MmaType::kBF16;  // two values in a register
  static constexpr int kDepth = kPairs ? 16 : 8;

  alignas(64) float a[kMaxTiles][kRows][kDepth];
  alignas(64) float b[kMaxTiles][kDepth][kColumns];
  float* d[32];

  void gather(const MmaFragments& fragments, int group, int member) {
    const int k = kPairs ? 2 * member : member;
    for (int tile = 0; tile < fragments.row_tiles; ++tile) {
      const std::uint32_t* words = fragments.a + 4 * tile;
      float* top = a[tile][group] + k;
      float* bottom = a[tile][group + 8] + k;
      unpack<1>(words[0], top);
      unpack<1>(words[1], bottom);
      unpack<1>(words[2], top + kDepth / 2);
      unpack<1>(words[3], bottom + kDepth / 2);
    }
    for (int tile = 0; tile < fragments.column_tiles; ++tile) {
      const std::uint32_t* words = fragments.b + 2 * tile;
      unpack<kColumns>(words[0], &b[tile][k][group]);
      unpack<kColumns>(words[1], &b[tile][k + kDepth / 2][group]);
    }
    d[4 * group + member] = fragments.d;
  }

  template <int kStride>
  static void unpack(std::uint32_t word, float* values) {
    if constexpr (kPairs) {
      values[0] = as_float(word << 16);
      values[kStride] = as_float(word & 0xFFFF0000u);
    } else {
      values[0] = as_float(word & 0xFFFFE000u);  // the tensor core reads 10 bits of the mantissa
    }
  }
};

// Rows `group` and `group` + 8 of a tile of d: four lanes hold them, two values of each row per lane.
struct RowPair {
  Row top, bottom;

  void load(float* const* lanes, std::ptrdiff_t offset) {
    LanePart part[4];
    for (int member = 0; member < 4; ++member) std::memcpy(&part[member], lanes[member] + offset, sizeof(LanePart));
    const LanePart left_top = __builtin_shufflevector(part[0], part[1], 0, 1, 4, 5);
    const LanePart left_bottom = __builtin_shufflevector(part[0], part[1], 2, 3, 6, 7);
    const LanePart right_top = __builtin_shufflevector(part[2], part[3], 0, 1, 4, 5);
    const LanePart right_bottom = __builtin_shufflevector(part[2], part[3], 2, 3, 6, 7);
    top = __builtin_shufflevector(left_top, right_top, 0, 1, 2, 3, 4, 5, 6, 7);
    bottom = __builtin_shufflevector(left_bottom, right_bottom, 0, 1, 2, 3, 4, 5, 6, 7);
  }

  void store(float* const* lanes, std::ptrdiff_t offset) const {
    const LanePart part[4] = {
        __builtin_shufflevector(top, bottom, 0, 1, 8, 9), __builtin_shufflevector(top, bottom, 2, 3, 10, 11),
        __builtin_shufflevector(top, bottom, 4, 5, 12, 13), __builtin_shufflevector(top, bottom, 6, 7, 14, 15)};
    for (int member = 0; member < 4; ++member) std::memcpy(lanes[member] + offset, &part[member], sizeof(LanePart));
  }
};

template <MmaType kType>
struct Mma {
  static constexpr const char* kName = kType == MmaType::kBF16 ? "mma (bf16)" : "mma (tf32)";
  static constexpr bool kAligned = true;

  MmaFragments fragments;

  static void run(Mma* const* lanes, std::uint32_t mask) {
    if (mask != kWholeWarp) fail_thread([] { return "mma needs all 32 lanes of the warp"; });
    const int row_tiles = lanes[0]->fragments.row_tiles, column_tiles = lanes[0]->fragments.column_tiles;
    Operands<kType> operands;
    for (int lane = 0; lane < 32; ++lane) operands.gather(lanes[lane]->fragments, lane / 4, lane % 4);
    for (int row_tile = 0; row_tile < row_tiles; ++row_tile) {
      for (int group = 0; group < 8; ++group) {
        int tile = 0;
        for (; tile + 4 <= column_tiles; tile += 4)
          multiply<4>(operands, row_tile, group, tile, 4 * (row_tile * column_tiles + tile));
        for (; tile < column_tiles; ++tile)
          multiply<1>(operands, row_tile, group, tile, 4 * (row_tile * column_tiles + tile));
      }
    }
  }

  // Computes two rows of kTiles tiles of d, which stay in registers; `offset` locates the first tile in each lane's d.
  template <int kTiles>
  static void multiply(const Operands<kType>& operands, int row_tile, int group, int first_tile,
                       std::ptrdiff_t offset) {
    float* const* lanes = operands.d + 4 * group;
    const float* top = operands.a[row_tile][group];
    const float* bottom = operands.a[row_tile][group + 8];
    RowPair sums[kTiles];
#pragma GCC unroll 4
    for (int tile = 0; tile < kTiles; ++tile) sums[tile].load(lanes, offset + 4 * tile);
#pragma GCC unroll 1
    for (int k = 0; k < Operands<kType>::kDepth; ++k) {
#pragma GCC unroll 4
      for (int tile = 0; tile < kTiles; ++tile) {
        Row b;
        std::memcpy(&b, operands.b[first_tile + tile][k], sizeof b);
        sums[tile].top += top[k] * b;
        sums[tile].bottom += bottom[k] * b;
      }
    }
#pragma GCC unroll 4
    for (int tile = 0; tile < kTiles; ++tile) sums[tile].store(lanes, offset + 4 * tile);
  }
};

template <MmaType kType>
void join_mma(const MmaFragments& fragments, const SourceLocation& location) {
  Mma<kType> payload{fragments};
  join_warp_operation(kWholeWarp, payload, location);
}

// ---- ldmatrix ----

template <bool kTransposed>
struct Ldmatrix {
  static constexpr bool kAligned = true;
  static constexpr const char* kName = kTransposed ? "ldmatrix.trans" : "ldmatrix";

  std::uint32_t* registers;
  const char* row;
  int matrices;
  const void* code;  // for the race checker

  static void run(Ldmatrix* const* lanes, std::uint32_t mask) {
    if (mask != kWholeWarp) fail_thread([] { return "ldmatrix needs all 32 lanes of the warp"; });
    for (int matrix = 0; matrix < lanes[0]->matrices; ++matrix) {
      std::uint16_t values[8][8];
      for (int row = 0; row < 8; ++row) std::memcpy(values[row], lanes[8 * matrix + row]->row, sizeof values[row]);
      for (int lane = 0; lane < 32; ++lane) {
        const int major = lane / 4, minor = 2 * (lane % 4);
        const std::uint32_t low = kTransposed ? values[minor][major] : values[major][minor];
        const std::uint32_t high = kTransposed ? values[minor + 1][major] : values[major][minor + 1];
        lanes[lane]->registers[matrix] = low | high << 16;
      }
    }
    if (access_observer) report_reads(lanes);
  }

  // Reports each lane's own reads: two values, in rows whose addresses other lanes passed.
  static void report_reads(Ldmatrix* const* lanes) {
    const Thread* threads = &running_block->threads()[running_thread->warp * kWarpSize];
    for (int lane = 0; lane < 32; ++lane) {
      const int major = lane / 4, minor = 2 * (lane % 4);
      for (int value = 0; value < 2 * lanes[0]->matrices; ++value) {
        const int matrix = value / 2, second = minor + value % 2;
        const int row = kTransposed ? second : major, column = kTransposed ? major : second;
        access_observer->read(threads[lane], lanes[8 * matrix + row]->row + 2 * column, 2, lanes[lane]->code);
      }
    }
  }
};

template <bool kTransposed>
void join_ldmatrix(const Ldmatrix<kTransposed>& lane, const SourceLocation& location) {
  Ldmatrix<kTransposed> payload = lane;
  join_warp_operation(kWholeWarp, payload, location);
}

}  // namespace

void mma(MmaType type, const MmaFragments& fragments, const SourceLocation& location) {
  if (fragments.row_tiles > kMaxTiles || fragments.column_tiles > kMaxTiles)
    fail_thread([] { return "mma: more tiles than the emulator has room for"; });
  if (type == MmaType::kBF16)
    join_mma<MmaType::kBF16>(fragments, location);
  else
    join_mma<MmaType::kTF32>(fragments, location);
}

void ldmatrix(std::uint32_t* registers, const void* row, int matrices, bool transposed,
              const SourceLocation& location) {
  const void* code = __builtin_return_address(0);
  const auto* bytes = static_cast<const char*>(row);
  if (lane() < 8 * static_cast<unsigned>(matrices)) check_aligned(row, 16, location);
  if (transposed)
    join_ldmatrix<true>({registers, bytes, matrices, code}, location);
  else
    join_ldmatrix<false>({registers, bytes, matrices, code}, location);
}

}  // namespace gradamp::emulation

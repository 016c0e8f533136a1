// SPDX-License-Identifier: MIT
// The pictures in the headers of kernels/cuda match the code, and the claim that they illustrate holds: no access of a
// warp has a bank conflict.
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "gradamp/kernels/cuda/convolution_tile.h"
#include "gradamp/kernels/cuda/tile.h"

namespace gradamp::GRADAMP_GPU {
namespace {

std::string header_text(const std::string& name) {
  std::ifstream file(std::filesystem::path(GRADAMP_TEST_DATA) / "../kernels/cuda" / name);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// The 128-byte lines of shared memory with a tile's first 8 rows: "row.chunk" in each slot of 16 bytes.
template <typename Tile, typename T>
std::string picture() {
  constexpr int kRows = 8, kSlots = 8;
  std::vector<std::string> slots(kRows * Tile::kChunks);
  for (int row = 0; row < kRows; ++row) {
    for (int chunk = 0; chunk < Tile::kChunks; ++chunk) {
      std::string& slot = slots[static_cast<std::size_t>(Tile::chunk_offset(row, chunk) / kVector<T>)];
      EXPECT_EQ(slot, "");
      slot = fmt::format("{}.{}", row, chunk);
    }
  }
  std::string text = "///     bank    0    4    8   12   16   20   24   28\n";
  for (std::size_t i = 0; i < slots.size(); ++i) {
    text += (i % kSlots == 0 ? "///           " : "  ") + slots[i];
    if (i % kSlots == kSlots - 1) text += "\n";
  }
  return text;
}

TEST(SharedTile, PicturesShowTheSwizzle) {
  const std::string text = header_text("tile.h");
  const std::string four_chunks = picture<SharedTile<bf16, 128, 32>, bf16>();
  EXPECT_EQ(four_chunks, (picture<SharedTile<float, 128, 16>, float>()));
  for (const std::string& shown :
       {four_chunks, picture<SharedTile<bf16, 32, 64>, bf16>(), picture<SharedTile<float, 16, 32>, float>()})
    EXPECT_NE(text.find(shown), std::string::npos) << shown;
}

/// ldmatrix reads 8 rows of one chunk at a time: 128 bytes, which are in all banks only if there is no conflict.
template <typename T, typename Tile>
void expect_rows_in_all_banks() {
  for (int row = 0; row < Tile::kRows; row += 8) {
    for (int chunk = 0; chunk < Tile::kChunks; ++chunk) {
      std::set<int> slots;
      for (int r = 0; r < 8; ++r) slots.insert(Tile::chunk_offset(row + r, chunk) / kVector<T> % 8);
      EXPECT_EQ(slots.size(), 8u) << "rows from " << row << ", chunk " << chunk;
    }
  }
}

TEST(SharedTile, LdmatrixHasNoBankConflict) {
  expect_rows_in_all_banks<bf16, OperandTile<bf16, Major::kK, 128>>();
  expect_rows_in_all_banks<float, OperandTile<float, Major::kK, 128>>();
  expect_rows_in_all_banks<bf16, OperandTile<bf16, Major::kMN, 32>>();
  expect_rows_in_all_banks<bf16, OperandTile<bf16, Major::kMN, 64>>();
  expect_rows_in_all_banks<bf16, OperandTile<bf16, Major::kMN, 128>>();
}

/// An MN-major tile of f32 is read element by element: lane 4 group + member reads row k + member, column m + group.
template <typename Tile>
void expect_elements_in_all_banks() {
  for (int k = 0; k < Tile::kRows; k += 4) {
    for (int m = 0; m < Tile::kColumns; m += 8) {
      std::set<int> banks;
      for (int lane = 0; lane < 32; ++lane) banks.insert(Tile::offset(k + lane % 4, m + lane / 4) % 32);
      EXPECT_EQ(banks.size(), 32u) << "row " << k << ", column " << m;
    }
  }
}

TEST(SharedTile, ElementLoadsHaveNoBankConflict) {
  expect_elements_in_all_banks<OperandTile<float, Major::kMN, 32>>();
  expect_elements_in_all_banks<OperandTile<float, Major::kMN, 64>>();
  expect_elements_in_all_banks<OperandTile<float, Major::kMN, 128>>();
}

/// CuTe's Swizzle<kBits, kBase, kShift> of a byte address: XORs the bits from kBase + kShift into those from kBase.
template <int kBits, int kBase, int kShift>
int cute_swizzle(int address) {
  return address ^ ((address & (((1 << kBits) - 1) << (kBase + kShift))) >> kShift);
}

template <typename T, int kColumns, int kBits, int kBase, int kShift>
void expect_cute_swizzle() {
  using Tile = SharedTile<T, 32, kColumns>;
  constexpr int kRowBytes = kColumns * static_cast<int>(sizeof(T));
  for (int row = 0; row < Tile::kRows; ++row)
    for (int chunk = 0; chunk < Tile::kChunks; ++chunk)
      EXPECT_EQ(Tile::chunk_offset(row, chunk) * static_cast<int>(sizeof(T)),
                (cute_swizzle<kBits, kBase, kShift>(row * kRowBytes + chunk * 16)));
}

// Checks the glossary in kernels/cuda/README.md.
TEST(SharedTile, SwizzlesAreCutes) {
  expect_cute_swizzle<bf16, 32, 2, 4, 3>();
  expect_cute_swizzle<float, 16, 2, 4, 3>();
  expect_cute_swizzle<bf16, 64, 3, 4, 3>();
  expect_cute_swizzle<bf16, 128, 3, 4, 4>();
  expect_cute_swizzle<float, 32, 2, 5, 2>();
  expect_cute_swizzle<float, 64, 2, 5, 3>();
  expect_cute_swizzle<float, 128, 2, 5, 4>();
}

// Simulates BlockProduct::accumulate step by step.
TEST(Pipeline, PictureShowsTheRing) {
  constexpr int kSteps = 6;
  std::vector<std::vector<std::string>> cells(kStages, std::vector<std::string>(1 + kSteps));
  const auto start_copy = [&](int stage, int column) {
    cells[static_cast<std::size_t>(stage % kStages)][static_cast<std::size_t>(column)] = fmt::format("copy {}", stage);
  };
  for (int stage = 0; stage < kStages - 1; ++stage) start_copy(stage, 0);
  for (int step = 0; step < kSteps; ++step) {
    cells[static_cast<std::size_t>(step % kStages)][static_cast<std::size_t>(1 + step)] = fmt::format("mma {}", step);
    start_copy(step + kStages - 1, 1 + step);
  }
  const std::string text = header_text("convolution_tile.h");
  for (int slot = 0; slot < kStages; ++slot) {
    std::string line = fmt::format("  ///     slot {}   ", slot);
    bool copied = false;
    for (const std::string& cell : cells[static_cast<std::size_t>(slot)]) {
      copied = copied || !cell.empty();
      line += fmt::format("{:<8}", cell.empty() && copied ? ".." : cell);
    }
    line.erase(line.find_last_not_of(' ') + 1);
    EXPECT_NE(text.find(line + "\n"), std::string::npos) << line;
  }
}

}  // namespace
}  // namespace gradamp::GRADAMP_GPU

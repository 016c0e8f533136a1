// SPDX-License-Identifier: MIT
// CUDA's wmma: matrix products by a warp. CUDA does not say which lane has which element of a fragment; here element i
// of lane l is element kElements * l + i of the matrix, by rows. Products are summed in float (int for integers), one
// after another.
#pragma once

#include <bit>
#include <cstdint>
#include <type_traits>

#include "gradamp/kernels/emulation/plain/cuda_fp16.h"
#include "gradamp/kernels/emulation/plain/plain.h"

namespace nvcuda::wmma {

struct matrix_a {};
struct matrix_b {};
struct accumulator {};
struct row_major {};
struct col_major {};
enum layout_t { mem_row_major, mem_col_major };

namespace precision {
struct tf32 {};  // the storage is float
}  // namespace precision

namespace emulation_of_wmma {

using Location = gradamp::emulation::SourceLocation;

template <typename T>
using Storage = std::conditional_t<std::is_same_v<T, precision::tf32>, float, T>;

template <int kM, int kN, int kK, typename A, typename C>
constexpr bool is_shape() {
  using gradamp::emulated::__half;
  using gradamp::emulated::__nv_bfloat16;
  constexpr bool of_16 = kK == 16 && ((kM == 16 && kN == 16) || (kM == 32 && kN == 8) || (kM == 8 && kN == 32));
  if (std::is_same_v<A, __half>) return of_16 && (std::is_same_v<C, float> || std::is_same_v<C, __half>);
  if (std::is_same_v<A, __nv_bfloat16>) return of_16 && std::is_same_v<C, float>;
  if (std::is_same_v<A, signed char> || std::is_same_v<A, unsigned char>) return of_16 && std::is_same_v<C, int>;
  if (std::is_same_v<A, precision::tf32>) return kM == 16 && kN == 16 && kK == 8 && std::is_same_v<C, float>;
  return std::is_same_v<A, double> && std::is_same_v<C, double> && kM == 8 && kN == 8 && kK == 4;
}

/// All lanes of the warp have arrived at one line.
struct WholeWarp {
  static constexpr const char* kName = "a wmma function";
  static constexpr bool kAligned = true;
  static void run(WholeWarp* const*, std::uint32_t) {}
};

inline void join_whole_warp(const Location& location) {
  WholeWarp payload;
  gradamp::emulation::join_warp_operation(0xFFFFFFFFu, payload, location);
}

}  // namespace emulation_of_wmma

template <typename Use, int kM, int kN, int kK, typename T, typename Layout = void>
class fragment {
 public:
  static constexpr int kRows = std::is_same_v<Use, matrix_b> ? kK : kM;
  static constexpr int kColumns = std::is_same_v<Use, matrix_a> ? kK : kN;
  static constexpr int num_elements = kRows * kColumns / 32;
  using element_type = T;
  using storage_element_type = emulation_of_wmma::Storage<T>;

  storage_element_type x[num_elements];

  /// The row and column of this lane's element i.
  static int row_of(int i) { return index_of(i) / kColumns; }
  static int column_of(int i) { return index_of(i) % kColumns; }

 private:
  static int index_of(int i) { return num_elements * static_cast<int>(gradamp::emulation::lane()) + i; }
};

template <typename Use, int kM, int kN, int kK, typename T, typename Layout, typename V>
void fill_fragment(fragment<Use, kM, kN, kK, T, Layout>& target, const V& value) {
  for (auto& element : target.x) element = static_cast<emulation_of_wmma::Storage<T>>(value);
}

namespace emulation_of_wmma {

template <typename Fragment>
auto* element_of(auto* memory, int i, unsigned stride, bool by_rows) {
  const auto row = static_cast<unsigned>(Fragment::row_of(i)), column = static_cast<unsigned>(Fragment::column_of(i));
  return memory + (by_rows ? row * stride + column : column * stride + row);
}

inline void check_addresses(const void* memory, unsigned stride, std::size_t element, const Location& location) {
  gradamp::emulation::check_aligned(memory, 32, location);
  if (stride * element % 16 != 0)
    gradamp::emulation::fail_thread([&] {
      return "wmma at " + gradamp::emulation::to_string(location) + ": rows " + std::to_string(stride) +
             " elements apart; expected a multiple of 16 bytes";
    });
}

}  // namespace emulation_of_wmma

/// `memory` is aligned to 32 bytes; rows (columns of a col_major fragment) begin `stride` elements apart.
template <typename Use, int kM, int kN, int kK, typename T, typename Layout>
void load_matrix_sync(fragment<Use, kM, kN, kK, T, Layout>& target, const emulation_of_wmma::Storage<T>* memory,
                      unsigned stride, emulation_of_wmma::Location location = emulation_of_wmma::Location::here()) {
  using Fragment = fragment<Use, kM, kN, kK, T, Layout>;
  static_assert(!std::is_void_v<Layout>, "an accumulator is loaded with mem_row_major or mem_col_major");
  emulation_of_wmma::check_addresses(memory, stride, sizeof *memory, location);
  emulation_of_wmma::join_whole_warp(location);
  for (int i = 0; i < Fragment::num_elements; ++i)
    target.x[i] = *emulation_of_wmma::element_of<Fragment>(memory, i, stride, std::is_same_v<Layout, row_major>);
}

template <int kM, int kN, int kK, typename T>
void load_matrix_sync(fragment<accumulator, kM, kN, kK, T>& target, const T* memory, unsigned stride, layout_t layout,
                      emulation_of_wmma::Location location = emulation_of_wmma::Location::here()) {
  using Fragment = fragment<accumulator, kM, kN, kK, T>;
  emulation_of_wmma::check_addresses(memory, stride, sizeof *memory, location);
  emulation_of_wmma::join_whole_warp(location);
  for (int i = 0; i < Fragment::num_elements; ++i)
    target.x[i] = *emulation_of_wmma::element_of<Fragment>(memory, i, stride, layout == mem_row_major);
}

template <int kM, int kN, int kK, typename T>
void store_matrix_sync(T* memory, const fragment<accumulator, kM, kN, kK, T>& source, unsigned stride, layout_t layout,
                       emulation_of_wmma::Location location = emulation_of_wmma::Location::here()) {
  using Fragment = fragment<accumulator, kM, kN, kK, T>;
  emulation_of_wmma::check_addresses(memory, stride, sizeof *memory, location);
  emulation_of_wmma::join_whole_warp(location);
  for (int i = 0; i < Fragment::num_elements; ++i)
    *emulation_of_wmma::element_of<Fragment>(memory, i, stride, layout == mem_row_major) = source.x[i];
}

namespace emulation_of_wmma {

template <typename A, typename B, typename C, typename D>
struct Multiplication {
  static constexpr const char* kName = "wmma::mma_sync";
  static constexpr bool kAligned = true;

  const A* a;
  const B* b;
  const C* c;
  D* d;

  /// Element `index` of a matrix whose parts the lanes have.
  template <typename Part>
  static auto element(Multiplication* const* lanes, const Part* Multiplication::*part, int index) {
    return (lanes[index / Part::num_elements]->*part)->x[index % Part::num_elements];
  }

  static void run(Multiplication* const* lanes, std::uint32_t) {
    using T = typename D::element_type;
    using Sum = std::conditional_t<std::is_same_v<T, gradamp::emulated::__half>, float, T>;
    constexpr int kColumns = D::kColumns, kInner = A::kColumns, kCount = D::kRows * kColumns;
    Sum sums[kCount];
    for (int index = 0; index < kCount; ++index) {
      sums[index] = static_cast<Sum>(element(lanes, &Multiplication::c, index));
      for (int k = 0; k < kInner; ++k)
        sums[index] += static_cast<Sum>(element(lanes, &Multiplication::a, index / kColumns * kInner + k)) *
                       static_cast<Sum>(element(lanes, &Multiplication::b, k * kColumns + index % kColumns));
    }
    for (int index = 0; index < kCount; ++index)
      lanes[index / D::num_elements]->d->x[index % D::num_elements] = static_cast<T>(sums[index]);
  }
};

}  // namespace emulation_of_wmma

/// d = a * b + c; d may be c.
template <int kM, int kN, int kK, typename T, typename LayoutA, typename LayoutB, typename C, typename D>
void mma_sync(fragment<accumulator, kM, kN, kK, D>& d, const fragment<matrix_a, kM, kN, kK, T, LayoutA>& a,
              const fragment<matrix_b, kM, kN, kK, T, LayoutB>& b, const fragment<accumulator, kM, kN, kK, C>& c,
              emulation_of_wmma::Location location = emulation_of_wmma::Location::here()) {
  static_assert(emulation_of_wmma::is_shape<kM, kN, kK, T, D>(), "wmma has no product of this shape and these types");
  using Payload = emulation_of_wmma::Multiplication<std::decay_t<decltype(a)>, std::decay_t<decltype(b)>,
                                                    std::decay_t<decltype(c)>, std::decay_t<decltype(d)>>;
  Payload payload{&a, &b, &c, &d};
  gradamp::emulation::join_warp_operation(0xFFFFFFFFu, payload, location);
}

/// Rounds to tf32: 10 bits of fraction.
inline float __float_to_tf32(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return std::bit_cast<float>((bits + 0x1000u) & ~0x1FFFu);
}

}  // namespace nvcuda::wmma

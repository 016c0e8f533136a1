// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

namespace gradamp {

/// Element types. f64 and i64 hold sums and counters; images are u8, labels i32, everything trained f32 or bf16. f16 is
/// in files of other programs only.
enum class DType : std::uint8_t { kF32, kBF16, kI32, kU8, kF64, kI64, kF16 };

/// Bytes of one element.
constexpr std::size_t size_of(DType type) {
  switch (type) {
    case DType::kF32: return 4;
    case DType::kBF16: return 2;
    case DType::kI32: return 4;
    case DType::kU8: return 1;
    case DType::kF64: return 8;
    case DType::kI64: return 8;
    case DType::kF16: return 2;
  }
  return 0;
}

/// "f32", "bf16", "i32", "u8", "f64", "i64", "f16".
constexpr const char* name_of(DType type) {
  switch (type) {
    case DType::kF32: return "f32";
    case DType::kBF16: return "bf16";
    case DType::kI32: return "i32";
    case DType::kU8: return "u8";
    case DType::kF64: return "f64";
    case DType::kI64: return "i64";
    case DType::kF16: return "f16";
  }
  return "?";
}

/// The precision of convolutions and the type of activations. Weights, statistics and the optimizer are always f32.
enum class Precision {
  kF32,   // f32 products, f32 sums
  kTF32,  // operands rounded to 10 bits of mantissa, f32 sums
  kBF16,  // activations and their gradients in bf16, f32 sums
};

/// "f32", "tf32", "bf16".
constexpr const char* name_of(Precision precision) {
  switch (precision) {
    case Precision::kF32: return "f32";
    case Precision::kTF32: return "tf32";
    case Precision::kBF16: return "bf16";
  }
  return "?";
}

}  // namespace gradamp

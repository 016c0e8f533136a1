// SPDX-License-Identifier: MIT
// The algorithms for convolutions, and which device has which.
#pragma once

#include <string>

#include "gradamp/core/device.h"

namespace gradamp {

enum class ConvolutionMethod {
  kAuto,      // cpu: kWinograd or kDirect, by the rule in kernels/cpu/convolution_shape.h; cuda: kHopper where it can
              // be used, else kMma; emulated: kMma; but kNaive with dilation or groups
  kNaive,     // by the definition, one thread per element of the result (kernels/cuda/convolution_naive.h); slow
  kDirect,    // as a product of matrices (kernels/cpu/simd/direct.h)
  kWinograd,  // by Winograd's algorithm wherever it is possible (kernels/cpu/simd/winograd.h), otherwise kDirect
  kMma,       // tiles in shared memory, multiplied by tensor cores or, in f32, by FMA (kernels/cuda/convolution.h)
  kHopper,    // in bf16 on compute capability 9.0, by TMA and wgmma (kernels/cuda/convolution_hopper.h); by kMma in
              // other precisions and for the shapes that it does not serve
};

inline constexpr ConvolutionMethod kConvolutionMethods[] = {ConvolutionMethod::kAuto,   ConvolutionMethod::kNaive,
                                                            ConvolutionMethod::kDirect, ConvolutionMethod::kWinograd,
                                                            ConvolutionMethod::kMma,    ConvolutionMethod::kHopper};

/// "auto", "naive", "direct", "winograd", "mma", "hopper".
constexpr const char* name_of(ConvolutionMethod method) {
  switch (method) {
    case ConvolutionMethod::kAuto: return "auto";
    case ConvolutionMethod::kNaive: return "naive";
    case ConvolutionMethod::kDirect: return "direct";
    case ConvolutionMethod::kWinograd: return "winograd";
    case ConvolutionMethod::kMma: return "mma";
    case ConvolutionMethod::kHopper: return "hopper";
  }
  return "?";
}

/// Whether devices of this kind can compute convolutions so.
constexpr bool has_method(DeviceKind kind, ConvolutionMethod method) {
  switch (method) {
    case ConvolutionMethod::kAuto: return true;
    case ConvolutionMethod::kDirect:
    case ConvolutionMethod::kWinograd: return kind == DeviceKind::kCpu;
    case ConvolutionMethod::kNaive:
    case ConvolutionMethod::kMma:
    case ConvolutionMethod::kHopper: return kind != DeviceKind::kCpu;
  }
  return false;
}

/// Error unless the device has the method.
inline void check_method(DeviceKind kind, ConvolutionMethod method) {
  std::string names;
  for (const ConvolutionMethod other : kConvolutionMethods)
    if (has_method(kind, other)) names += (names.empty() ? "" : ", ") + std::string(name_of(other));
  check(has_method(kind, method), "the device {} has the convolutions {}; got {}", name_of(kind), names,
        name_of(method));
}

}  // namespace gradamp

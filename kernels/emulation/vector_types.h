// SPDX-License-Identifier: MIT
// CUDA's small vectors, with CUDA's alignments.
#pragma once

namespace gradamp::emulated {

struct uint3 {
  unsigned x, y, z;
};

struct dim3 {
  unsigned x, y, z;
  constexpr dim3(unsigned columns = 1, unsigned rows = 1, unsigned layers = 1) : x(columns), y(rows), z(layers) {}
};

#define GRADAMP_VECTORS(name, Element, alignment_of_2, alignment_of_4)      \
  struct alignas(alignment_of_2) name##2 {                                  \
    Element x, y;                                                           \
  };                                                                        \
  struct alignas(alignment_of_4) name##4 {                                  \
    Element x, y, z, w;                                                     \
  };                                                                        \
  constexpr name##2 make_##name##2(Element x, Element y) { return {x, y}; } \
  constexpr name##4 make_##name##4(Element x, Element y, Element z, Element w) { return {x, y, z, w}; }

GRADAMP_VECTORS(char, signed char, 2, 4)
GRADAMP_VECTORS(uchar, unsigned char, 2, 4)
GRADAMP_VECTORS(short, short, 4, 8)
GRADAMP_VECTORS(ushort, unsigned short, 4, 8)
GRADAMP_VECTORS(int, int, 8, 16)
GRADAMP_VECTORS(uint, unsigned, 8, 16)
GRADAMP_VECTORS(longlong, long long, 16, 16)
GRADAMP_VECTORS(ulonglong, unsigned long long, 16, 16)
GRADAMP_VECTORS(float, float, 8, 16)
GRADAMP_VECTORS(double, double, 16, 16)
#undef GRADAMP_VECTORS

struct float3 {
  float x, y, z;
};
struct int3 {
  int x, y, z;
};
constexpr float3 make_float3(float x, float y, float z) { return {x, y, z}; }
constexpr int3 make_int3(int x, int y, int z) { return {x, y, z}; }
constexpr uint3 make_uint3(unsigned x, unsigned y, unsigned z) { return {x, y, z}; }

}  // namespace gradamp::emulated

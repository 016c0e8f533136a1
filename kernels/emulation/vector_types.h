// SPDX-License-Identifier: MIT
// CUDA's small vectors, with CUDA's alignments.
#pragma once

namespace gradamp::emulated {

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

#define GRADAMP_SMALL_VECTORS(name, Element)                  \
  struct name##1 {                                            \
    Element x;                                                \
  };                                                          \
  struct name##3 {                                            \
    Element x, y, z;                                          \
  };                                                          \
  constexpr name##1 make_##name##1(Element x) { return {x}; } \
  constexpr name##3 make_##name##3(Element x, Element y, Element z) { return {x, y, z}; }

GRADAMP_SMALL_VECTORS(char, signed char)
GRADAMP_SMALL_VECTORS(uchar, unsigned char)
GRADAMP_SMALL_VECTORS(short, short)
GRADAMP_SMALL_VECTORS(ushort, unsigned short)
GRADAMP_SMALL_VECTORS(int, int)
GRADAMP_SMALL_VECTORS(uint, unsigned)
GRADAMP_SMALL_VECTORS(longlong, long long)
GRADAMP_SMALL_VECTORS(ulonglong, unsigned long long)
GRADAMP_SMALL_VECTORS(float, float)
GRADAMP_SMALL_VECTORS(double, double)
#undef GRADAMP_SMALL_VECTORS

}  // namespace gradamp::emulated

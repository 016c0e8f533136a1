// SPDX-License-Identifier: MIT
// A box filter on an image whose rows are padded: cudaMallocPitch, cudaMemset2D and cudaMemcpy2D.
#include "check.h"

__global__ void box(const unsigned char* in, size_t in_pitch, unsigned char* out, size_t out_pitch, int width,
                    int height) {
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= width || y >= height) return;
  int sum = 0, count = 0;
  for (int dy = -1; dy <= 1; ++dy)
    for (int dx = -1; dx <= 1; ++dx)
      if (x + dx >= 0 && x + dx < width && y + dy >= 0 && y + dy < height) {
        sum += in[(y + dy) * in_pitch + x + dx];
        ++count;
      }
  out[y * out_pitch + x] = sum / count;
}

int main() {
  const int width = 37, height = 21;
  unsigned char image[height][width], got[height][width], *in, *out;
  size_t in_pitch, out_pitch;
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) image[y][x] = (unsigned char)(x * y % 251);
  CHECK(cudaMallocPitch(&in, &in_pitch, width, height));
  CHECK(cudaMallocPitch(&out, &out_pitch, width, height));
  CHECK(cudaMemset2D(out, out_pitch, 7, width, height));
  CHECK(cudaMemcpy2D(in, in_pitch, image, width, width, height, cudaMemcpyHostToDevice));
  const dim3 block(16, 8);
  box<<<dim3((width + block.x - 1) / block.x, (height + block.y - 1) / block.y), block>>>(in, in_pitch, out, out_pitch,
                                                                                          width, height);
  CHECK(cudaMemcpy2D(got, width, out, out_pitch, width, height, cudaMemcpyDeviceToHost));
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x) {
      int sum = 0, count = 0;
      for (int j = y > 0 ? y - 1 : 0; j <= y + 1 && j < height; ++j)
        for (int i = x > 0 ? x - 1 : 0; i <= x + 1 && i < width; ++i) sum += image[j][i], ++count;
      expect_near(got[y][x], sum / count, 0, "pixel", y * width + x);
    }
}

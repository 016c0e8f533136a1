// SPDX-License-Identifier: MIT
// Many mistakes in one program, which is compiled once: its argument chooses one. Behind each case is the expected
// message, in which LINE is the case's own line, or the one that is marked with its number.
#include <cuda_runtime.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

__device__ int table[10];
__constant__ float weights[] = {1, 2, 3};
__device__ int counter;

__global__ void fill(int* x, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] = i;
}
__global__ void write_table(int i) { table[i] = 1; }                        // LINE 1, LINE 2, LINE 24
__global__ void read_weights(float* x, int i) { x[0] = weights[i]; }        // LINE 4
__global__ void count() { counter++; }                                      // LINE 5
__global__ void divide(int* x, int by) { x[0] = 100 / (by - blockIdx.x); }  // LINE 6

/// A barrier is missing in the loop. All threads are in one warp.
template <typename T>
__global__ void reduce(const T* x, T* sum) {
  extern __shared__ T values[];
  const int t = threadIdx.x;
  values[t] = x[t];
  __syncthreads();
  for (int step = blockDim.x / 2; step > 0; step /= 2)
    if (t < step) values[t] += values[t + step];  // LINE 7
  if (t == 0) *sum = values[0];
}

__global__ void lock_without_fences(int* lock, int* sum) {
  while (atomicCAS(lock, 0, 1) != 0) {
  }
  *sum += 1;  // LINE 8
  atomicExch(lock, 0);
}
__global__ void lock_not_taken(int* lock, int* sum) {
  const bool takes = threadIdx.x != 7;
  while (takes && atomicCAS(lock, 0, 1) != 0) {
  }
  __threadfence();
  *sum += 1;  // LINE 9
  __threadfence();
  if (takes) atomicExch(lock, 0);
}
__global__ void read_of_atomic(int* x) {
  if (*x < 3) atomicAdd(x, 1);  // LINE 10
}

__global__ void next(const int* x, int* y, int n) {
  const int i = threadIdx.x;
  if (i < n) y[i] = x[i + 1];  // LINE 23
}

struct Padded {
  char letter;
  double number;
};
__global__ void fill_padded(Padded* x) {
  x[threadIdx.x].letter = 'a';
  x[threadIdx.x].number = 1;
}

__attribute__((noinline)) void large_frame() {  // LINE 20
  volatile char bytes[64 << 20];
  bytes[0] = 1;
}

int main(int argc, char** argv) {
  constexpr int n = 128;
  constexpr size_t size = n * sizeof(int);
  int *x, *y, *zeros, host[2 * n] = {};
  cudaMalloc(&x, size);
  cudaMalloc(&y, size);
  cudaMalloc(&zeros, size);
  cudaMemset(zeros, 0, size);
  // clang-format off
  switch (std::atoi(argv[1])) {
    case 1: write_table<<<1, 1>>>(10); break;  // "access to 0 bytes past the end of table, which has 40 bytes, at mistakes.cu:LINE"
    case 2: write_table<<<1, 1>>>(100); break;  // "access to 360 bytes past the end of table, .* at mistakes.cu:LINE"
    case 4: read_weights<<<1, 1>>>((float*)x, 3); break;  // "0 bytes past the end of weights, which has 12 bytes, at mistakes.cu:LINE"
    case 5: count<<<1, 40>>>(); break;  // "race in global memory: .* at mistakes.cu:LINE"
    case 6: divide<<<9, 1>>>(zeros, 7); break;  // "block .7,0,0.: thread .0,0,0.: integer division by zero.* at mistakes.cu:LINE"
    case 7: reduce<<<1, 32, 32 * sizeof(int)>>>(zeros, y); break;  // "race in shared memory: .* at mistakes.cu:LINE .* at mistakes.cu:LINE, .*\n  hint: put a __syncthreads"
    case 8: lock_without_fences<<<2, 4>>>(zeros, zeros + 1); break;  // "race in global memory: .* at mistakes.cu:LINE .* at mistakes.cu:LINE"
    case 9: lock_not_taken<<<1, 32>>>(zeros, zeros + 1); break;  // "race in global memory: .*thread .7,0,0. at mistakes.cu:LINE"
    case 10: read_of_atomic<<<1, 32>>>(zeros); break;  // "at mistakes.cu:LINE reads what thread .* changed atomically at mistakes.cu:"
    case 11: fill<<<1, n>>>(x, n / 2); cudaMemcpy(host, x, size, cudaMemcpyDeviceToHost); break;  // "copy at mistakes.cu:LINE reads .*: 256 of its 512 bytes, from byte 256 on\n  hint: "
    case 12: cudaMemcpy(y, x, size, cudaMemcpyDeviceToDevice); break;  // "copy at mistakes.cu:LINE reads .*: 512 of its 512 bytes"
    case 13: cudaMemcpy(x, host, 2 * size, cudaMemcpyHostToDevice); break;  // "cudaMemcpy at mistakes.cu:LINE failed: cudaErrorInvalidValue .*: the copy has 1024 bytes, but the target has only 512; the program did not check"
    case 14: if (argc) cudaMemcpy(x, host, 4, cudaMemcpyDeviceToHost); break;  // "cudaMemcpy at mistakes.cu:LINE failed: .*: the target is the device's memory, but the copy's kind says otherwise"
    case 15: free(x); break;  // "host code at mistakes.cu:LINE frees the device's memory at .*: free it with cudaFree"
    case 16: { int* own = (int*)malloc(64); cudaFree(own); free(own); } break;  // "cudaFree at mistakes.cu:LINE got .*, which was never allocated on the device\n  hint: free the host's memory with free"
    case 17: memcpy(host, x, 2 * sizeof(int)); break;  // "host code touched the device's memory at .*, in mistakes.cu:LINE"
    case 18: for (int i = 0; i < 1000; ++i) fill<<<1, 2000 + i>>>(x, n); break;  // "^gradamp emulate: kernel launched at mistakes.cu:LINE: the block is .2000,1,1. .*\n  hint: .*\ngradamp emulate: 999 more like this: .*\n$"
    case 19: { int* pinned; cudaMallocHost(&pinned, 64); free(pinned); } break;  // "host code at mistakes.cu:LINE frees memory that malloc or new did not give.*\n  hint: .*cudaFreeHost"
    case 20: large_frame(); break;  // "the host's stack is full, at mistakes.cu:LINE"
    case 21: cudaMemcpy(x, host, 2 * size, cudaMemcpyHostToDevice); if (cudaGetLastError() == cudaSuccess) puts("?"); break;  // ""
    case 22: { Padded *p, own[64]; cudaMalloc(&p, sizeof own); fill_padded<<<1, 64>>>(p); cudaMemcpy(own, p, sizeof own, cudaMemcpyDeviceToHost); } break;  // ""
    case 23: { int *odd; cudaMalloc(&odd, 62 * sizeof(int)); cudaMemset(odd, 0, 62 * sizeof(int)); next<<<1, 64>>>(odd, y, 62); } break;  // "thread .61,0,0. at mistakes.cu:LINE reads 0 bytes past the end of an allocation of 248"
    case 24: write_table<<<1, 1>>>(-2); break;  // "thread .0,0,0. at mistakes.cu:LINE writes 8 bytes before table, which has 40 bytes"
  }
  // clang-format on
  cudaFree(x);
  return 0;
}

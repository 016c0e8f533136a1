// SPDX-License-Identifier: MIT
// Threads that take turns by atomicCAS: locks in a variable, in global and in shared memory, the programming guide's
// atomicAdd for double, and a list to which all threads add without a lock. No access to what they protect is a race.
#include "check.h"

struct Node {
  Node* next;
  int value;
};

__device__ int mutex;
__device__ Node* head;
__device__ int by_lock, digits[] = {3, 1, 4}, matrix[2][2] = {{1, 2}, {3, 4}};
static __device__ __constant__ float scale[2] = {0.5f, 2};

__device__ double add(double* address, double value) {
  unsigned long long* bits = (unsigned long long*)address;
  unsigned long long old = *bits, assumed;
  do {
    assumed = old;
    old = atomicCAS(bits, assumed, __double_as_longlong(value + __longlong_as_double(assumed)));
  } while (assumed != old);
  return __longlong_as_double(old);
}

__global__ void count(int* lock, int* by_global_lock, int* by_shared_lock, double* sum) {
  __shared__ int shared_lock, in_block;
  if (threadIdx.x == 0) shared_lock = in_block = 0;
  __syncthreads();
  while (atomicCAS(&mutex, 0, 1) != 0) {
  }
  __threadfence();
  by_lock += 1;
  __threadfence();
  atomicExch(&mutex, 0);

  for (bool done = false; !done;) {
    if (atomicCAS(lock, 0, 1) != 0) continue;
    __threadfence();
    *by_global_lock += 1;
    __threadfence();
    atomicExch(lock, 0);
    done = true;
  }

  while (atomicCAS(&shared_lock, 0, 1) != 0) {
  }
  __threadfence_block();
  in_block++;
  __threadfence_block();
  atomicExch(&shared_lock, 0);
  __syncthreads();
  if (threadIdx.x == 0) by_shared_lock[blockIdx.x] = in_block;
  add(sum, scale[0] * digits[2] * matrix[1][1]);
}

__global__ void push(Node* nodes) {
  Node* node = &nodes[blockIdx.x * blockDim.x + threadIdx.x];
  node->value = 1;
  Node *old = head, *assumed;
  do {
    assumed = old;
    node->next = assumed;
    __threadfence();
    old = (Node*)atomicCAS((unsigned long long*)&head, (unsigned long long)assumed, (unsigned long long)node);
  } while (old != assumed);
}

__global__ void length(int* result) {
  *result = 0;
  for (Node* node = head; node != nullptr; node = node->next) *result += node->value;
}

int main() {
  constexpr int kBlocks = 3, kThreads = 64, kCount = kBlocks * kThreads;
  int *ints, by_variable, results[8];
  double *d_sum, sum;
  Node* nodes;
  CHECK(cudaMalloc(&ints, sizeof results));
  CHECK(cudaMemset(ints, 0, sizeof results));
  CHECK(cudaMalloc(&d_sum, sizeof sum));
  CHECK(cudaMemset(d_sum, 0, sizeof sum));
  CHECK(cudaMalloc(&nodes, kCount * sizeof(Node)));
  count<<<kBlocks, kThreads>>>(ints, ints + 1, ints + 2, d_sum);
  push<<<kBlocks, kThreads>>>(nodes);
  length<<<1, 1>>>(ints + 5);
  CHECK(cudaMemcpy(results, ints, sizeof results, cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpy(&sum, d_sum, sizeof sum, cudaMemcpyDeviceToHost));
  CHECK(cudaMemcpyFromSymbol(&by_variable, by_lock, sizeof by_variable));
  expect_near(by_variable, kCount, 0, "by a lock in a variable", 0);
  expect_near(results[1], kCount, 0, "by a lock in global memory", 0);
  for (int block = 0; block < kBlocks; ++block)
    expect_near(results[2 + block], kThreads, 0, "by a lock in shared memory", block);
  expect_near(results[5], kCount, 0, "length of the list", 0);
  expect_near(sum, 8.0 * kCount, 0, "sum", 0);
}

// SPDX-License-Identifier: MIT
// Two streams with copies that overlap kernels, an event between them, and memory in stream order.
#include "check.h"

__global__ void add(float* x, float value, int n) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) x[i] += value;
}

void CUDART_CB count_call(void* calls) { ++*static_cast<int*>(calls); }

int main() {
  const int n = 1000;
  float *host[2], *device[2], *temporary;
  cudaStream_t streams[2];
  cudaEvent_t done;
  CHECK(cudaEventCreateWithFlags(&done, cudaEventDisableTiming));
  for (int s = 0; s < 2; ++s) {
    CHECK(cudaStreamCreate(&streams[s]));
    CHECK(cudaHostAlloc((void**)&host[s], n * sizeof(float), cudaHostAllocDefault));
    CHECK(cudaMalloc(&device[s], n * sizeof(float)));
    for (int i = 0; i < n; ++i) host[s][i] = (float)(s * n + i);
    CHECK(cudaMemcpyAsync(device[s], host[s], n * sizeof(float), cudaMemcpyHostToDevice, streams[s]));
    add<<<(n + 127) / 128, 128, 0, streams[s]>>>(device[s], 0.5f, n);
  }
  CHECK(cudaEventRecord(done, streams[0]));
  CHECK(cudaStreamWaitEvent(streams[1], done, 0));
  CHECK(cudaMallocAsync(&temporary, n * sizeof(float), streams[1]));
  CHECK(cudaMemcpyAsync(temporary, device[0], n * sizeof(float), cudaMemcpyDeviceToDevice, streams[1]));
  add<<<(n + 127) / 128, 128, 0, streams[1]>>>(temporary, 1.0f, n);
  CHECK(cudaMemcpyAsync(host[0], temporary, n * sizeof(float), cudaMemcpyDeviceToHost, streams[1]));
  CHECK(cudaMemcpyAsync(host[1], device[1], n * sizeof(float), cudaMemcpyDeviceToHost, streams[1]));
  CHECK(cudaFreeAsync(temporary, streams[1]));
  int calls = 0;
  CHECK(cudaLaunchHostFunc(streams[1], count_call, &calls));
  for (cudaStream_t stream : streams) CHECK(cudaStreamSynchronize(stream));
  expect_near(calls, 1, 0, "calls", 0);
  for (int i = 0; i < n; ++i) {
    expect_near(host[0][i], i + 1.5, 0, "first", i);
    expect_near(host[1][i], n + i + 0.5, 0, "second", i);
  }
  for (int s = 0; s < 2; ++s) {
    CHECK(cudaStreamDestroy(streams[s]));
    CHECK(cudaFreeHost(host[s]));
    CHECK(cudaFree(device[s]));
  }
  CHECK(cudaEventDestroy(done));
}

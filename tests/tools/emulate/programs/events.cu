// SPDX-License-Identifier: MIT
// Events: the order of two streams, a query, the time between two events, and a graph that is launched twice.
#include "check.h"

__global__ void multiply(float* x, float by) { x[threadIdx.x] *= by; }
__global__ void add(float* x, float value) { x[threadIdx.x] += value; }

int main() {
  float host[64], *x, milliseconds = -1;
  cudaStream_t first, second;
  cudaEvent_t begin, end;
  CHECK(cudaStreamCreate(&first));
  CHECK(cudaStreamCreateWithFlags(&second, cudaStreamNonBlocking));
  CHECK(cudaEventCreate(&begin));
  CHECK(cudaEventCreate(&end));
  CHECK(cudaMalloc(&x, sizeof host));
  for (int i = 0; i < 64; ++i) host[i] = (float)i;
  CHECK(cudaMemcpyAsync(x, host, sizeof host, cudaMemcpyHostToDevice, first));
  CHECK(cudaEventRecord(begin, first));
  multiply<<<1, 64, 0, first>>>(x, 2.0f);
  CHECK(cudaEventRecord(end, first));
  CHECK(cudaStreamWaitEvent(second, end, 0));
  add<<<1, 64, 0, second>>>(x, 1.0f);
  CHECK(cudaStreamSynchronize(second));
  CHECK(cudaEventQuery(end));
  CHECK(cudaEventElapsedTime(&milliseconds, begin, end));
  if (milliseconds < 0) return 4;

  cudaGraph_t graph;
  cudaGraphExec_t executable;
  CHECK(cudaStreamBeginCapture(first, cudaStreamCaptureModeGlobal));
  add<<<1, 64, 0, first>>>(x, 1.0f);
  multiply<<<1, 64, 0, first>>>(x, 3.0f);
  CHECK(cudaStreamEndCapture(first, &graph));
  CHECK(cudaGraphInstantiate(&executable, graph, 0));
  for (int i = 0; i < 2; ++i) CHECK(cudaGraphLaunch(executable, first));
  CHECK(cudaMemcpyAsync(host, x, sizeof host, cudaMemcpyDeviceToHost, first));
  CHECK(cudaStreamSynchronize(first));
  for (int i = 0; i < 64; ++i) expect_near(host[i], ((2 * i + 1 + 1) * 3 + 1) * 3, 0, "x", i);
  CHECK(cudaGraphExecDestroy(executable));
  CHECK(cudaGraphDestroy(graph));
  CHECK(cudaEventDestroy(begin));
  CHECK(cudaEventDestroy(end));
}

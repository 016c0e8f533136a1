// SPDX-License-Identifier: MIT
// Managed memory: a linked list that the host builds and a kernel walks, and a variable of the device.
#include "check.h"

struct Node {
  int value;
  Node* next;
};

__managed__ int visits;

__global__ void sum(const Node* head, int* result) {
  int total = 0;
  for (const Node* node = head; node != nullptr; node = node->next) {
    total += node->value;
    ++visits;
  }
  *result = total;
}

int main() {
  const int n = 20;
  Node* nodes;
  int* result;
  CHECK(cudaMallocManaged(&nodes, n * sizeof(Node)));
  CHECK(cudaMallocManaged(&result, sizeof(int)));
  int expected = 0;
  for (int i = 0; i < n; ++i) {
    nodes[i].value = 3 * i + 1;
    nodes[i].next = i + 1 < n ? &nodes[i + 1] : nullptr;
    expected += nodes[i].value;
  }
  CHECK(cudaMemPrefetchAsync(nodes, n * sizeof(Node), 0));
  sum<<<1, 1>>>(nodes, result);
  CHECK(cudaDeviceSynchronize());
  expect_near(*result, expected, 0, "sum", 0);
  expect_near(visits, n, 0, "visits", 0);
  CHECK(cudaFree(nodes));
  CHECK(cudaFree(result));
}

// SPDX-License-Identifier: MIT
// Statistics of the gradients of two layers in C: a weight that always moves the same way, and one that swings.
#include <gradamp_statistics.h>
#include <stdio.h>
#include <stdlib.h>

static void check(gradamp_status status) {
  if (status == GRADAMP_OK) return;
  fprintf(stderr, "%s\n", gradamp_statistics_last_error());
  exit(1);
}

int main(void) {
  // Two layers: a matrix of 4 x 8 with its bias, and a vector.
  const gradamp_tensor tensors[] = {{32, 4, 0, 0}, {4, 4, 0, 0}, {16, 16, 1, 0}};
  float weight[32], bias[4], vector[16];
  const void* gradients[] = {weight, bias, vector};
  gradamp_statistics* statistics;
  check(gradamp_statistics_create(tensors, 3, NULL, &statistics));

  for (int step = 0; step < 10; ++step) {
    for (int i = 0; i < 32; ++i) weight[i] = 0.25f;
    for (int i = 0; i < 4; ++i) bias[i] = -0.5f;
    for (int i = 0; i < 16; ++i) vector[i] = step % 2 == 0 ? 1.0f : -0.5f;
    check(gradamp_statistics_accumulate(statistics, gradients, NULL));
  }

  gradamp_layer_measures layers[2];
  const gradamp_selection selection = {GRADAMP_G_PRIME, 0, 0.7, 2.0f};
  float factors[2];
  check(gradamp_statistics_measure(statistics, layers));
  check(gradamp_select(layers, 2, &selection, factors));
  for (int l = 0; l < 2; ++l)
    printf("layer %d: G %.4f, G' %.4f, factor %g\n", l, layers[l].g, layers[l].g_prime, factors[l]);
  gradamp_statistics_destroy(statistics);
  return 0;
}

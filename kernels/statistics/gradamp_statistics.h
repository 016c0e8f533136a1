// SPDX-License-Identifier: MIT
// gradamp::statistics: per-layer statistics of gradients, and the selection and amplification of layers by them
// ("intelligent gradient amplification", arXiv:2305.18445, [IGA]), for any framework. A C library without dependencies.
//
// For every gradient g of m iterations two sums are kept, S = sum of g and A = sum of |g|. From them, per layer:
//
//     G = sum |S| / sum A                  ([IGA] eq. 4; 0 if the denominator is 0)
//     G' = mean of |S| / A                 ([IGA] eq. 7; 0 / 0 counts as 0)
//     normalized: (value - mean) / population standard deviation, over the layers; 0 if all are equal
//
// Usage:
//
//     gradamp_tensor tensors[] = {{64 * 27, 64, 0}, {64, 64, 0}, {10 * 64, 10, 1}, {10, 10, 1}};
//     gradamp_statistics* statistics;
//     gradamp_statistics_create(tensors, 4, NULL, &statistics);
//     for each batch: gradamp_statistics_accumulate(statistics, gradients, NULL);
//     gradamp_statistics_measure(statistics, measures);
//
// Results have the same bits on every run, with any number of threads and any instruction set. GRADAMP_ISA in the
// environment (sse4, avx2, avx512, avx512bf16, neon) names one when an object is made; otherwise it uses the best. On a
// GPU the order of the sums over a layer, or a neuron, is another: the sums per weight are the same bits.
//
// Threads: one thread at a time may use an object; different objects can be used at the same time. Calls use several
// threads and return when the work is done. After a fork the child may use them. With CUDA calls go to the object's
// stream: accumulate, scale and reset return before they are done, the others wait for the stream.
// Ownership: the library copies what it needs; it keeps no pointer of the caller's beyond a call.
// Errors: functions return a gradamp_status, and change nothing if it is not GRADAMP_OK; gradamp_statistics_last_error
// says why. No exception leaves the library.
#pragma once

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define GRADAMP_PUBLIC __attribute__((visibility("default")))
#else
#define GRADAMP_PUBLIC
#endif

typedef enum gradamp_status {
  GRADAMP_OK = 0,
  GRADAMP_INVALID_ARGUMENT = 1,
  GRADAMP_OUT_OF_MEMORY = 2,
  GRADAMP_FAILED = 3
} gradamp_status;

/// Types of gradients.
enum { GRADAMP_F32 = 0, GRADAMP_BF16 = 1, GRADAMP_F16 = 2 };
/// Devices: where the gradients and the sums are.
enum { GRADAMP_CPU = 0, GRADAMP_CUDA = 1 };
/// Measures that layers can be selected by.
enum { GRADAMP_G = 0, GRADAMP_G_PRIME = 1 };

/// A gradient's tensor, contiguous. A layer is what is measured and amplified as one: a module with its weight and
/// bias. Its tensors need not follow each other. Layers are numbered from 0 without gaps.
typedef struct gradamp_tensor {
  int64_t count;  // elements, at least 1
  int64_t rows;   // output channels or units: the first extent; divides `count`. For a vector its count.
  int32_t layer;
  int32_t reserved;  // 0
} gradamp_tensor;

typedef struct gradamp_statistics_options {
  /// 0: sums per weight. 1: per neuron, whose gradient is the sum of those of the weights that lead into it. Tensors of
  /// one layer with equally many rows have the same neurons, as a weight and its bias.
  int32_t by_neuron;
  int32_t threads;  // of the CPU; 0: as many as there are processors
  int32_t device;   // GRADAMP_CPU or GRADAMP_CUDA
  int32_t ordinal;  // of the CUDA device, as cudaSetDevice counts them; on the CPU 0
} gradamp_statistics_options;

/// The measures of one layer over the m iterations since the last reset; zeros before the first one.
typedef struct gradamp_layer_measures {
  double g, g_prime, normalized_g, normalized_g_prime;
  double l1;              // mean over the iterations of sum |g|
  double l2;              // root of the mean over the iterations of sum g^2
  double maximum;         // largest |g|
  double mean;            // of all gradients
  double zeros;           // share of the gradients that were 0
  double sign_agreement;  // share of the weights (neurons) with a gradient, of which no two had unlike signs
  int64_t count;          // n, elements (neurons)
  int64_t not_finite;     // gradients that were infinite or NaN; they are in no other number
} gradamp_layer_measures;

typedef struct gradamp_selection {
  int32_t measure;    // GRADAMP_G or GRADAMP_G_PRIME
  int32_t two_sided;  // 0: case 1, normalized > threshold. 1: case 2, |normalized| > threshold ([IGA] 3.6)
  double threshold;
  float factor;  // of the selected layers
} gradamp_selection;

typedef struct gradamp_statistics gradamp_statistics;

/// Makes the statistics of these tensors, with sums of 0. `options`: NULL for zeros.
GRADAMP_PUBLIC gradamp_status gradamp_statistics_create(const gradamp_tensor* tensors, int32_t tensor_count,
                                                        const gradamp_statistics_options* options,
                                                        gradamp_statistics** statistics);
/// Frees everything. NULL is allowed.
GRADAMP_PUBLIC void gradamp_statistics_destroy(gradamp_statistics* statistics);

/// Number of layers and of iterations since the last reset.
GRADAMP_PUBLIC int32_t gradamp_statistics_layers(const gradamp_statistics* statistics);
GRADAMP_PUBLIC int64_t gradamp_statistics_iterations(const gradamp_statistics* statistics);

/// Whether the library was built with CUDA: 0 or 1. There may be no GPU all the same.
GRADAMP_PUBLIC int32_t gradamp_statistics_has_cuda(void);
/// The CUDA stream (cudaStream_t) of all later calls; NULL, which it is at first: the default stream. It waits for the
/// stream before it, which must still exist. INVALID_ARGUMENT on the CPU, but for NULL.
GRADAMP_PUBLIC gradamp_status gradamp_statistics_set_stream(gradamp_statistics* statistics, void* stream);

/// Adds an iteration: gradients[i] is that of tensor i, or NULL if it received none in this iteration, which counts as
/// zeros. types[i]: its type; NULL: all are GRADAMP_F32. In one pass over the gradients. With CUDA the addresses are
/// those of the device's memory, and it returns before it is done: one launch, and before it a copy of the addresses
/// unless they are the last call's.
GRADAMP_PUBLIC gradamp_status gradamp_statistics_accumulate(gradamp_statistics* statistics,
                                                            const void* const* gradients, const int32_t* types);
/// Writes the measures of every layer.
GRADAMP_PUBLIC gradamp_status gradamp_statistics_measure(const gradamp_statistics* statistics,
                                                         gradamp_layer_measures* layers);
/// The value that G and G' would have about, were gradients independent, symmetric and Gaussian: 1 / sqrt(m). NaN
/// before the first iteration.
GRADAMP_PUBLIC double gradamp_statistics_noise_floor(const gradamp_statistics* statistics);
/// Sets all sums to 0.
GRADAMP_PUBLIC gradamp_status gradamp_statistics_reset(gradamp_statistics* statistics);

/// factors[l] = selection->factor if layer l is selected, else 1. `layers` are the measures of `layer_count` layers.
GRADAMP_PUBLIC gradamp_status gradamp_select(const gradamp_layer_measures* layers, int32_t layer_count,
                                             const gradamp_selection* selection, float* factors);
/// factors[l] = factor for `drawn` of the layers, drawn at random (arXiv:2006.10560), else 1: a function of the other
/// arguments alone, and the one of the engine.
GRADAMP_PUBLIC gradamp_status gradamp_select_random(int32_t layer_count, int32_t drawn, uint64_t seed, int32_t epoch,
                                                    float factor, float* factors);
/// Multiplies every gradient by the factor of its layer, in place. Gradients of factor 1, and NULL, are not touched.
GRADAMP_PUBLIC gradamp_status gradamp_statistics_scale(gradamp_statistics* statistics, void* const* gradients,
                                                       const int32_t* types, const float* factors);

/// The whole state as bytes, of one machine's byte order: its size, a copy of it, and its restoration into statistics
/// of the same tensors and granularity, to the bit. `size` must be the state's.
GRADAMP_PUBLIC size_t gradamp_statistics_state_size(const gradamp_statistics* statistics);
GRADAMP_PUBLIC gradamp_status gradamp_statistics_save(const gradamp_statistics* statistics, void* state, size_t size);
GRADAMP_PUBLIC gradamp_status gradamp_statistics_restore(gradamp_statistics* statistics, const void* state,
                                                         size_t size);

/// Why the last call of this thread failed: what was expected and what came. Empty if none did. Valid until the next
/// failure in this thread.
GRADAMP_PUBLIC const char* gradamp_statistics_last_error(void);
/// "0.2.0"
GRADAMP_PUBLIC const char* gradamp_statistics_version(void);

#ifdef __cplusplus
}
#endif

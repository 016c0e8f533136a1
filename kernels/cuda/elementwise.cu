// SPDX-License-Identifier: MIT
// Elementwise operations. One kernel serves all of them, with one function object per operation.
#include "gradamp/kernels/cuda/elementwise.h"

#include "gradamp/core/philox.h"
#include "gradamp/kernels/cuda/dispatch.h"
#include "gradamp/kernels/cuda/vector.h"

namespace gradamp::GRADAMP_GPU {
namespace {

constexpr int kThreads = 256;

/// y[i] = f(inputs[i]...), N elements per thread. If the last thread has fewer than N, it processes them one by one.
template <int N, typename Function, typename Out, typename... In>
__global__ void __launch_bounds__(kThreads) map(Function f, std::int64_t count, Out* y, const In*... inputs) {
  const std::int64_t first = (std::int64_t{blockIdx.x} * kThreads + threadIdx.x) * N;
  if (first + N <= count) {
    float result[N];
    f.template apply<N>(result, (inputs + first)...);
    store<N>(y + first, result);
    return;
  }
#pragma unroll 1
  for (std::int64_t i = first; i < count; ++i) {
    float result[1];
    f.template apply<1>(result, (inputs + i)...);
    store<1>(y + i, result);
  }
}

/// Turns a function of single elements (one or two inputs) into a function of N elements per input.
template <typename F>
struct Each {
  F f;
  template <int N, typename A>
  __device__ void apply(float (&result)[N], const A* a) const {
    float x[N];
    load<N>(a, x);
#pragma unroll
    for (int i = 0; i < N; ++i) result[i] = f(x[i]);
  }
  template <int N, typename A, typename B>
  __device__ void apply(float (&result)[N], const A* a, const B* b) const {
    float x[N], y[N];
    load<N>(a, x);
    load<N>(b, y);
#pragma unroll
    for (int i = 0; i < N; ++i) result[i] = f(x[i], y[i]);
  }
};

struct Relu {
  __device__ float operator()(float x) const { return x < 0.0f ? 0.0f : x; }
};
struct ReluBackward {
  __device__ float operator()(float grad_y, float y) const { return y > 0.0f ? grad_y : 0.0f; }
};
struct Add {
  __device__ float operator()(float a, float b) const { return a + b; }
};
struct Mul {
  __device__ float operator()(float a, float b) const { return a * b; }
};
template <typename Function>
struct Value {
  __device__ float operator()(float x) const { return Function::value(x); }
};
template <typename Function>
struct ValueBackward {
  __device__ float operator()(float grad_y, float x) const { return Function::derivative(x) * grad_y; }
};
struct Scale {
  const float* factor;
  __device__ float operator()(float x) const { return __ldg(factor) * x; }
};
struct Identity {
  __device__ float operator()(float x) const { return x; }
};

template <typename F, typename Out, typename... In>
void launch_map(cudaStream_t stream, std::int64_t count, F f, Out* y, const In*... inputs) {
  if (count == 0) return;
  // If the types differ or a tensor is not aligned to 16 bytes, each thread processes only one element.
  constexpr bool kOneType = ((sizeof(In) == sizeof(Out)) && ...);
  const bool aligned = is_vector_aligned(y) && (is_vector_aligned(inputs) && ...);
  const auto blocks = [&](std::int64_t width) {
    return static_cast<unsigned>((count + width * kThreads - 1) / (width * kThreads));
  };
  if constexpr (kOneType) {
    if (aligned) {
      constexpr int N = kVector<Out>;
      launch(map<N, Each<F>, Out, In...>, {blocks(N), kThreads, 0, stream}, Each<F>{f}, count, y, inputs...);
      return;
    }
  }
  launch(map<1, Each<F>, Out, In...>, {blocks(1), kThreads, 0, stream}, Each<F>{f}, count, y, inputs...);
}

__global__ void __launch_bounds__(kThreads) fill_kernel(std::int64_t count, float value, float* y) {
  const std::int64_t i = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (i < count) y[i] = value;
}

/// Each thread processes four elements, because one Philox block has four random words.
template <typename T>
__global__ void __launch_bounds__(kThreads)
    dropout_kernel(std::int64_t count, DropoutParams params, const std::int64_t* counters, const T* x, T* y) {
  const std::int64_t quad = std::int64_t{blockIdx.x} * kThreads + threadIdx.x;
  if (quad * 4 >= count) return;
  const auto first_block = static_cast<std::uint64_t>(counters[kStep]) << 32;
  const PhiloxBlock random = philox(static_cast<std::uint64_t>(counters[kSeed]), RandomStream::kDropout,
                                    params.substream, first_block + static_cast<std::uint64_t>(quad));
  const float kept = 1.0f / (1.0f - params.probability);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const std::int64_t at = quad * 4 + i;
    if (at >= count) break;
    const bool dropped = uniform_float(random.word[i]) < params.probability;
    y[at] = from_float<T>(dropped ? 0.0f : to_float(x[at]) * kept);
  }
}

}  // namespace

void launch_relu(cudaStream_t stream, DType type, std::int64_t count, const void* x, void* y) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch_map(stream, count, Relu{}, static_cast<T*>(y), static_cast<const T*>(x));
  });
}

void launch_relu_backward(cudaStream_t stream, DType type, std::int64_t count, const void* grad_y, const void* y,
                          void* grad_x) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch_map(stream, count, ReluBackward{}, static_cast<T*>(grad_x), static_cast<const T*>(grad_y),
               static_cast<const T*>(y));
  });
}

void launch_add(cudaStream_t stream, DType type, std::int64_t count, const void* a, const void* b, void* sum) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch_map(stream, count, Add{}, static_cast<T*>(sum), static_cast<const T*>(a), static_cast<const T*>(b));
  });
}

void launch_mul(cudaStream_t stream, DType type, std::int64_t count, const void* a, const void* b, void* product) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch_map(stream, count, Mul{}, static_cast<T*>(product), static_cast<const T*>(a), static_cast<const T*>(b));
  });
}

void launch_unary(cudaStream_t stream, UnaryFunction function, DType type, std::int64_t count, const void* x, void* y) {
  with_function(function, [&](auto f) {
    with_type(type, [&](auto zero) {
      using T = decltype(zero);
      launch_map(stream, count, Value<decltype(f)>{}, static_cast<T*>(y), static_cast<const T*>(x));
    });
  });
}

void launch_unary_backward(cudaStream_t stream, UnaryFunction function, DType type, std::int64_t count,
                           const void* grad_y, const void* x, void* grad_x) {
  with_function(function, [&](auto f) {
    with_type(type, [&](auto zero) {
      using T = decltype(zero);
      launch_map(stream, count, ValueBackward<decltype(f)>{}, static_cast<T*>(grad_x), static_cast<const T*>(grad_y),
                 static_cast<const T*>(x));
    });
  });
}

void launch_scale(cudaStream_t stream, DType type, std::int64_t count, const void* x, const float* factor, void* y) {
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch_map(stream, count, Scale{factor}, static_cast<T*>(y), static_cast<const T*>(x));
  });
}

void launch_cast(cudaStream_t stream, DType from, DType to, std::int64_t count, const void* x, void* y) {
  with_type(from, [&](auto in) {
    with_type(to, [&](auto out) {
      launch_map(stream, count, Identity{}, static_cast<decltype(out)*>(y), static_cast<const decltype(in)*>(x));
    });
  });
}

void launch_fill(cudaStream_t stream, std::int64_t count, float value, float* y) {
  if (count == 0) return;
  launch(fill_kernel, {static_cast<unsigned>((count + kThreads - 1) / kThreads), kThreads, 0, stream}, count, value, y);
}

void launch_dropout(cudaStream_t stream, DType type, std::int64_t count, const DropoutParams& params,
                    const std::int64_t* counters, const void* x, void* y) {
  if (count == 0) return;
  const auto blocks = static_cast<unsigned>((count + 4 * kThreads - 1) / (4 * kThreads));
  with_type(type, [&](auto zero) {
    using T = decltype(zero);
    launch(dropout_kernel<T>, {blocks, kThreads, 0, stream}, count, params, counters, static_cast<const T*>(x),
           static_cast<T*>(y));
  });
}

}  // namespace gradamp::GRADAMP_GPU

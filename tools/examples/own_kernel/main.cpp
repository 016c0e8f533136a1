// SPDX-License-Identifier: MIT
// Your own operation with a CUDA kernel, which the emulator runs if there is no GPU.
#include <cstdio>
#include <vector>

#include <gradamp/core/autograd.h>
#include <gradamp/kernels/backends.h>

#include "scaled.h"

using namespace gradamp;

/// y = a x + b; x f32 on the device emulated, or cuda if the project has the language CUDA.
Variable scaled(const Variable& x, float a, float b) {
  const auto launch = [](const Tensor& in, float factor, float summand, const Tensor& out) {
    Backend& backend = in.backend();
    auto* function = own::emulated::scaled;
#ifdef OWN_KERNELS_CUDA
    if (backend.device().kind == DeviceKind::kCuda) function = own::cuda::scaled;
#endif
    function(backend.native_stream(), out.count(), factor, in.data<float>(), summand, out.data<float>());
  };
  const Tensor y = Tensor::empty(x.backend(), x.shape());
  launch(x.value(), a, b, y);
  return make_result(y, {x}, [x, a, launch](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& grad_x) { launch(grad_y, a, 0.0f, grad_x); });
  });
}

int main(int argc, char** argv) {
  const auto backend = make_backend(parse_device(argc > 1 ? argv[1] : "emulated"));
  const Tensor twos = Tensor::from_host(*backend, {1000}, std::vector<float>(1000, 2.0f));
  const Variable x = Variable::parameter(twos, Tensor::zeros(*backend, {1000}));
  const Variable y = scaled(x, 3.0f, 1.0f);
  y.backward(twos);  // the gradient of the sum of 2 y
  const float result = y.value().to_host<float>()[999], gradient = x.grad().to_host<float>()[999];
  std::printf("y = %g, gradient = %g\n", result, gradient);
  return result == 7.0f && gradient == 6.0f ? 0 : 1;
}

// SPDX-License-Identifier: MIT
// The engine as a library: your own data, operation, layer and training loop, in float32 on the CPU.
#include <cmath>
#include <cstdio>

#include <gradamp/core/operations.h>
#include <gradamp/kernels/backends.h>
#include <gradamp/layers/initialization.h>
#include <gradamp/layers/layers.h>
#include <gradamp/optim/training/trainer.h>

using namespace gradamp;

/// y = x sigmoid(x), computed on the host: only the CPU backend's memory is the host's. (S. Elfwing et al.,
/// "Sigmoid-weighted linear units", 2018)
Variable silu(const Variable& x) {
  check(x.backend().device().kind == DeviceKind::kCpu, "silu: expected the device cpu");
  const Tensor y = Tensor::empty(x.backend(), x.shape());
  const auto sigmoid = [](float value) { return 1.0f / (1.0f + std::exp(-value)); };
  for (std::int64_t i = 0; i < y.count(); ++i) {
    const float value = x.value().data<float>()[i];
    y.data<float>()[i] = value * sigmoid(value);
  }
  return make_result(y, {x}, [x, sigmoid](const Tensor& grad_y) {
    x.receive_grad_from([&](const Tensor& grad_x) {
      for (std::int64_t i = 0; i < grad_x.count(); ++i) {
        const float value = x.value().data<float>()[i], s = sigmoid(value);
        grad_x.data<float>()[i] = grad_y.data<float>()[i] * (s + value * s * (1.0f - s));
      }
    });
  });
}

class SiLU : public Module {
 public:
  Variable forward(const Variable& x, Mode) override { return silu(x); }
};

/// 32x32 images of noise, with one bright quarter, which is the label.
Dataset quarters(const char* split, std::int64_t count) {
  Dataset data{"quarters", split, count, 4, {}, {}, {"top left", "top right", "bottom left", "bottom right"}};
  std::uint32_t random = split[1];  // "train" and "test" differ
  for (std::int64_t i = 0; i < count; ++i) {
    const int label = static_cast<int>(i % 4);
    data.labels.push_back(label);
    for (int y = 0; y < 32; ++y)
      for (int x = 0; x < 32; ++x)
        for (int c = 0; c < 3; ++c) {
          random = random * 1664525u + 1013904223u;
          const bool bright = (y >= 16) == (label >= 2) && (x >= 16) == (label % 2 == 1);
          data.images.push_back(static_cast<std::uint8_t>((random >> 25) + (bright ? 64 : 0)));
        }
  }
  return data;
}

int main() {
  const auto backend = make_backend(Device{DeviceKind::kCpu});
  const StepState state = make_step_state(*backend, /*seed=*/1);
  Sequential network;
  network.append(std::make_shared<Conv2d>(*backend, 3, 8, 3, Conv2dParams{2, 1}));
  network.append(std::make_shared<BatchNorm>(*backend, 8));
  network.append(std::make_shared<SiLU>());
  network.append(std::make_shared<MaxPool2d>(Pool2dParams{8, 8}));
  network.append(std::make_shared<Flatten>());
  network.append(std::make_shared<Linear>(*backend, 8 * 2 * 2, 4));
  initialize(network, Initialization::kPyTorch, /*seed=*/1);

  TrainerOptions options;
  options.batch_size = 32;
  options.optimizer.strategy = parse_strategy("2:0.05, 4:0.05:2, 5:0.01");  // epoch 3 is analyzed, epoch 4 amplified
  TrainerCallbacks callbacks;
  callbacks.on_epoch = [](const EpochSummary& epoch) {
    std::printf("epoch %d of %d: loss %.4f, test accuracy %.1f%%\n", epoch.epoch, epoch.epochs, epoch.train_loss,
                100 * epoch.test_accuracy);
  };
  callbacks.on_selection = [](const SelectionSummary& selection) {
    for (const LayerReport& layer : selection.layers)
      std::printf("  layer %s: G' %.3f%s\n", layer.name.c_str(), layer.g_prime.value_or(0),
                  layer.selected ? ", amplified" : "");
  };
  Augmentation none;
  none.enabled = false;
  Trainer trainer(network, state, upload_training_data(*backend, quarters("train", 512), quarters("test", 128), none),
                  options, callbacks);
  trainer.run(3);
  trainer.save("own_loop.safetensors");  // PyTorch's safetensors can read it, too
  trainer.load("own_loop.safetensors");
  trainer.run();
  return trainer.evaluate().accuracy > 0.95 ? 0 : 1;
}

// SPDX-License-Identifier: MIT
// Your own network in the whole program: training, sweeps, resumption and reports.
//   ./own_network train --network small --epochs 3
#include <gradamp/core/operations.h>
#include <gradamp/layers/layers.h>
#include <gradamp/nets/networks.h>
#include <gradamp/tools/program/run_program.h>

using namespace gradamp;

/// Three 3x3 convolutions with batch norm, the second and third with stride 2; (N, H, W, C) to (N, classes).
class SmallNetwork : public Module {
 public:
  SmallNetwork(Backend& backend, const NetworkOptions& options) {
    for (const std::int64_t channels : {16, 32, 64}) {
      const std::int64_t before = channels == 16 ? options.in_channels : channels / 2;
      features_->append(
          std::make_shared<Conv2d>(backend, before, channels, 3, Conv2dParams{channels == 16 ? 1 : 2, 1}));
      features_->append(std::make_shared<BatchNorm>(backend, channels));
      features_->append(std::make_shared<ReLU>());
    }
    classifier_ = add_module("classifier", std::make_shared<Linear>(backend, 64, options.classes));
  }
  Variable forward(const Variable& x, Mode mode) override {
    return classifier_->forward(global_avg_pool(features_->forward(x, mode)), mode);
  }

 private:
  std::shared_ptr<Sequential> features_ = add_module("features", std::make_shared<Sequential>());
  std::shared_ptr<Linear> classifier_;
};

int main(int argc, char** argv) {
  register_network(
      {"small", "three convolutions, 24 thousand parameters"},
      [](Backend& backend, const NetworkOptions& options) { return std::make_shared<SmallNetwork>(backend, options); });
  return run_program(argc, argv);
}

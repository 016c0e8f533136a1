// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/predictor.h"

#include <algorithm>
#include <cmath>

#include "gradamp/core/error.h"
#include "gradamp/data/device_dataset.h"
#include "gradamp/optim/training/checkpoint.h"
#include "gradamp/optim/training/evaluator.h"
#include "gradamp/tools/run/run_backend.h"
#include "gradamp/tools/run/training_data.h"

namespace gradamp {
namespace {

/// e^x / (sum of e^x) over each row of `outputs` (rows, classes).
std::vector<double> softmax_rows(const std::vector<float>& outputs, std::size_t classes) {
  std::vector<double> probabilities(outputs.begin(), outputs.end());
  for (std::size_t begin = 0; begin < outputs.size(); begin += classes) {
    const std::span row = std::span(probabilities).subspan(begin, classes);
    const double largest = *std::max_element(row.begin(), row.end());
    double sum = 0;
    for (double& value : row) sum += value = std::exp(value - largest);
    for (double& value : row) value /= sum;
  }
  return probabilities;
}

}  // namespace

Predictor::Predictor(const RunSettings& settings, const std::filesystem::path& weights) : settings_(settings) {
  const Dataset train = load_training_images(settings);
  check(train.pixel_type() == DType::kU8 && (train.channels == 1 || train.channels == 3),
        "predict: expected a run on images of bytes with 1 or 3 channels, as image files have them, got {} with {} "
        "channels in the dataset {}",
        name_of(train.pixel_type()), train.channels, settings.dataset);
  first_ = first_images(train, 1);
  normalization_ = normalization(train);
  backend_ = make_run_backend(settings, notes_);
  network_ = make_run_network(*backend_, settings, upload(*backend_, first_), make_step_state(*backend_, 0));
  load_weights(weights, *network_, real_file_system());
}

std::vector<double> Predictor::probabilities(std::span<const float> images) const {
  Dataset dataset = first_;
  dataset.images.clear();
  dataset.f32_images.assign(images.begin(), images.end());
  dataset.count = static_cast<std::int64_t>(images.size()) / (height() * width() * channels());
  dataset.labels.assign(static_cast<std::size_t>(dataset.count), 0);
  const DeviceDataset on_device = upload(*backend_, dataset);
  const std::vector<float> outputs =
      Evaluator(*network_, on_device, normalization_, settings_.evaluation_batch).outputs();
  check(std::all_of(outputs.begin(), outputs.end(), [](float value) { return std::isfinite(value); }),
        "predict: the network's outputs are not finite: its training diverged");
  return softmax_rows(outputs, static_cast<std::size_t>(first_.classes));
}

}  // namespace gradamp

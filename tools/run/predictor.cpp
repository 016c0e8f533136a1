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

/// A dataset of a single image, of zeros.
Dataset black_image(const InputFacts& input) {
  Dataset dataset;
  dataset.count = 1;
  dataset.classes = static_cast<int>(input.class_names.size());
  dataset.class_names = input.class_names;
  dataset.labels = {0};
  dataset.height = input.height;
  dataset.width = input.width;
  dataset.channels = input.channels;
  const auto values = static_cast<std::size_t>(input.height * input.width * input.channels);
  if (input.is_bytes) {
    dataset.images.resize(values);
  } else {
    dataset.f32_images.resize(values);
  }
  return dataset;
}

}  // namespace

Predictor::Predictor(const RunSettings& settings, const RunFacts& facts, const std::filesystem::path& weights)
    : settings_(settings) {
  if (facts.input) {
    like_ = black_image(*facts.input);
    normalization_ = gather_params_of(facts.normalization);
  } else {
    const Dataset train = load_training_images(settings);
    like_ = first_images(train, 1);
    normalization_ = normalization(train);
  }
  check(like_.pixel_type() == DType::kU8 && (like_.channels == 1 || like_.channels == 3),
        "predict: expected a run on images of bytes with 1 or 3 channels, as image files have them, got {} with {} "
        "channels in the dataset {}",
        name_of(like_.pixel_type()), like_.channels, settings.dataset);
  backend_ = make_run_backend(settings, notes_);
  network_ = make_run_network(*backend_, settings, upload(*backend_, like_), make_step_state(*backend_, 0));
  load_weights(weights, *network_, real_file_system());
}

std::vector<double> Predictor::probabilities(std::span<const float> images) const {
  Dataset dataset = like_;
  dataset.images.clear();
  dataset.f32_images.assign(images.begin(), images.end());
  dataset.count = static_cast<std::int64_t>(images.size()) / (height() * width() * channels());
  dataset.labels.assign(static_cast<std::size_t>(dataset.count), 0);
  const DeviceDataset on_device = upload(*backend_, dataset);
  const std::vector<float> outputs =
      Evaluator(*network_, on_device, normalization_, settings_.evaluation_batch).outputs();
  check(std::all_of(outputs.begin(), outputs.end(), [](float value) { return std::isfinite(value); }),
        "predict: the network's outputs are not finite: its training diverged");
  return softmax_rows(outputs, static_cast<std::size_t>(like_.classes));
}

}  // namespace gradamp

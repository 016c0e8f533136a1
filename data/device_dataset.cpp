// SPDX-License-Identifier: MIT
#include "gradamp/data/device_dataset.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "gradamp/core/philox.h"

namespace gradamp {
namespace {

/// The divisor that normalizes a channel. The rounding error of an f32 value is up to 6e-8 of its magnitude, so a
/// standard deviation that is not far above that consists of rounding errors. If the deviation is below 1e-30, its
/// reciprocal is near the largest f32 number.
double divisor(double deviation, double mean, DType pixel_type) {
  if (pixel_type == DType::kU8) return std::max(deviation, 1e-3);
  return deviation <= std::max(1e-6 * std::abs(mean), 1e-30) ? 1.0 : deviation;
}

Tensor upload_images(Backend& backend, const Dataset& dataset) {
  if (dataset.pixel_type() == DType::kF32) return Tensor::from_host(backend, dataset.shape(), dataset.f32_images);
  return Tensor::from_host(backend, dataset.shape(), dataset.images);
}

}  // namespace

GatherParams normalization(const Dataset& train) {
  const ChannelStatistics statistics = channel_statistics(train);
  GatherParams params;
  for (std::size_t c = 0; c < static_cast<std::size_t>(train.channels); ++c) {
    params.mean[c] = static_cast<float>(statistics.mean[c]);
    params.inverse_std[c] =
        static_cast<float>(1.0 / divisor(statistics.deviation[c], statistics.mean[c], train.pixel_type()));
  }
  return params;
}

DeviceDataset upload(Backend& backend, const Dataset& dataset) {
  check_dataset(dataset);
  DeviceDataset on_device;
  on_device.description = fmt::format("{} {}, {} images of {}x{}x{}, {} classes", dataset.name, dataset.split,
                                      dataset.count, dataset.height, dataset.width, dataset.channels, dataset.classes);
  on_device.count = dataset.count;
  on_device.classes = dataset.classes;
  on_device.images = upload_images(backend, dataset);
  on_device.labels = Tensor::from_host(backend, {dataset.count}, dataset.labels);
  on_device.class_names = dataset.class_names;
  return on_device;
}

TrainingData upload_training_data(Backend& backend, const Dataset& train, const Dataset& test,
                                  const Augmentation& augmentation, const std::optional<Dataset>& validation) {
  check_dataset(train);
  check_splits_agree(train, test);
  if (validation) check_splits_agree(train, *validation);
  TrainingData data;
  data.test_gather = normalization(train);
  data.train_gather = data.test_gather;
  data.train_gather.augment = augmentation.enabled;
  data.train_gather.padding = augmentation.padding;
  data.train_gather.flip = augmentation.flip;
  data.train_gather.cutout = augmentation.cutout;
  data.train = upload(backend, train);
  data.test = upload(backend, test);
  if (validation) data.validation = upload(backend, *validation);
  return data;
}

void write_order(const Tensor& order, std::uint64_t seed, int epoch) {
  std::vector<std::int32_t> places(static_cast<std::size_t>(order.count()));
  std::iota(places.begin(), places.end(), 0);
  if (epoch > 0) {
    PhiloxSequence random(seed, RandomStream::kOrder, static_cast<std::uint32_t>(epoch));
    for (std::size_t i = places.size(); i > 1; --i)
      std::swap(places[i - 1], places[random.below(static_cast<std::uint32_t>(i))]);
  }
  order.copy_from_host(std::span<const std::int32_t>(places));
}

Tensor make_order(Backend& backend, std::int64_t count, std::uint64_t seed, int epoch) {
  const Tensor order = Tensor::empty(backend, {count}, DType::kI32);
  write_order(order, seed, epoch);
  return order;
}

}  // namespace gradamp

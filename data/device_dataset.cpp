// SPDX-License-Identifier: MIT
#include "gradamp/data/device_dataset.h"

#include <algorithm>
#include <numeric>
#include <span>
#include <utility>
#include <vector>

#include "gradamp/core/philox.h"

namespace gradamp {
namespace {

GatherParams normalization(const ChannelStatistics& statistics) {
  GatherParams params;
  for (std::size_t c = 0; c < 3; ++c) {
    params.mean[c] = static_cast<float>(statistics.mean[c]);
    params.inverse_std[c] = static_cast<float>(1.0 / std::max(statistics.deviation[c], 1e-3));
  }
  return params;
}

}  // namespace

DeviceDataset upload(Backend& backend, const Dataset& dataset) {
  check_dataset(dataset);
  DeviceDataset on_device;
  on_device.description =
      fmt::format("{} {}, {} images, {} classes", dataset.name, dataset.split, dataset.count, dataset.classes);
  on_device.count = dataset.count;
  on_device.classes = dataset.classes;
  on_device.images =
      Tensor::from_host(backend, {dataset.count, kImageSide, kImageSide, kImageChannels}, dataset.images);
  on_device.labels = Tensor::from_host(backend, {dataset.count}, dataset.labels);
  return on_device;
}

TrainingData upload_training_data(Backend& backend, const Dataset& train, const Dataset& test,
                                  const Augmentation& augmentation, const std::optional<Dataset>& validation) {
  const auto check_classes = [&](const Dataset& other) {
    check(other.classes == train.classes, "expected {} images of the {} classes of the {} images, got {} classes",
          other.split, train.classes, train.split, other.classes);
  };
  check_classes(test);
  if (validation) check_classes(*validation);
  TrainingData data;
  data.test_gather = normalization(channel_statistics(train));
  data.train_gather = data.test_gather;
  data.train_gather.augment = augmentation.enabled;
  data.train_gather.padding = augmentation.padding;
  data.train_gather.flip = augmentation.flip;
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

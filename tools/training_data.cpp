// SPDX-License-Identifier: MIT
#include "tools/training_data.h"

#include <algorithm>
#include <numeric>

#include "core/philox.h"
#include "data/catalog.h"
#include "tools/training.h"

namespace gradamp {
namespace {

DeviceDataset upload(Backend& backend, const Dataset& dataset) {
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

Dataset load_split(const RunSettings& settings, const std::string& split) {
  const std::int64_t wanted = split == "train" ? settings.train_images : settings.test_images;
  DatasetChoice choice;
  choice.name = settings.dataset;
  choice.path = settings.data;
  choice.seed = settings.data_seed;
  choice.allow_partial = settings.partial_data;
  (split == "train" ? choice.train_images : choice.test_images) = wanted;
  return load_dataset(choice, split);
}

}  // namespace

TrainingData load_training_data(Backend& backend, const RunSettings& settings) {
  Dataset train = load_split(settings, "train");
  Dataset test;
  if (settings.validation > 0) {
    check(settings.validation < train.count, "--validation: expected fewer than the {} training images, got {}",
          train.count, settings.validation);
    std::tie(train, test) = split_off_last(train, settings.validation);
  } else {
    test = load_split(settings, "test");
  }
  TrainingData data;
  const ChannelStatistics statistics = channel_statistics(train);
  for (std::size_t c = 0; c < 3; ++c) {
    data.test_gather.mean[c] = static_cast<float>(statistics.mean[c]);
    data.test_gather.inverse_std[c] = static_cast<float>(1.0 / std::max(statistics.deviation[c], 1e-3));
  }
  data.train_gather = data.test_gather;
  data.train_gather.augment = settings.augment;
  data.train_gather.padding = settings.crop_padding;
  data.train_gather.flip = settings.flip;
  data.train = upload(backend, train);
  data.test = upload(backend, test);
  return data;
}

StepState make_step_state(Backend& backend, std::uint64_t seed) {
  std::vector<std::int64_t> counters(kStepCounterCount, 0);
  counters[kSeed] = static_cast<std::int64_t>(seed);
  return {Tensor::from_host(backend, {kStepCounterCount}, counters),
          Tensor::zeros(backend, {kStepMetricCount}, DType::kF64), Tensor::zeros(backend, {1})};
}

Tensor make_order(Backend& backend, std::int64_t count, std::uint64_t seed, int epoch) {
  std::vector<std::int32_t> order(static_cast<std::size_t>(count));
  std::iota(order.begin(), order.end(), 0);
  if (epoch > 0) {
    PhiloxSequence random(seed, RandomStream::kOrder, static_cast<std::uint32_t>(epoch));
    for (std::size_t i = order.size(); i > 1; --i)
      std::swap(order[i - 1], order[random.below(static_cast<std::uint32_t>(i))]);
  }
  return Tensor::from_host(backend, {count}, order);
}

Evaluation evaluate_network(Module& network, const DeviceDataset& data, const GatherParams& gather,
                            std::int64_t batch_size) {
  const NoGrad no_grad;
  Backend& backend = data.images.backend();
  const StepState state = make_step_state(backend, 0);
  const Tensor order = make_order(backend, data.count, 0, 0);
  for (std::int64_t done = 0; done < data.count; done += batch_size) {
    const std::int64_t count = std::min(batch_size, data.count - done);
    const Batch batch = gather_batch(data.images, data.labels, order, count, state, gather);
    softmax_cross_entropy(network.forward(Variable(batch.images), Mode::kEvaluation), batch.labels, state);
    backend.advance_step(state, count);
  }
  const std::vector<double> metrics = state.metrics.to_host<double>();
  const double images = static_cast<double>(data.count);
  return {metrics[kLossSum] / images, metrics[kCorrect] / images, data.count};
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "tools/training_data.h"

#include <algorithm>
#include <numeric>

#include "core/philox.h"
#include "data/catalog.h"

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

/// The images of a run, on the host.
struct HostData {
  Dataset train, test;
  std::optional<Dataset> validation;
};

HostData load_host_data(const RunSettings& settings) {
  HostData data{load_split(settings, "train"), load_split(settings, "test"), std::nullopt};
  if (settings.validation > 0) {
    check(settings.validation < data.train.count, "--validation: expected fewer than the {} training images, got {}",
          data.train.count, settings.validation);
    std::tie(data.train, data.validation) = split_off_last(data.train, settings.validation);
  }
  return data;
}

}  // namespace

void check_training_data(const RunSettings& settings) { load_host_data(settings); }

TrainingData load_training_data(Backend& backend, const RunSettings& settings) {
  const HostData host = load_host_data(settings);
  TrainingData data;
  const ChannelStatistics statistics = channel_statistics(host.train);
  for (std::size_t c = 0; c < 3; ++c) {
    data.test_gather.mean[c] = static_cast<float>(statistics.mean[c]);
    data.test_gather.inverse_std[c] = static_cast<float>(1.0 / std::max(statistics.deviation[c], 1e-3));
  }
  data.train_gather = data.test_gather;
  data.train_gather.augment = settings.augment;
  data.train_gather.padding = settings.crop_padding;
  data.train_gather.flip = settings.flip;
  data.train = upload(backend, host.train);
  data.test = upload(backend, host.test);
  if (host.validation) data.validation = upload(backend, *host.validation);
  return data;
}

StepState make_step_state(Backend& backend, std::uint64_t seed) {
  std::vector<std::int64_t> counters(kStepCounterCount, 0);
  counters[kSeed] = static_cast<std::int64_t>(seed);
  return {Tensor::from_host(backend, {kStepCounterCount}, counters),
          Tensor::zeros(backend, {kStepMetricCount}, DType::kF64), Tensor::zeros(backend, {1})};
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

Evaluator::Evaluator(Module& network, const DeviceDataset& data, const GatherParams& gather, std::int64_t batch_size)
    : network_(network),
      data_(data),
      gather_(gather),
      batch_size_(batch_size),
      state_(make_step_state(data.images.backend(), 0)),
      order_(make_order(data.images.backend(), data.count, 0, 0)) {}

void Evaluator::evaluate_batch(std::int64_t count) const {
  const NoGrad no_grad;
  const Batch batch = gather_batch(data_.images, data_.labels, order_, count, state_, gather_);
  softmax_cross_entropy(network_.forward(Variable(batch.images), Mode::kEvaluation), batch.labels, state_);
  order_.backend().advance_step(state_, count);
}

Evaluation Evaluator::run() {
  state_.counters.fill_zero();
  state_.metrics.fill_zero();
  for (std::int64_t done = 0; done < data_.count; done += batch_size_) {
    const std::int64_t count = std::min(batch_size_, data_.count - done);
    std::unique_ptr<Recording>& batch = batches_[count];
    if (!batch) batch = order_.backend().record([this, count] { evaluate_batch(count); });
    try {
      batch->replay();
    } catch (const OutOfMemory& error) {
      fail("evaluating {} images at once: {}; try a smaller --evaluation-batch", count, error.what());
    }
  }
  const std::vector<double> metrics = state_.metrics.to_host<double>();
  const double images = static_cast<double>(data_.count);
  return {metrics[kLossSum] / images, metrics[kCorrect] / images, data_.count};
}

std::vector<float> Evaluator::outputs() {
  state_.counters.fill_zero();
  std::vector<float> outputs;
  const NoGrad no_grad;
  for (std::int64_t done = 0; done < data_.count; done += batch_size_) {
    const std::int64_t count = std::min(batch_size_, data_.count - done);
    const Batch batch = gather_batch(data_.images, data_.labels, order_, count, state_, gather_);
    const Variable y = network_.forward(Variable(batch.images), Mode::kEvaluation);
    const std::vector<float> values = y.value_as(DType::kF32).to_host<float>();
    outputs.insert(outputs.end(), values.begin(), values.end());
    order_.backend().advance_step(state_, count);
  }
  return outputs;
}

}  // namespace gradamp

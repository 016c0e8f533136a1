// SPDX-License-Identifier: MIT
#include "gradamp/optim/measuring_window.h"

#include <utility>

namespace gradamp {

std::vector<MeasuredLayer> MeasureRecord::read() const {
  std::vector<MeasuredLayer> layers = layers_;
  const std::vector<double> measures = measures_.to_host<double>();
  for (std::size_t l = 0; l < layers.size(); ++l) {
    const auto value = [&](LayerMeasure row) { return measures[static_cast<std::size_t>(row) * layers.size() + l]; };
    layers[l].g = value(kG);
    layers[l].g_prime = value(kGPrime);
    layers[l].normalized_g = value(kNormalizedG);
    layers[l].normalized_g_prime = value(kNormalizedGPrime);
  }
  return layers;
}

MeasuringWindow::MeasuringWindow(const ParameterArena& arena, std::int64_t every, Granularity granularity)
    : every_(every), granularity_(granularity), window_arena_(arena.arena()) {
  if (every == 0) return;
  Backend& backend = window_arena_.weights.backend();
  const Shape shape = {arena.sum_count(granularity)};
  window_arena_.signed_sums = Tensor::zeros(backend, shape);
  window_arena_.absolute_sums = Tensor::zeros(backend, shape);
  for (const ArenaLayer& layer : arena.layers()) {
    MeasuredLayer& measured = layers_.emplace_back();
    measured.name = layer.name;
    measured.type = layer.type;
    measured.count = layer.range.count;
  }
}

void MeasuringWindow::begin_epoch(int epoch) {
  if (every_ == 0 || is_open()) return;
  first_epoch_ = epoch;
  window_arena_.signed_sums.fill_zero();
  window_arena_.absolute_sums.fill_zero();
}

std::optional<MeasureRecord> MeasuringWindow::end_epoch(int epoch, bool run_ends) {
  // The open window can be longer than `every_` if the run was resumed with a smaller one.
  if (!is_open() || (epoch - first_epoch_ + 1 < every_ && !run_ends)) return std::nullopt;
  const Shape shape = {kMeasureCount, static_cast<std::int64_t>(layers_.size())};
  Backend& backend = window_arena_.weights.backend();
  const Tensor measures = Tensor::empty(backend, shape, DType::kF64);
  backend.measure_layers(window_arena_, granularity_, measures);
  const int first_epoch = std::exchange(first_epoch_, 0);
  return MeasureRecord(first_epoch, epoch, layers_, measures);
}

void MeasuringWindow::append_state_tensors(std::vector<NamedBuffer>& tensors) const {
  if (!is_open()) return;
  tensors.push_back({"optimizer.window_signed_sums", window_arena_.signed_sums});
  tensors.push_back({"optimizer.window_absolute_sums", window_arena_.absolute_sums});
}

}  // namespace gradamp

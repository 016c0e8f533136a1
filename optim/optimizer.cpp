// SPDX-License-Identifier: MIT
#include "gradamp/optim/optimizer.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <set>
#include <span>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"
#include "gradamp/core/random_selection.h"
#include "gradamp/layers/layers.h"
#include "gradamp/optim/choices.h"

namespace gradamp {
namespace {

/// The value of a selected layer in an EpochRecord's `selected`. It must not be 1, and a phase's factor can be 1.
constexpr float kSelected = 2;
/// AdamW divides by it if a weight never had a gradient. It is a normal number in f32.
constexpr double kMinEpsilon = 1e-30;

void validate_update(const OptimizerOptions& options) {
  check(options.clip_norm >= 0 && std::isfinite(options.clip_norm),
        "expected a finite norm to clip to of at least 0, got {}", options.clip_norm);
  if (options.update_rule != UpdateRule::kAdamW) return;
  check(!options.sgd.nesterov, "AdamW has no Nesterov momentum");
  for (const double beta : {options.beta1, options.beta2})
    check(beta >= 0 && beta < 1, "expected a beta in [0, 1), got {}", beta);
  check(options.epsilon >= kMinEpsilon && std::isfinite(options.epsilon),
        "expected a finite epsilon of at least {}, got {}", kMinEpsilon, options.epsilon);
}

void validate_schedule(const OptimizerOptions& options) {
  check(options.warmup_steps >= 0, "expected a warm-up of 0 or more steps, got {}", options.warmup_steps);
  if (!has_step_rates(options)) return;
  check(options.warmup_epochs == 0,
        "a warm-up by epochs needs one learning rate per epoch: expected 0 warm-up epochs with a warm-up by steps or a "
        "schedule other than phases, got {}",
        options.warmup_epochs);
  check(options.peak_rate > 0 && std::isfinite(options.peak_rate), "expected a finite peak rate above 0, got {}",
        options.peak_rate);
  check(options.steps_per_epoch >= 1,
        "a learning rate that changes per step needs the number of steps per epoch: expected at least 1, got {}",
        options.steps_per_epoch);
  schedule_factor(options.schedule, options.warmup_steps, 0, options.strategy.epochs() * options.steps_per_epoch);
}

OptimizerOptions validated(OptimizerOptions options) {
  const SgdParams& sgd = options.sgd;
  check(sgd.momentum >= 0 && sgd.momentum < 1, "expected a momentum in [0, 1), got {}", sgd.momentum);
  check(sgd.weight_decay >= 0 && std::isfinite(sgd.weight_decay), "expected a weight decay of at least 0, got {}",
        sgd.weight_decay);
  check(!sgd.nesterov || sgd.momentum > 0, "Nesterov's method needs a momentum above 0");
  validate_update(options);
  check(options.warmup_epochs >= 0, "expected a warm-up of 0 or more epochs, got {}", options.warmup_epochs);
  check(options.measure_every >= 0, "expected to measure every 0 or more epochs, got {}", options.measure_every);
  options.strategy.validate();
  validate_schedule(options);
  options.selection.validate();
  if (options.selection.method == SelectionMethod::kRandom) {
    check(options.strategy.reselect_every == 0,
          "random selection draws once a phase: expected to reselect every 0 epochs, got {}",
          options.strategy.reselect_every);
  }
  return options;
}

/// Error if two dropouts would draw the same mask.
void check_dropouts(Module& network) {
  std::map<std::uint32_t, std::string> by_substream;
  network.for_each([&](const std::string& name, Module& module) {
    const auto* dropout = dynamic_cast<const Dropout*>(&module);
    if (dropout == nullptr || dropout->params().probability == 0) return;
    const auto [other, is_new] = by_substream.emplace(dropout->params().substream, name);
    check(is_new, "the dropouts {} and {} would draw the same mask: give each another DropoutParams::substream",
          other->second, name);
  });
}

/// The arena with all that the update needs. A measuring window copies it.
ParameterArena arena_for(Module& network, const OptimizerOptions& options) {
  ParameterArena arena(network);
  if (options.update_rule == UpdateRule::kAdamW) arena.enable_second_moments();
  if (!options.decay_norm_bias) arena.exempt_norms_and_biases();
  return arena;
}

}  // namespace

std::vector<std::pair<std::string, std::string>> named_values(const OptimizerOptions& options) {
  const SelectionOptions& selection = options.selection;
  std::vector<std::string> types;
  for (const LayerType& type : selection.types) types.emplace_back(name_of(type));
  std::vector<std::pair<std::string, std::string>> values = {
      {"strategy", to_string(options.strategy)},
      {"reselect_every", fmt::format("{}", options.strategy.reselect_every)},
      {"warmup_epochs", fmt::format("{}", options.warmup_epochs)},
      {"momentum", fmt::format("{}", options.sgd.momentum)},
      {"weight_decay", fmt::format("{}", options.sgd.weight_decay)},
      {"nesterov", fmt::format("{}", options.sgd.nesterov)},
      {"granularity", choice_name(options.sgd.granularity)},
      {"placement", choice_name(options.placement)},
      {"selection", choice_name(selection.method)},
      {"measure", choice_name(selection.measure)},
      {"case", choice_name(selection.selection_case)},
      {"threshold", fmt::format("{}", selection.threshold)},
      {"random_fraction", fmt::format("{}", selection.fraction)},
      {"random_types", fmt::format("{}", fmt::join(types, ","))},
      {"selection_seed", fmt::format("{}", selection.seed)}};
  // Options of later releases are named only if they are used, so that earlier checkpoints can be resumed.
  if (options.schedule != Schedule::kPhases) {
    values.emplace_back("schedule", choice_name(options.schedule));
    values.emplace_back("peak_rate", fmt::format("{}", options.peak_rate));
  }
  if (options.warmup_steps != 0) values.emplace_back("warmup_steps", fmt::format("{}", options.warmup_steps));
  if (options.update_rule == UpdateRule::kAdamW) {
    values.emplace_back("optimizer", choice_name(options.update_rule));
    values.emplace_back("beta1", fmt::format("{}", options.beta1));
    values.emplace_back("beta2", fmt::format("{}", options.beta2));
    values.emplace_back("epsilon", fmt::format("{}", options.epsilon));
  }
  if (!options.decay_norm_bias) values.emplace_back("decay_norm_bias", "false");
  if (options.clip_norm != 0) values.emplace_back("clip_norm", fmt::format("{}", options.clip_norm));
  return values;
}

bool has_step_rates(const OptimizerOptions& options) {
  return options.schedule != Schedule::kPhases || options.warmup_steps > 0;
}

std::vector<double> step_rates(const OptimizerOptions& options, int epoch) {
  OptimizerOptions of_epoch = options;
  of_epoch.steps_per_epoch = 0;
  const double rate = plan_epoch(of_epoch, epoch).learning_rate;
  const std::int64_t first = (std::int64_t{epoch} - 1) * options.steps_per_epoch;
  const std::int64_t steps = options.strategy.epochs() * options.steps_per_epoch;
  std::vector<double> rates;
  for (std::int64_t i = 0; i < options.steps_per_epoch; ++i)
    rates.push_back(rate * schedule_factor(options.schedule, options.warmup_steps, first + i, steps));
  return rates;
}

EpochPlan plan_epoch(const OptimizerOptions& options, int epoch) {
  EpochPlan plan = options.strategy.plan(epoch);
  if (epoch <= options.warmup_epochs) plan.learning_rate *= epoch / (static_cast<double>(options.warmup_epochs) + 1.0);
  if (options.schedule != Schedule::kPhases) plan.learning_rate = options.peak_rate;
  if (has_step_rates(options) && options.steps_per_epoch > 0)
    plan.learning_rate *= schedule_factor(options.schedule, options.warmup_steps, epoch * options.steps_per_epoch - 1,
                                          options.strategy.epochs() * options.steps_per_epoch);
  const SelectionMethod method = options.selection.method;
  if (method == SelectionMethod::kMeasure) return plan;
  const Phase& phase = options.strategy.phases[static_cast<std::size_t>(plan.phase)];
  plan.analyzed = plan.clear_sums = plan.select = false;
  plan.window_epochs = 0;
  plan.amplified = method == SelectionMethod::kRandom && phase.amplify;
  return plan;
}

double noise_floor(std::int64_t iterations) {
  check(iterations > 0, "expected one iteration at least, got {}", iterations);
  return 1.0 / std::sqrt(static_cast<double>(iterations));
}

std::vector<LayerReport> EpochRecord::read() const {
  std::vector<LayerReport> reports;
  for (const Row& row : rows_) reports.push_back(row.report);
  const std::vector<float> selected = selected_.to_host<float>();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    reports[i].selected = selected[rows_[i].index] != 1;
    reports[i].factor = reports[i].selected ? static_cast<float>(plan_.factor) : 1.0f;
  }
  if (!measures_.defined()) return reports;
  const std::vector<double> measures = measures_.to_host<double>();
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const auto value = [&](LayerMeasure row) {
      return measures[static_cast<std::size_t>(row) * selected.size() + rows_[i].index];
    };
    LayerReport& report = reports[i];
    report.g = value(kG);
    report.g_prime = value(kGPrime);
    report.normalized_g = value(kNormalizedG);
    report.normalized_g_prime = value(kNormalizedGPrime);
  }
  return reports;
}

Optimizer::Optimizer(Module& network, const StepState& state, OptimizerOptions options)
    : options_(validated(std::move(options))),
      state_(state),
      arena_(arena_for(network, options_)),
      window_(arena_, options_.measure_every, options_.sgd.granularity) {
  check_dropouts(network);
  list_candidates(network);
  backend_ = &arena_.arena().weights.backend();
  const auto layers = static_cast<std::int64_t>(arena_.layers().size());
  std::int64_t factors = layers;
  for (const Candidate& candidate : candidates_)
    factors = std::max(factors, static_cast<std::int64_t>(candidate.index) + 1);
  factors_ = Tensor::empty(*backend_, {factors});
  backend_->fill(factors_, 1);
  std::vector<std::int32_t> indices;
  for (const Candidate& candidate : candidates_) indices.push_back(static_cast<std::int32_t>(candidate.index));
  candidate_indices_ = Tensor::from_host(*backend_, {static_cast<std::int64_t>(indices.size())}, indices);
  measures_ = Tensor::zeros(*backend_, {kMeasureCount, layers}, DType::kF64);
  if (options_.placement == Placement::kUpdate) {
    update_factors_ = factors_;
  } else {
    update_factors_ = Tensor::empty(*backend_, {layers});
    backend_->fill(update_factors_, 1);
  }
  if (options_.clip_norm > 0) {
    clip_scale_ = Tensor::zeros(*backend_, {1});
    clipped_factors_ = Tensor::zeros(*backend_, update_factors_.shape());
  }
  if (has_step_rates(options_)) rates_ = Tensor::zeros(*backend_, {options_.steps_per_epoch});
  scale_gradients(false);
}

void Optimizer::list_candidates(Module& network) {
  const SelectionOptions& selection = options_.selection;
  const bool random = selection.method == SelectionMethod::kRandom;
  std::size_t in_arena = 0, without_parameters = 0;
  for (const NamedLayer& named : named_layers(network)) {
    Candidate candidate{named.name, named.layer->type(), named.layer, 0, 0};
    const bool has_parameters = !named.layer->own_trained_parameters().empty();
    if (!has_parameters && !named.layer->own_parameters().empty()) continue;  // frozen
    candidate.index = has_parameters ? in_arena++ : arena_.layers().size() + without_parameters++;
    if (has_parameters) candidate.count = arena_.layers()[candidate.index].range.count;
    const bool wanted =
        random ? std::count(selection.types.begin(), selection.types.end(), candidate.type) > 0 : has_parameters;
    check(!wanted || has_parameters || options_.placement == Placement::kBackprop,
          "layers of type {} have no parameters, so their update cannot be amplified; use the placement backprop",
          name_of(candidate.type));
    if (wanted) candidates_.push_back(candidate);
  }
  if (!candidates_.empty()) return;
  check(random, "the network has no layer with trained parameters to select from");
  std::set<std::string> wanted, present;
  for (const LayerType& type : selection.types) wanted.insert(name_of(type));
  for (const NamedLayer& named : named_layers(network)) present.insert(name_of(named.layer->type()));
  fail("the network has no layer of the types to select from ({}); it has {}", fmt::join(wanted, ", "),
       fmt::join(present, ", "));
}

void Optimizer::scale_gradients(bool on) {
  if (options_.placement != Placement::kBackprop) return;
  scales_gradients_ = on;
  for (const Candidate& candidate : candidates_) {
    const auto index = static_cast<std::int64_t>(candidate.index);
    candidate.layer->set_grad_scale(on ? GradScale{factors_, index} : GradScale{});
  }
}

void Optimizer::prepare(int epoch) {
  plan_ = plan(epoch);
  const auto rate = static_cast<float>(plan_.learning_rate);
  state_.learning_rate.copy_from_host(std::span<const float>(&rate, 1));
  if (rates_.defined()) {
    const std::vector<double> rates = step_rates(options_, epoch);
    const std::vector<float> rounded(rates.begin(), rates.end());
    rates_.copy_from_host(std::span<const float>(rounded));
  }
  scale_gradients(plan_.amplified);
  sums_in_use_ = plan_.analyzed;
  if (sums_in_use_) arena_.enable_statistics(options_.sgd.granularity);
}

std::optional<EpochRecord> Optimizer::begin_epoch(int epoch) {
  prepare(epoch);
  if (plan_.clear_sums) arena_.clear_sums();
  window_.begin_epoch(epoch);
  if (plan_.phase_start) backend_->fill(factors_, 1);
  if (plan_.phase_start && plan_.amplified)
    return sample_layers();  // only a random selection amplifies a phase from its start
  return std::nullopt;
}

void Optimizer::resume_epoch(int epoch, bool finished, int window_first_epoch) {
  check(epoch > 0 || finished, "expected to resume in an epoch from 1 on, got {}", epoch);
  window_.resume(window_first_epoch);
  if (epoch == 0) return;
  prepare(epoch);
  if (finished && plan_.select) sums_in_use_ = false;
}

std::vector<EpochRecord::Row> Optimizer::rows() const {
  std::vector<EpochRecord::Row> rows;
  for (const Candidate& candidate : candidates_) {
    EpochRecord::Row& row = rows.emplace_back();
    row.report.name = candidate.name;
    row.report.type = candidate.type;
    row.report.count = candidate.count;
    row.index = candidate.index;
  }
  return rows;
}

EpochRecord Optimizer::sample_layers() {
  const int candidates = static_cast<int>(candidates_.size());
  RandomSelectionParams params{.seed = options_.selection.seed,
                               .epoch = plan_.epoch,
                               .count = drawn_count(candidates, options_.selection.fraction),
                               .factor = static_cast<float>(plan_.factor)};
  backend_->select_random_layers(candidate_indices_, params, factors_);
  const Tensor selected = Tensor::empty(*backend_, factors_.shape());
  params.factor = kSelected;
  backend_->select_random_layers(candidate_indices_, params, selected);
  return EpochRecord(plan_, rows(), Tensor(), selected);
}

void Optimizer::begin_step(std::int64_t shards) {
  arena_.begin_step();
  step_has_begun_ = true;
  shards_.reset();
  if (shards > 0) shards_.emplace(shards);
}

void Optimizer::add_shard() {
  check(step_has_begun_ && shards_, "expected begin_step() with the number of shards before the first one");
  arena_.finish_gradients();
  shards_->add(arena_.arena().gradients);
  arena_.begin_step();
}

void Optimizer::add_shard(const Tensor& gradient) {
  check(step_has_begun_ && shards_, "expected begin_step() with the number of shards before the first one");
  const Tensor& gradients = arena_.arena().gradients;
  if (gradient.defined()) {
    backend_->cast(gradient, gradients);  // of equal types: a copy
  } else {
    gradients.fill_zero();
  }
  shards_->add(gradients);
}

void Optimizer::step() {
  check(plan_.epoch > 0, "a step comes after begin_epoch");
  check(step_has_begun_,
        "expected begin_step() before each forward: without it this step's gradient is added to the last");
  check(!shards_ || shards_->is_complete(), "expected add_shard() after the backward of every shard before step()");
  step_has_begun_ = false;
  if (!shards_) arena_.finish_gradients();
  shards_.reset();
  if (rates_.defined()) backend_->set_learning_rate(rates_, state_);
  update();
}

void Optimizer::update() const {
  // The update's pass adds to one pair of sums. If the window is open beside an analyzed epoch, another pass adds to
  // the window's.
  const bool accumulate = plan_.analyzed || window_.is_open();
  const Arena& arena = window_.is_open() && !plan_.analyzed ? window_.arena() : arena_.arena();
  if (clip_scale_.defined()) backend_->clip_scale(arena.gradients, options_.clip_norm, clip_scale_);
  if (options_.update_rule == UpdateRule::kAdamW) {
    const AdamWParams params{.beta1 = options_.beta1,
                             .beta2 = options_.beta2,
                             .epsilon = static_cast<float>(options_.epsilon),
                             .weight_decay = options_.sgd.weight_decay,
                             .accumulate = accumulate,
                             .granularity = options_.sgd.granularity};
    backend_->adamw_step(arena, update_factors_, clip_scale_, state_, params);
  } else {
    SgdParams params = options_.sgd;
    params.accumulate = accumulate;
    if (clip_scale_.defined()) backend_->scale(update_factors_, clip_scale_, 0, clipped_factors_);
    backend_->sgd_step(arena, clip_scale_.defined() ? clipped_factors_ : update_factors_, state_, params);
  }
  if (plan_.analyzed && window_.is_open()) backend_->accumulate_sums(window_.arena(), options_.sgd.granularity, state_);
}

std::optional<EpochRecord> Optimizer::end_epoch() {
  if (!plan_.select) return std::nullopt;
  SelectionParams params{.measure = options_.selection.measure,
                         .selection_case = options_.selection.selection_case,
                         .threshold = options_.selection.threshold,
                         .factor = static_cast<float>(plan_.factor)};
  measures_ =
      Tensor::empty(*backend_, measures_.shape(), DType::kF64);  // new memory: the last record keeps the old tensor
  backend_->measure_layers(arena_.arena(), options_.sgd.granularity, measures_);
  const Shape layers = {measures_.shape()[1]};
  backend_->select_layers(measures_, params, factors_.view(layers));
  const Tensor selected = Tensor::empty(*backend_, layers);
  params.factor = kSelected;
  backend_->select_layers(measures_, params, selected);
  sums_in_use_ = false;
  return EpochRecord(plan_, rows(), measures_, selected);
}

std::optional<MeasureRecord> Optimizer::end_window() {
  return window_.end_epoch(plan_.epoch, plan_.epoch == options_.strategy.epochs());
}

std::vector<NamedBuffer> Optimizer::state_tensors() const {
  const Arena& arena = arena_.arena();
  const bool adamw = options_.update_rule == UpdateRule::kAdamW;
  std::vector<NamedBuffer> tensors = {{adamw ? "optimizer.first_moments" : "optimizer.momentum", arena.momentum},
                                      {"optimizer.factors", factors_},
                                      {"optimizer.measures", measures_}};
  if (adamw) tensors.push_back({"optimizer.second_moments", arena.second_moments});
  if (sums_in_use_) {
    tensors.push_back({"optimizer.signed_sums", arena.signed_sums});
    tensors.push_back({"optimizer.absolute_sums", arena.absolute_sums});
  }
  window_.append_state_tensors(tensors);
  return tensors;
}

}  // namespace gradamp

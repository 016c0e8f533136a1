// SPDX-License-Identifier: MIT
// Optimizer: SGD with intelligent gradient amplification over a network's parameters. An epoch is
//   state.begin_epoch(e); begin_epoch(e);
//   for each batch { begin_step(); forward; loss.backward(); step(); backend.advance_step(state, images) }
// or, for a batch in shards (core/shard.h),
//   for each batch { begin_step(); for each shard { forward; loss.backward(); add_shard(); } step(); .. }
//   end_epoch(); end_window();
// It never waits for the device; only EpochRecord::read() does.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/layers/module.h"
#include "gradamp/optim/gradient_tree.h"
#include "gradamp/optim/measuring_window.h"
#include "gradamp/optim/parameter_arena.h"
#include "gradamp/optim/schedule.h"
#include "gradamp/optim/selection.h"
#include "gradamp/optim/strategy.h"

namespace gradamp {

/// What the factor multiplies: the gradient in the layer's update ([IGA] eq. 3), or the gradient that arrives at the
/// layer's output. The latter also scales everything upstream, and allows layers without parameters ([GA]).
enum class Placement { kUpdate, kBackprop };

/// SGD with momentum, or AdamW, whose formulas core/backend.h has (sgd_step, adamw_step).
enum class UpdateRule { kSgd, kAdamW };

/// Options that the settings of a run (tools/settings) have with the same name, type and default: they inherit these.
struct OptimizerValues {
  Placement placement = Placement::kUpdate;
  /// W epochs of linear warm-up: the learning rate of epoch e <= W is e / (W + 1) of the strategy's. 0: none. P. Goyal
  /// et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2, by epochs.
  std::int64_t warmup_epochs = 0;
  /// Other schedules than kPhases replace the learning rates of the phases, and have OptimizerOptions::peak_rate as
  /// their peak. The phases still say when layers are amplified, and by how much.
  Schedule schedule = Schedule::kPhases;
  /// Steps of linear warm-up (optim/schedule.h); 0: none. With kPhases and kCosine, and not with warmup_epochs.
  std::int64_t warmup_steps = 0;
  UpdateRule update_rule = UpdateRule::kSgd;
  // AdamW.
  double beta1 = 0.9, beta2 = 0.999;
  double epsilon = 1e-8;
  /// Weight decay also of tensors of one dimension: of batch norms' parameters and of all biases.
  bool decay_norm_bias = true;
  /// If the norm of all gradients is above it, they are multiplied by clip_norm / (norm + 1e-6), before the factors.
  /// Statistics are of the gradients before that. 0: never. As PyTorch's clip_grad_norm_.
  double clip_norm = 0;
  /// Measure G and G' of every layer over windows of this number of epochs, with or without amplification. It does not
  /// change the training. 0: only what the strategy analyzes.
  std::int64_t measure_every = 0;
};

struct OptimizerOptions : OptimizerValues {
  SgdParams sgd;  // `accumulate` is the optimizer's own; AdamW has its weight decay and granularity, too
  Strategy strategy;
  SelectionOptions selection;
  /// Peak of a schedule other than kPhases, which does not use it.
  double peak_rate = 0.1;
  /// Steps of every epoch. Needed if the learning rate changes per step; a Trainer sets it.
  std::int64_t steps_per_epoch = 0;
};

/// A name and a value for every option that affects the training, to be stored in checkpoints and compared.
std::vector<std::pair<std::string, std::string>> named_values(const OptimizerOptions& options);

/// Whether the learning rate can differ between two steps of an epoch.
bool has_step_rates(const OptimizerOptions& options);
/// The learning rates of an epoch's steps: steps_per_epoch of them.
std::vector<double> step_rates(const OptimizerOptions& options, int epoch);

/// The strategy's plan under the options' schedule, warm-up and selection method: nothing is analyzed unless layers are
/// selected by a measure, and a random selection amplifies its phases from their first epoch on. If the learning rate
/// changes per step, the plan has that of the epoch's last step or, if steps_per_epoch is 0, that of the phase without
/// warm-up, or the schedule's peak. Error unless the strategy has the epoch.
EpochPlan plan_epoch(const OptimizerOptions& options, int epoch);

/// One layer at a selection, for the log.
struct LayerReport {
  std::string name;
  LayerType type = LayerType::kConv;
  std::int64_t count = 0;  // parameters; 0 for a ReLU
  // Absent if nothing was measured: random selection, and layers without parameters.
  std::optional<double> g, g_prime, normalized_g, normalized_g_prime;
  bool selected = false;  // measured: for the epochs after this one; random: from this epoch on
  float factor = 1;       // the phase's if selected, else 1
};

/// The input and the result of one selection. It owns its tensors, so it can be read at any later time.
class EpochRecord {
 public:
  struct Row {
    LayerReport report;
    std::size_t index = 0;  // in the tensors
  };
  /// `selected`, f32 (layers): not 1 for the selected layers. `measures`: f64 (kMeasureCount, layers), or undefined if
  /// nothing was measured. read() completes `rows` from both.
  EpochRecord(const EpochPlan& plan, std::vector<Row> rows, Tensor measures, Tensor selected)
      : plan_(plan), rows_(std::move(rows)), measures_(std::move(measures)), selected_(std::move(selected)) {}

  int epoch() const { return plan_.epoch; }
  /// Number of epochs accumulated in the sums; m = steps per epoch * window_epochs(). 0 if nothing was measured.
  std::int64_t window_epochs() const { return plan_.window_epochs; }
  /// The layers that could be selected, in the network's order. Waits for the device.
  std::vector<LayerReport> read() const;

 private:
  EpochPlan plan_;
  std::vector<Row> rows_;
  Tensor measures_, selected_;
};

/// Expected value of G and G' over `iterations` independent, symmetric gradients, about 1 / sqrt(iterations).
double noise_floor(std::int64_t iterations);

/// Threads: as the Backend of its network.
class Optimizer {
 public:
  /// Moves the parameters of `network` into its arena; `state` is the run's. Both, and the backend, must outlive it.
  /// Error if the options contradict each other or there is no layer to select from.
  Optimizer(Module& network, const StepState& state, OptimizerOptions options);

  const ParameterArena& arena() const { return arena_; }
  const OptimizerOptions& options() const { return options_; }
  EpochPlan plan(int epoch) const { return plan_epoch(options_, epoch); }

  /// Sets the learning rate and the factors and clears the sums as the epoch's plan says. Returns a record if it draws
  /// layers at random.
  std::optional<EpochRecord> begin_epoch(int epoch);
  /// Call it instead of begin_epoch, before a checkpoint's tensors are copied into state_tensors(). Prepares for the
  /// rest of `epoch` or, if it is `finished`, for the begin_epoch of the next one. Epoch 0, finished: before the first.
  /// `window_first_epoch`: the checkpoint's window_first_epoch(). If it is 0, the next window opens with an epoch.
  void resume_epoch(int epoch, bool finished, int window_first_epoch = 0);
  /// The epoch at whose start the open measuring window began; 0: none is open.
  int window_first_epoch() const { return window_.first_epoch(); }

  /// Steps of one kind issue the same operations, so one recording serves them all.
  int step_kind() const { return (plan_.analyzed ? 1 : 0) + (scales_gradients_ ? 2 : 0) + (window_.is_open() ? 4 : 0); }

  /// Call it before a step's forward. `shards`: those of the step's batch (core/shard.h) for which add_shard() will be
  /// called; 0: the batch is whole.
  void begin_step(std::int64_t shards = 0);
  /// If the batch is cut into shards, call it after the backward of each: adds its gradient to those of the others.
  /// For a shard without images, which has no backward, too. After the last of them the arena's gradients are the sum.
  void add_shard();
  /// The same with the shard's gradient in other memory, which is like the arena's; undefined: it has no images.
  void add_shard(const Tensor& gradient);
  /// Call it after the step's backward: statistics and update in one operation of the backend. Error if begin_step()
  /// was not called for this step, since the gradient would then be added to the previous one, or if add_shard() was
  /// not called for every shard.
  void step();

  /// If the epoch's plan says so, measures and selects for the next epochs, and returns the record.
  std::optional<EpochRecord> end_epoch();
  /// Call it after end_epoch. With `measure_every`, and if a window ends with this epoch, closes it and returns its
  /// measures. The run's last epoch ends any window.
  std::optional<MeasureRecord> end_window();

  /// All state that later epochs depend on except the weights: momentum (AdamW: both moments), factors, the last
  /// measures, and the sums while they are in use, also those of an open measuring window. Checkpoints read and write
  /// these tensors in place, bit for bit.
  std::vector<NamedBuffer> state_tensors() const;

 private:
  /// A layer that can be selected. For one with parameters, `index` is also its index in the arena's layers.
  struct Candidate {
    std::string name;
    LayerType type;
    Layer* layer;
    std::int64_t count;  // of parameters
    std::size_t index;   // in factors
  };

  void list_candidates(Module& network);
  void prepare(int epoch);
  void scale_gradients(bool on);
  EpochRecord sample_layers();
  std::vector<EpochRecord::Row> rows() const;
  void update() const;

  OptimizerOptions options_;
  StepState state_;
  ParameterArena arena_;
  MeasuringWindow window_;
  Backend* backend_;
  std::vector<Candidate> candidates_;  // in the network's order
  Tensor factors_;                     // f32 (layers with parameters, then with `backprop` ReLUs)
  Tensor update_factors_;              // f32 (layers with parameters): those that sgd_step gets
  Tensor clip_scale_;                  // f32 (1): of this step's gradients; undefined: no clipping
  Tensor clipped_factors_;             // like update_factors_, which SGD multiplies by the scale
  Tensor candidate_indices_;           // i32: their indices
  Tensor rates_;                       // f32 (steps of an epoch): of the epoch; undefined: one rate per epoch
  Tensor measures_;                    // f64 (kMeasureCount, layers with parameters), of the last analyzed epoch
  EpochPlan plan_;
  bool sums_in_use_ = false;
  bool step_has_begun_ = false;
  std::optional<GradientTree> shards_;  // of the step; nothing: its batch is whole
  bool scales_gradients_ = false;       // placement `backprop`, amplified
};

}  // namespace gradamp

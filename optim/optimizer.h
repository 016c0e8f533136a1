// SPDX-License-Identifier: MIT
// Optimizer: SGD with intelligent gradient amplification over a network's parameters. An epoch is
//   state.begin_epoch(e); begin_epoch(e);
//   for each batch { begin_step(); forward; loss.backward(); step(); backend.advance_step(state, images) }
//   end_epoch();
// Nothing in it waits for the device, until somebody reads an EpochRecord.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/backend.h"
#include "gradamp/layers/module.h"
#include "gradamp/optim/parameter_arena.h"
#include "gradamp/optim/selection.h"
#include "gradamp/optim/strategy.h"

namespace gradamp {

/// Where the factor comes in: at the layer's update ([IGA] eq. 3), or at the gradient that arrives at its output, so
/// that everything upstream sees it too and layers without parameters can be selected ([GA]).
enum class Placement { kUpdate, kBackprop };

/// Options that the settings of a run (tools/settings) have with the same name, type and default: they inherit these.
struct OptimizerValues {
  Placement placement = Placement::kUpdate;
  /// W epochs of linear warm-up: the learning rate of epoch e <= W is e / (W + 1) of the strategy's. 0: none. P. Goyal
  /// et al., "Accurate, large minibatch SGD: training ImageNet in 1 hour", 2017, section 2.2, by epochs.
  int warmup_epochs = 0;
};

struct OptimizerOptions : OptimizerValues {
  SgdParams sgd;  // `accumulate` is the optimizer's own
  Strategy strategy;
  SelectionOptions selection;
};

/// A name and a value for every option, to be stored in checkpoints and compared.
std::vector<std::pair<std::string, std::string>> named_values(const OptimizerOptions& options);

/// The strategy's plan under the options' warm-up and selection method: nothing is analysed unless layers are selected
/// by a measure, and a random selection amplifies its phases from their first epoch on. Error unless the strategy has
/// the epoch.
EpochPlan plan_epoch(const OptimizerOptions& options, int epoch);

/// One layer at a selection, for the log.
struct LayerReport {
  std::string name;
  LayerType type = LayerType::kConv;
  std::int64_t count = 0;  // parameters; 0 for a ReLU
  // Absent where nothing was measured: random selection, and layers without parameters.
  std::optional<double> g, g_prime, normalized_g, normalized_g_prime;
  bool selected = false;  // from now on: after a measured epoch, from the beginning of a randomly drawn one
  float factor = 1;       // the phase's where selected, else 1
};

/// What one selection was made from and came to. Has its own tensors, so it may be read at any time later.
class EpochRecord {
 public:
  struct Row {
    LayerReport report;
    std::size_t index = 0;  // in the tensors
  };
  /// read() completes `rows` from marks, f32 (layers), which are not 1 where a layer is selected, and measures, f64
  /// (kMeasureCount, layers), or an undefined tensor where nothing was measured.
  EpochRecord(const EpochPlan& plan, std::vector<Row> rows, Tensor measures, Tensor marks)
      : plan_(plan), rows_(std::move(rows)), measures_(std::move(measures)), marks_(std::move(marks)) {}

  int epoch() const { return plan_.epoch; }
  /// Epochs in the sums: at s steps an epoch m = s * window_epochs(). 0 where nothing was measured.
  int window_epochs() const { return plan_.window_epochs; }
  /// The layers that could be selected, in the network's order. Waits for the device.
  std::vector<LayerReport> read() const;

 private:
  EpochPlan plan_;
  std::vector<Row> rows_;
  Tensor measures_, marks_;
};

/// About what G and G' come to over `iterations` independent, symmetric gradients: 1 / sqrt(m).
double noise_floor(std::int64_t iterations);

class Optimizer {
 public:
  /// Moves the parameters of `network` into its arena; `state` is the run's. Both, and the backend, must outlive it.
  /// Error where the options do not fit together or select among no layers.
  Optimizer(Module& network, const StepState& state, OptimizerOptions options);

  const ParameterArena& arena() const { return arena_; }
  const OptimizerOptions& options() const { return options_; }
  EpochPlan plan(int epoch) const { return plan_epoch(options_, epoch); }

  /// Sets learning rate and factors and clears the sums as the epoch's plan says. Where it draws layers at random,
  /// gives the record of it.
  std::optional<EpochRecord> begin_epoch(int epoch);
  /// In place of begin_epoch, before the tensors of a checkpoint are copied into state_tensors(): prepares for the rest
  /// of `epoch`, or where it is `finished`, for the begin_epoch of the next one. Epoch 0, finished: before the first.
  void resume_epoch(int epoch, bool finished);

  /// Steps of one kind ask for the same operations, so that one recording serves them all.
  int step_kind() const { return (plan_.analyzed ? 1 : 0) + (scales_gradients_ ? 2 : 0); }

  /// Before a step's forward.
  void begin_step();
  /// After its backward: statistics and update in one operation of the backend. Error where begin_step() did not come
  /// before, since the gradient would be added to that of the step before.
  void step();

  /// Where the epoch's plan says so, measures and selects, for the epochs to come, and gives the record of it.
  std::optional<EpochRecord> end_epoch();

  /// Everything that the epochs to come depend on, apart from the weights, to be written and read in place bit for bit:
  /// momentum, factors, the last measures, and the sums while they are in use.
  std::vector<NamedBuffer> state_tensors() const;

 private:
  /// A layer that can be selected. Those with parameters have their place in the arena as their index in the factors.
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
  EpochRecord draw();
  std::vector<EpochRecord::Row> rows() const;

  OptimizerOptions options_;
  StepState state_;
  ParameterArena arena_;
  Backend* backend_;
  std::vector<Candidate> candidates_;  // in the network's order
  Tensor factors_;                     // f32 (layers with parameters, then with `backprop` ReLUs)
  Tensor update_factors_;              // f32 (layers with parameters): what sgd_step gets
  Tensor candidate_places_;            // i32: their indices
  Tensor measures_;                    // f64 (kMeasureCount, layers with parameters), of the last analysed epoch
  EpochPlan plan_;
  bool sums_in_use_ = false;
  bool step_has_begun_ = false;
  bool scales_gradients_ = false;  // placement `backprop`, amplified
};

}  // namespace gradamp

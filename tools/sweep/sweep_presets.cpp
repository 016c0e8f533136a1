// SPDX-License-Identifier: MIT
// The experiments of [IGA] sections 4 and 5 as sweeps: as printed, with the seeds and held-out images that an answer
// needs, and in a smaller version for a machine with a few cores. Besides these there are a sweep for a laptop, and one
// for a strong recipe. The paper does not state batch size, momentum, weight decay and augmentation, so these have the
// defaults.
#include <array>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/tools/sweep/sweep.h"

namespace gradamp {
namespace {

struct Experiment {
  const char *name, *about, *dataset;
  const char *networks, *small_networks;
  const char *strategy, *reselect_every;
  const char *measures, *cases;
  const char *thresholds, *small_thresholds;
};

constexpr const char *kBoth = "[g, g-prime]", *kCases = "[1, 2]";
constexpr const char *kSimple = "[vgg19, resnet18, resnet34]", *kSimpleThresholds = "0.7:2.5:0.1";
constexpr const char *kDeep = "[resnet50, resnet101]", *kDeepThresholds = "1:3:0.25";
constexpr const char *kSmallSimple = "[resnet8, resnet20]", *kSmallSimpleThresholds = "[0.7, 1.3, 1.9]";
constexpr const char *kSmallDeep = "[resnet32, resnet56]", *kSmallDeepThresholds = "[1, 1.75, 2.5]";

constexpr std::array kExperiments{
    Experiment{"cifar10", "Figures 3 and 4, Tables 1 and 3", "cifar10", kSimple, kSmallSimple, "params_1", "0", kBoth,
               kCases, kSimpleThresholds, kSmallSimpleThresholds},
    Experiment{"cifar10-deep", "Figures 5 and 6, Tables 1 and 3", "cifar10", kDeep, kSmallDeep, "params_2", "0", kBoth,
               kCases, kDeepThresholds, kSmallDeepThresholds},
    Experiment{"cifar100", "Figures 7 and 8, Tables 2 and 4", "cifar100", kSimple, kSmallSimple, "params_1", "0", kBoth,
               kCases, kSimpleThresholds, kSmallSimpleThresholds},
    Experiment{"cifar100-deep", "Figures 9 and 10, Tables 2 and 4", "cifar100", kDeep, kSmallDeep, "params_2", "0",
               kBoth, kCases, kDeepThresholds, kSmallDeepThresholds},
    Experiment{"reselection", "section 5.1 and Figure 2", "cifar10", kSimple, kSmallSimple, "params_1", "[0, 2, 5]",
               "g", "2", kSimpleThresholds, kSmallSimpleThresholds},
};

constexpr std::string_view kSmall = "-small", kAnswer = "-answer";

/// A training recipe that is stronger than the paper's, as lines of a sweep. Every setting of such a recipe belongs
/// here.
constexpr const char* kStrongRecipe = R"(schedule = cosine
warmup-steps = 391
decay-norm-bias = false
label-smoothing = 0.1
cutout = 16
crop-padding = 4
flip = true
)";

/// A sweep that no table of the paper has.
struct OwnSweep {
  const char *name, *about, *head;
  const char *measures, *cases, *thresholds;
  bool strong_recipe;
};

constexpr const char *kLaptopHead = "dataset = cifar10\nnetwork = resnet8\nstrategy = params_1\nepochs = 20\n",
                     *kStrongHead = "dataset = cifar10\nnetwork = [resnet18, resnet34]\nstrategy = params_1\n";

constexpr std::array kOwnSweeps{
    OwnSweep{"laptop",
             "Does amplification help? resnet8 on all of CIFAR-10, for a laptop: 30 runs, hours on a few cores.",
             kLaptopHead, kBoth, "1", "[1, 1.5]", false},
    OwnSweep{"strong-recipe", "Does the gain survive a strong recipe?", kStrongHead, kBoth, "1", "[0.7, 1.3, 1.9]",
             true},
    OwnSweep{"strong-recipe-laptop", "Does the gain survive a strong recipe? resnet8, for a laptop.", kLaptopHead,
             kBoth, "1", "[1, 1.5]", true},
};

/// The columns beside the original.
std::string amplified_columns(const char* measures, const char* cases, const char* thresholds) {
  return fmt::format(R"(
[random]
random-fraction = 0.5

[amplified]
measure = {}
case = {}
threshold = {}
)",
                     measures, cases, thresholds);
}

std::string columns_of(const Experiment& e, const char* thresholds) {
  return amplified_columns(e.measures, e.cases, thresholds) + fmt::format("reselect-every = {}\n", e.reselect_every);
}

std::string full_text(const Experiment& e) {
  return fmt::format(R"(# {} of arXiv:2305.18445, as printed.
dataset = {}
network = {}
strategy = {}

[original]
seed = 1:10
{})",
                     e.about, e.dataset, e.networks, e.strategy, columns_of(e, e.thresholds));
}

/// With the seeds for an interval, and with held-out images by which the threshold is chosen.
std::string answer_text(const Experiment& e) {
  return fmt::format(R"(# {} of arXiv:2305.18445, with five seeds per cell and thresholds chosen on held-out images.
dataset = {}
network = {}
strategy = {}
validation = 5000
seed = 1:5

[original]
{})",
                     e.about, e.dataset, e.networks, e.strategy, columns_of(e, e.thresholds));
}

std::string own_text(const OwnSweep& sweep) {
  return fmt::format(R"(# {}
{}validation = 5000
seed = 1:5
{}
[original]
{})",
                     sweep.about, sweep.head, sweep.strong_recipe ? kStrongRecipe : "",
                     amplified_columns(sweep.measures, sweep.cases, sweep.thresholds));
}

std::string small_text(const Experiment& e) {
  return fmt::format(R"(# {} of arXiv:2305.18445 in small, for a machine with a few cores.
dataset = {}
network = {}
strategy = {}
epochs = 10
train-images = 10000
validation = 2000
test-images = 5000
seed = 1:2

[original]
{})",
                     e.about, e.dataset, e.small_networks, e.strategy, columns_of(e, e.small_thresholds));
}

}  // namespace

std::vector<std::string> sweep_preset_names() {
  std::vector<std::string> names;
  for (const Experiment& experiment : kExperiments) {
    names.emplace_back(experiment.name);
    names.push_back(names.back() + std::string(kSmall));
    names.push_back(experiment.name + std::string(kAnswer));
  }
  for (const OwnSweep& sweep : kOwnSweeps) names.emplace_back(sweep.name);
  return names;
}

std::string sweep_preset(const std::string& name) {
  for (const Experiment& experiment : kExperiments) {
    if (name == experiment.name) return full_text(experiment);
    if (name == experiment.name + std::string(kSmall)) return small_text(experiment);
    if (name == experiment.name + std::string(kAnswer)) return answer_text(experiment);
  }
  for (const OwnSweep& sweep : kOwnSweeps)
    if (name == sweep.name) return own_text(sweep);
  std::string names;
  for (const std::string& known : sweep_preset_names()) names += (names.empty() ? "" : ", ") + known;
  fail("expected a preset of {}, got '{}'", names, name);
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// The experiments of [IGA] sections 4 and 5 as sweeps: at the paper's size, and in a smaller version for a machine with
// a few cores. The paper does not state batch size, momentum, weight decay and augmentation, so these have the
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

constexpr std::string_view kSmall = "-small";

std::string full_text(const Experiment& e) {
  return fmt::format(R"(# {} of arXiv:2305.18445, as printed.
dataset = {}
network = {}
strategy = {}

[original]
seed = 1:10

[random]
random-fraction = 0.5

[amplified]
measure = {}
case = {}
threshold = {}
reselect-every = {}
)",
                     e.about, e.dataset, e.networks, e.strategy, e.measures, e.cases, e.thresholds, e.reselect_every);
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

[random]
random-fraction = 0.5

[amplified]
measure = {}
case = {}
threshold = {}
reselect-every = {}
)",
                     e.about, e.dataset, e.small_networks, e.strategy, e.measures, e.cases, e.small_thresholds,
                     e.reselect_every);
}

}  // namespace

std::vector<std::string> sweep_preset_names() {
  std::vector<std::string> names;
  for (const Experiment& experiment : kExperiments) {
    names.emplace_back(experiment.name);
    names.push_back(names.back() + std::string(kSmall));
  }
  return names;
}

std::string sweep_preset(const std::string& name) {
  for (const Experiment& experiment : kExperiments) {
    if (name == experiment.name) return full_text(experiment);
    if (name == experiment.name + std::string(kSmall)) return small_text(experiment);
  }
  std::string names;
  for (const std::string& known : sweep_preset_names()) names += (names.empty() ? "" : ", ") + known;
  fail("expected a preset of {}, got '{}'", names, name);
}

}  // namespace gradamp

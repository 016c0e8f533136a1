// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/sweep_estimate.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <utility>

#include "gradamp/core/error.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/state_dict.h"
#include "gradamp/nets/networks.h"
#include "gradamp/tools/run/epoch_time.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

/// The longest last epoch of the stored runs by the settings that determine an epoch's time, which include the images.
std::map<std::string, double> longest_epochs(const SweepFolder& folder, const std::vector<JobReport>& reports,
                                             SettingKinds kinds) {
  std::map<std::string, double> seconds;
  for (std::size_t i = 0; i < reports.size(); ++i) {
    const RunSettings& settings = folder.jobs()[i].settings;
    const double last = reports[i].seconds_of_epoch;
    double& longest = seconds[settings_key(settings, kinds) + std::to_string(settings.batch_size)];
    if (std::isfinite(last)) longest = std::max(longest, last);
  }
  return seconds;
}

/// Bytes of a network's weights with its running statistics, and of its checkpoint. Logs are small beside them.
struct NetworkBytes {
  double weights = 0, checkpoint = 0;
};

NetworkBytes bytes_of(const std::string& network, bool adamw) {
  const std::unique_ptr<Backend> backend = make_backend(Device{});
  const std::shared_ptr<Module> module = make_network(network, *backend);
  double weights = 0, parameters = 0;
  for (const StateEntry& entry : state_dict(*module)) weights += static_cast<double>(entry.values.size());
  for (const NamedParameter& parameter : module->named_parameters())
    parameters += static_cast<double>(parameter.variable.shape().count());
  constexpr double kElement = sizeof(float);
  // A checkpoint also has the momentum, or both moments.
  return {kElement * weights, kElement * (weights + (adamw ? 2 : 1) * parameters)};
}

}  // namespace

double estimate_bytes(const SweepFolder& folder, std::optional<KeptFiles> keep) {
  std::map<std::pair<std::string, bool>, NetworkBytes> networks;
  double bytes = 0;
  for (const SweepJob& job : folder.jobs()) {
    const RunSettings& settings = job.settings;
    const std::pair key(settings.network, settings.update_rule == UpdateRule::kAdamW);
    if (!networks.contains(key)) networks.emplace(key, bytes_of(key.first, key.second));
    const NetworkBytes& network = networks.at(key);
    const double last = std::min(job.epochs, 2) * network.checkpoint;
    switch (job.is_cell ? keep.value_or(settings.keep) : KeptFiles::kLast) {
      case KeptFiles::kWeights: bytes += network.weights; break;
      case KeptFiles::kLast: bytes += last; break;
      case KeptFiles::kAll: {
        const int first = job.beginning ? folder.jobs()[*job.beginning].epochs : 1;  // the epoch it branches after
        bytes += std::max(last, (job.epochs - first + 1) * network.checkpoint);
        break;
      }
    }
    if (settings.validation > 0) bytes += network.weights;  // the best
  }
  return bytes;
}

SweepEstimate estimate_sweep(const SweepFolder& folder, const std::vector<JobReport>& reports, int threads, int ranks,
                             bool uses_runs) {
  static constexpr SettingKinds kOfEpoch = {SettingKind::kImages, SettingKind::kModel, SettingKind::kDevice,
                                            SettingKind::kSpeed};
  const std::vector<SweepJob>& jobs = folder.jobs();
  using Key = std::tuple<std::string, std::string, std::int64_t>;  // everything that determines the time of a step
  std::map<Key, ImageTimes> measured;
  std::map<std::string, double> stored;
  if (uses_runs) stored = longest_epochs(folder, reports, kOfEpoch);
  SweepEstimate estimate;
  estimate.seconds_of_job.resize(jobs.size());
  for (std::size_t i = 0; i < jobs.size(); ++i) {
    RunSettings settings = jobs[i].settings;
    const int begun = jobs[i].beginning ? jobs[*jobs[i].beginning].epochs : 0;
    const int left = jobs[i].epochs - std::max(begun, reports[i].epochs_done);
    if (left <= 0) continue;
    double of_epoch = stored[settings_key(settings, kOfEpoch) + std::to_string(settings.batch_size)];
    if (!(of_epoch > 0)) {
      if (settings.threads == 0) settings.threads = threads;
      const Key key{settings_key(settings, {SettingKind::kModel, SettingKind::kDevice, SettingKind::kSpeed}),
                    settings.dataset, settings.batch_size};
      if (!measured.contains(key)) measured.emplace(key, measure_image_times(settings));
      of_epoch = epoch_seconds(settings, measured.at(key)) / ranks;
      estimate.is_measured = true;
    }
    estimate.seconds_of_job[i] = left * of_epoch;
  }
  return estimate;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/epoch_time.h"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>

#include "gradamp/core/error.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/tools/run/training.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

/// Keeps the summary of the last epoch of a short training. The first epoch is the warm-up and is replaced.
class SpeedObserver : public TrainingObserver {
 public:
  void on_epoch(const EpochSummary& summary) override { last_ = summary; }
  const EpochSummary& last() const { return last_; }

 private:
  EpochSummary last_;
};

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::error_code error;
    const std::filesystem::path temporary = std::filesystem::temp_directory_path(error);
    check(!error, "there is no folder for temporary files: {}; TMPDIR can name one", error.message());
    std::string path = (temporary / "gradamp-XXXXXX").string();
    check(::mkdtemp(path.data()) != nullptr, "no temporary folder {} can be made; TMPDIR can name another place", path);
    path_ = path;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

/// The number of training or test images of a run: that of the settings, or of the whole dataset if they say 0.
std::int64_t images_of(const RunSettings& settings, bool training) {
  const DatasetSource& source = dataset_source(settings.dataset);
  const std::int64_t all = training ? source.train_images : source.test_images;
  const std::int64_t wanted = training ? settings.train_images : settings.test_images;
  return wanted == 0 ? all : wanted;
}

}  // namespace

ImageTimes measure_image_times(RunSettings settings) {
  const TemporaryFolder folder;
  settings.run_folder = (folder.path() / "run").string();
  copy_settings(RunSettings(), settings,
                {SettingKind::kSchedule, SettingKind::kAmplification, SettingKind::kMeasured, SettingKind::kRandom});
  settings.weights.clear();
  settings.reset_head = false;
  const auto at_most_all = [&](std::int64_t images, bool training) {
    const std::int64_t all = images_of(settings, training);
    return all > 0 ? std::min(images, all) : images;
  };
  settings.train_images = at_most_all(2 * settings.batch_size, true);
  settings.validation = 0;
  settings.test_images = at_most_all(std::min<std::int64_t>(settings.evaluation_batch, 500), false);
  settings.selection = SelectionMethod::kNone;
  settings.epochs = 2;
  SpeedObserver observer;
  TrainingControl control;
  control.observer = &observer;
  train(settings, control);
  const double training = 1 / observer.last().images_per_second;
  const double evaluation = observer.last().seconds - training * static_cast<double>(settings.train_images);
  return {training, std::max(0.0, evaluation) / static_cast<double>(settings.test_images)};
}

double epoch_seconds(const RunSettings& settings, const ImageTimes& times) {
  const auto trained = static_cast<double>(images_of(settings, true) - settings.validation);
  const auto evaluated = static_cast<double>(images_of(settings, false) + settings.validation);
  return trained * times.training + evaluated * times.evaluation;
}

}  // namespace gradamp

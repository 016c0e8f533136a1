// SPDX-License-Identifier: MIT
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <numeric>
#include <optional>
#include <vector>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/images/image_file.h"
#include "gradamp/data/images/resize.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/predictor.h"
#include "gradamp/tools/run/run_folder.h"

namespace gradamp {
namespace {

/// An image that was given, and what came of it.
struct PredictedImage {
  std::string name;
  std::string error;                  // empty: none
  std::vector<double> probabilities;  // of the classes
};

/// The predictions for all images that can be read.
std::vector<PredictedImage> predict_images(const Predictor& predictor, const std::vector<std::string>& names) {
  std::vector<PredictedImage> images;
  for (const std::string& name : names) {
    PredictedImage& image = images.emplace_back(PredictedImage{name, {}, {}});
    std::vector<float> values;
    try {
      values = resize(read_image_file(name, predictor.channels()), predictor.height(), predictor.width());
    } catch (const Error& error) {
      image.error = error.what();
      continue;
    }
    image.probabilities = predictor.probabilities(values);
  }
  return images;
}

std::vector<std::size_t> by_probability(const std::vector<double>& probabilities) {
  std::vector<std::size_t> classes(probabilities.size());
  std::iota(classes.begin(), classes.end(), 0);
  std::stable_sort(classes.begin(), classes.end(),
                   [&](std::size_t a, std::size_t b) { return probabilities[a] > probabilities[b]; });
  return classes;
}

nlohmann::ordered_json as_json(const std::vector<PredictedImage>& images, const std::vector<std::string>& names) {
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (const PredictedImage& image : images) {
    nlohmann::ordered_json entry = {{"image", printable(image.name)}};
    if (!image.error.empty()) {
      entry["error"] = printable(image.error);
    } else {
      const std::vector<std::size_t> classes = by_probability(image.probabilities);
      entry["class"] = names[classes[0]];
      entry["index"] = classes[0];
      entry["probabilities"] = nlohmann::ordered_json::object();
      for (const std::size_t c : classes) entry["probabilities"][names[c]] = image.probabilities[c];
    }
    list.push_back(std::move(entry));
  }
  return list;
}

/// One line per image: the most probable class, and the next ones.
std::string as_table(const std::vector<PredictedImage>& images, const std::vector<std::string>& names) {
  constexpr std::size_t kShown = 3;
  std::size_t width = 5, class_width = 5;
  for (const PredictedImage& image : images) width = std::max(width, printable(image.name).size());
  for (const std::string& name : names) class_width = std::max(class_width, name.size());
  std::string table = fmt::format("{:<{}}  {:<{}}  probability  next\n", "image", width, "class", class_width);
  for (const PredictedImage& image : images) {
    if (!image.error.empty()) continue;
    const std::vector<std::size_t> classes = by_probability(image.probabilities);
    std::vector<std::string> next;
    for (std::size_t i = 1; i < std::min(kShown, classes.size()); ++i)
      next.push_back(fmt::format("{} {:.2f}%", names[classes[i]], 100 * image.probabilities[classes[i]]));
    table += fmt::format("{:<{}}  {:<{}}  {:>10.2f}%  {}\n", printable(image.name), width, names[classes[0]],
                         class_width, 100 * image.probabilities[classes[0]], fmt::join(next, ", "));
  }
  return table;
}

}  // namespace

int run_predict(const PredictCommand& command) {
  check(reads_image_files(),
        "this gradamp was built without libpng and libjpeg and cannot read image files: install their development "
        "files (Debian, Ubuntu: libpng-dev and libjpeg-dev) and build it again");
  const RunFolder run = RunFolder::open(command.run, real_file_system());
  RunSettings settings = command.apply_to(run.settings());
  const std::optional<std::filesystem::path> checkpoint = run.saved_weights();
  check(checkpoint.has_value(), "{} has no checkpoint yet", command.run);
  if (*checkpoint != run.checkpoint() && *checkpoint != run.weights())
    std::cerr << fmt::format("{}: warning: {} is missing; predicting with the one before it, {}\n", command_name(),
                             run.checkpoint().string(), checkpoint->filename().string());
  if (!run.facts().input) find_data(settings);
  const Predictor predictor(settings, run.facts(), *checkpoint);
  for (const std::string& note : predictor.notes()) std::cerr << printable(note) << "\n";
  const std::vector<PredictedImage> images = predict_images(predictor, command.images);
  const auto failed =
      std::count_if(images.begin(), images.end(), [](const auto& image) { return !image.error.empty(); });
  if (command.json) {
    std::cout << as_json(images, predictor.class_names()).dump(2) << "\n";
  } else if (failed < std::ssize(images)) {
    std::cout << as_table(images, predictor.class_names());
  }
  std::cout << std::flush;
  for (const PredictedImage& image : images)
    if (!image.error.empty()) std::cerr << fmt::format("{}: {}\n", command_name(), printable(image.error));
  return failed == 0 ? 0 : kExitFailure;
}

}  // namespace gradamp

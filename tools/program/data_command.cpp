// SPDX-License-Identifier: MIT
#include <algorithm>
#include <chrono>
#include <cstdint>
#include <filesystem>
#include <iostream>
#include <vector>

#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/download/fetch_cifar.h"
#include "gradamp/data/download/published_files.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/data/inspection.h"
#include "gradamp/data/synthetic.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/cache_folder.h"
#include "gradamp/tools/run/console.h"

namespace gradamp {
namespace {

/// Shows the progress of a download: on a terminal as a line that is overwritten, otherwise as a line every 30 seconds.
class DownloadDisplay {
 public:
  DownloadDisplay() : options_(process_console_options(false)), last_(options_.clock()) {}
  ~DownloadDisplay() {
    if (shown_) std::cerr << "\r\x1b[K" << std::flush;
  }
  DownloadDisplay(const DownloadDisplay&) = delete;
  DownloadDisplay& operator=(const DownloadDisplay&) = delete;

  void show(std::int64_t done, std::int64_t total) {
    const double now = options_.clock();
    if (shown_once_ && now - last_ < (options_.bar ? 0.2 : 30.0)) return;
    const double speed = speed_.bytes_per_second(now, done);
    last_ = now;
    if (!shown_once_) {  // only the beginning, from which the speed is measured
      shown_once_ = true;
      return;
    }
    const std::string line = format_download(done, total, speed);
    if (options_.bar) {
      std::cerr << "\r" << line << "\x1b[K" << std::flush;
      shown_ = true;
    } else {
      std::cerr << line << std::endl;
    }
  }

 private:
  ConsoleOptions options_;
  DownloadSpeed speed_;
  double last_;
  bool shown_once_ = false, shown_ = false;
};

void print_split(const Dataset& dataset) {
  std::vector<std::int64_t> counts(static_cast<std::size_t>(dataset.classes), 0);
  for (std::int32_t label : dataset.labels) ++counts[static_cast<std::size_t>(label)];
  const auto [least, most] = std::minmax_element(counts.begin(), counts.end());
  std::cout << fmt::format("{} {}: {} images in {} classes, {} to {} of each\n", dataset.name, dataset.split,
                           dataset.count, dataset.classes, *least, *most);
}

/// Prints for each file whether it is the author's. Another one is worth a warning only: it may have been converted, or
/// shortened on purpose.
void print_published(const VerifyCommand& command) {
  for (const ComparedFile& file :
       compare_with_published(command.path, command.dataset, published_sums(command.dataset))) {
    if (file.is_another()) {
      std::cerr << "warning: " << printable(describe(file)) << "\n";
    } else {
      std::cout << printable(describe(file)) << "\n";
    }
  }
}

}  // namespace

int run_fetch(const FetchCommand& command) {
  FetchOptions options;
  options.dataset = command.dataset;
  options.version = command.python ? CifarVersion::kPython : CifarVersion::kBinary;
  options.url = command.url;
  options.md5 = command.md5;
  options.destination = command.destination.empty() ? cache_folder() : std::filesystem::path(command.destination);
  std::filesystem::path folder;
  {
    DownloadDisplay display;
    options.download.progress = [&](std::int64_t done, std::int64_t total) { display.show(done, total); };
    options.note = [](const std::string& text) { std::cerr << text << std::endl; };
    folder = fetch_cifar(options);
  }
  std::cout << fmt::format("{} is in {}\nnext: {} train --dataset {}{}\n", command.dataset, printable(folder.string()),
                           typed_command(), command.dataset,
                           command.destination.empty() ? "" : " --data " + printable(shell_word(folder.string())));
  return 0;
}

int run_make(const MakeCommand& command) {
  const Dataset train = make_synthetic_dataset(command.seed, "train", command.train_images);
  const Dataset test = make_synthetic_dataset(command.seed, "test", command.test_images);
  write_cifar10_layout(command.destination, train, test);
  std::cout << fmt::format("{} training and {} test images are in {}\n", train.count, test.count,
                           printable(command.destination));
  return 0;
}

int run_verify(const VerifyCommand& command) {
  const auto show = [](const Dataset& dataset, std::int64_t per_file) {
    print_split(dataset);
    for (const std::string& sign : suspicious_content(dataset, per_file)) std::cerr << "warning: " << sign << "\n";
  };
  for (const char* split : {"train", "test"}) {
    if (command.dataset == "cifar10") {
      Cifar10Options options;
      if (command.train_images) options.layout.train_records = *command.train_images / 5;
      options.layout.test_records = command.test_images.value_or(options.layout.test_records);
      show(load_cifar10(command.path, split, options),
           split == std::string("train") ? options.layout.train_records : options.layout.test_records);
    } else {
      Cifar100Options options;
      options.layout.train_records = command.train_images.value_or(options.layout.train_records);
      options.layout.test_records = command.test_images.value_or(options.layout.test_records);
      show(load_cifar100(command.path, split, options),
           split == std::string("train") ? options.layout.train_records : options.layout.test_records);
    }
  }
  // Files of another size, which the options announce, are not the author's.
  bool compares_files = !command.train_images && !command.test_images;
  if (!is_folder(command.path)) {
    const ArchiveOrigin origin = origin_of_archive(command.path);
    std::cout << printable(origin.text) << "\n";
    compares_files = compares_files && !origin.is_authors;
  }
  if (compares_files) print_published(command);
  return 0;
}

}  // namespace gradamp

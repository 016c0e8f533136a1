// SPDX-License-Identifier: MIT
// Writes the event file that event_file_reader_test.py expects: three tags at four steps, then an incomplete record.
//
// Usage: write_event_file FOLDER
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <vector>

#include "gradamp/core/error.h"
#include "gradamp/data/files/event_file.h"

namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Row {
  std::int64_t step;
  double wall_time;  // seconds since 1970
  double loss, accuracy, ratio;
};

const Row kRows[] = {{0, 1700000000.25, 2.302585092994046, 0.0, -0.0},
                     {1, 1700000001.5, 1e-30, 0.1, kInfinity},
                     {300, 1700000002.75, -kInfinity, 1.0 / 3, std::nan("")},
                     {5000000000, 1700000003.0, 1e300, 1.0, -1e-45}};

void append(const std::filesystem::path& path, const Row& row) {
  const std::vector<gradamp::Scalar> scalars = {
      {"loss/train", row.loss}, {"accuracy/test", row.accuracy}, {"G'/größe, layer 1", row.ratio}};
  gradamp::EventFile::append(path, row.step, row.wall_time, scalars);
}

void write_file(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / gradamp::event_file_name(1700000000, "0123456789abcdef");
  gradamp::EventFile::create(path, 1700000000);
  for (const Row& row : kRows) append(path, row);
  // A run that continued after a checkpoint, and was then resumed from that checkpoint.
  append(path, {5000000001, 1700000004, 0, 0, 0});
  gradamp::EventFile::trim(path, kRows[3].step);
  append(path, {5000000001, 1700000005, 0, 0, 0});
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 7);
}

}  // namespace

int main(int argument_count, char** arguments) {
  if (argument_count != 2) {
    std::fputs("usage: write_event_file FOLDER\n", stderr);
    return 2;
  }
  try {
    write_file(arguments[1]);
  } catch (const gradamp::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}

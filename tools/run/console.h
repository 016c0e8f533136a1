// SPDX-License-Identifier: MIT
// The console output of a training run: a progress bar (or an occasional progress line, if the output is not a
// terminal), one line per epoch, one table per selection, and a summary.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <ostream>
#include <string>
#include <utility>

#include "gradamp/core/command_name.h"
#include "gradamp/tools/run/training.h"

namespace gradamp {

struct ConsoleOptions {
  bool bar = false;    // the progress stream is a terminal that can overwrite a line
  bool color = false;  // print the results in color
  bool quiet = false;  // print only the summary
  /// The width of the stream, called for every line. Lines are shortened to fit. 0: unlimited.
  std::function<int()> result_columns = [] { return 0; };
  std::function<int()> progress_columns = [] { return 0; };
  /// The time in seconds since an arbitrary moment.
  std::function<double()> clock = [] { return 0.0; };
};

/// The options for this process. They depend on standard output and standard error, NO_COLOR, TERM, and the terminal's
/// width.
ConsoleOptions process_console_options(bool quiet);

/// Prints epochs, selections and the summary to `results`, and the progress bar or progress lines to `progress`.
class Console : public TrainingObserver {
 public:
  Console(std::ostream& results, std::ostream& progress, ConsoleOptions options);
  /// Removes the progress bar.
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void on_start(const std::vector<std::string>& description) override;
  void on_step(const StepProgress& progress) override;
  void on_evaluation(const StepProgress& progress) override;
  void on_epoch(const EpochSummary& summary) override;
  void on_selection(const SelectionSummary& summary) override;
  void on_measure(const MeasureSummary& summary) override;
  /// Prints the summary of a completed run.
  void on_finish(const TrainingOutcome& outcome);

 private:
  void print(const std::string& line);
  void clear_bar();

  std::ostream& results_;
  std::ostream& progress_;
  ConsoleOptions options_;
  bool bar_shown_ = false;
  double last_progress_;  // time of options_.clock
};

/// "12.3 s", "3 min 12 s", "2 h 05 min".
std::string format_duration(double seconds);
/// "1.2 MB", "75 GB": powers of 1000.
std::string format_bytes(double bytes);
/// "12.3 MB of 170.5 MB    7%  2.1 MB/s  1:15 left". `total` is 0 and the speed is 0 if they are not known.
std::string format_download(std::int64_t done, std::int64_t total, double bytes_per_second);

/// The speed of a download over the last ten seconds, without the bytes that were there before.
class DownloadSpeed {
 public:
  /// `now`: a time in seconds that never decreases; `done`: the bytes at that time.
  double bytes_per_second(double now, std::int64_t done);

 private:
  std::deque<std::pair<double, std::int64_t>> samples_;
};

/// One line of at most `columns` characters, with a progress bar if `bar`.
std::string format_progress(const StepProgress& progress, int columns, bool bar);
/// One line without color. If it is longer than `columns` (0: unlimited), its words become shorter, and the least
/// important parts are left out; 80 columns have room for the train loss and the speed.
std::string format_epoch(const EpochSummary& summary, int columns);
/// Lines of at most `columns` (0: unlimited) characters, but of 20 at least. Each ends with a newline.
std::string format_selection(const SelectionSummary& summary, int columns = 0);
/// One line of up to 80 characters.
std::string format_measures(const MeasureSummary& summary);
std::string format_outcome(const TrainingOutcome& outcome);
/// The width of the terminal behind a file descriptor, or 0 if it is not a terminal.
int terminal_columns(int descriptor);

}  // namespace gradamp

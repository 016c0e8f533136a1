// SPDX-License-Identifier: MIT
// What a training run shows: on a terminal a progress bar, elsewhere now and then a line; a line an epoch, a table a
// selection, and a summary.
#pragma once

#include <functional>
#include <ostream>
#include <string>

#include "gradamp/tools/run/training.h"

namespace gradamp {

struct ConsoleOptions {
  bool bar = false;    // the progress stream is a terminal that can overwrite a line
  bool color = false;  // of the results
  bool quiet = false;  // the summary only
  /// Asked at every line, which is kept shorter; 0: unlimited.
  std::function<int()> result_columns = [] { return 0; };
  std::function<int()> progress_columns = [] { return 0; };
  /// In seconds, from any moment on.
  std::function<double()> clock = [] { return 0.0; };
};

/// For this process: standard output and standard error, NO_COLOR, TERM, and the terminal's width.
ConsoleOptions process_console_options(bool quiet);

/// Epochs, selections and the summary go to `results`; what is overwritten or out of date soon goes to `progress`.
class Console : public TrainingObserver {
 public:
  Console(std::ostream& results, std::ostream& progress, ConsoleOptions options);
  /// Removes the progress bar.
  ~Console() override;
  Console(const Console&) = delete;
  Console& operator=(const Console&) = delete;

  void on_start(const std::vector<std::string>& description) override;
  void on_step(const StepProgress& progress) override;
  void on_epoch(const EpochSummary& summary) override;
  void on_selection(const SelectionSummary& summary) override;
  /// The summary of a completed run.
  void on_finish(const TrainingOutcome& outcome);

 private:
  void print(const std::string& line);
  void clear_bar();

  std::ostream& results_;
  std::ostream& progress_;
  ConsoleOptions options_;
  bool bar_shown_ = false;
  double last_progress_;  // by the clock
};

/// "12.3 s", "3 min 12 s", "2 h 05 min".
std::string format_duration(double seconds);
/// One line of at most `columns` characters, where `bar` with a bar.
std::string format_progress(const StepProgress& progress, int columns, bool bar);
/// One line without color; what is least needed is left out where it is longer than `columns` (0: unlimited).
std::string format_epoch(const EpochSummary& summary, int columns);
/// Lines of up to 80 characters (longer names of layers apart), each with its newline.
std::string format_selection(const SelectionSummary& summary);
std::string format_outcome(const TrainingOutcome& outcome);
/// `text` so that a shell takes it as one word.
std::string shell_word(const std::string& text);
/// Of the terminal behind a file descriptor; 0 where there is none.
int terminal_columns(int descriptor);

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/console.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdlib>
#include <string_view>
#include <utility>

#include <sys/ioctl.h>
#include <unistd.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"

namespace gradamp {
namespace {

constexpr double kRedrawSeconds = 0.1;
constexpr double kPlainSeconds = 30;
constexpr std::size_t kMaxRows = 20;  // if there are more layers, a table shows the selected ones and the extremes
constexpr std::size_t kExtremes = 3;
constexpr std::size_t kMaxSelectedRows = 12;
constexpr int kMaxNames = 4;

constexpr const char* kBold = "\x1b[1m";
constexpr const char* kPlain = "\x1b[0m";

std::string percent(double fraction) { return fmt::format("{:.2f}%", 100 * fraction); }

std::string epoch_number(int epoch, int epochs) {
  return fmt::format("{:>{}}/{}", epoch, std::to_string(epochs).size(), epochs);
}

std::string rate(double images_per_second) {
  return images_per_second < 9.95 ? fmt::format("{:.1f} images/s", images_per_second)
                                  : fmt::format("{:.0f} images/s", images_per_second);
}

std::string short_rate(double images_per_second) {
  return images_per_second < 9.95 ? fmt::format("{:.1f} img/s", images_per_second)
                                  : fmt::format("{:.0f} img/s", images_per_second);
}

/// "1:02:03 left"
std::string time_left(double seconds) {
  if (!(seconds >= 0) || seconds > 1e7) return "? left";
  const auto whole = static_cast<long>(std::lround(seconds));
  if (whole < 3600) return fmt::format("{}:{:02} left", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02} left", whole / 3600, whole / 60 % 60, whole % 60);
}

/// A part of a line. Parts are joined by two spaces. If the line is too long, the part with the highest `importance`
/// number is removed first.
struct LinePart {
  std::string text;
  int importance;  // 0: never removed
  const char* before = "  ";
};

std::string join_parts(std::vector<LinePart> parts, int columns) {
  while (true) {
    std::string line;
    for (const LinePart& part : parts)
      if (!part.text.empty()) line += (line.empty() ? "" : part.before) + part.text;
    if (columns <= 0 || line.size() <= static_cast<std::size_t>(columns)) return line;
    const auto least = std::max_element(
        parts.begin(), parts.end(), [](const LinePart& a, const LinePart& b) { return a.importance < b.importance; });
    if (least == parts.end() || least->importance == 0) return line.substr(0, static_cast<std::size_t>(columns));
    parts.erase(least);
  }
}

std::string draw_bar(double fraction, int columns) {
  const int cells = columns - 2;
  const int filled = std::clamp(static_cast<int>(std::lround(fraction * cells)), 0, cells);
  std::string bar(static_cast<std::size_t>(filled), '=');
  if (filled > 0 && filled < cells) bar.back() = '>';
  bar.resize(static_cast<std::size_t>(cells), ' ');
  return "[" + bar + "]";
}

std::string optional_number(const std::optional<double>& value, const char* sign) {
  if (!value) return "-";
  return *sign == '+' ? fmt::format("{:+.3f}", *value) : fmt::format("{:.4f}", *value);
}

std::string selected_names(const std::vector<LayerReport>& layers) {
  std::string names;
  int count = 0;
  for (const LayerReport& layer : layers) {
    if (!layer.selected) continue;
    if (++count <= kMaxNames) names += (names.empty() ? "" : ", ") + printable(layer.name);
  }
  if (count > kMaxNames) names += fmt::format(" and {} more", count - kMaxNames);
  return names;
}

std::size_t count_selected(const std::vector<LayerReport>& layers) {
  return static_cast<std::size_t>(
      std::count_if(layers.begin(), layers.end(), [](const LayerReport& layer) { return layer.selected; }));
}

/// For each layer, whether the table shows it. `layers` are sorted by G'.
std::vector<bool> rows_to_show(const std::vector<LayerReport>& layers) {
  std::vector<bool> shown(layers.size(), layers.size() <= kMaxRows);
  std::size_t selected = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    if (layers[i].selected && selected++ < kMaxSelectedRows) shown[i] = true;
    if (i < kExtremes || i + kExtremes >= layers.size()) shown[i] = true;
  }
  return shown;
}

/// The columns of the layer table that fit a width. The type is left out first, then what G has, then the normalized
/// G'; at last the names are shortened.
class LayerColumns {
 public:
  LayerColumns(std::size_t name_width, int columns) : name_width_(name_width) {
    if (columns <= 0) return;
    const auto room = static_cast<std::size_t>(columns);
    for (const std::size_t column : {0, 4, 3, 2})
      if (width() > room) shown_[column] = false;
    constexpr std::size_t kMinName = 5;
    if (width() > room) name_width_ = std::max(kMinName, name_width_ - std::min(name_width_, width() - room));
  }

  /// `cells`: type, G', normalized G', G, normalized G.
  std::string row(const char* mark, std::string name, const std::array<std::string, 5>& cells) const {
    if (name.size() > name_width_) name = ".." + name.substr(name.size() - (name_width_ - 2));
    std::string line = fmt::format("  {} {:<{}}", mark, name, name_width_);
    for (std::size_t i = 0; i < cells.size(); ++i)
      if (shown_[i])
        line += i == 0 ? fmt::format("  {:<{}}", cells[i], kWidths[i]) : fmt::format("  {:>{}}", cells[i], kWidths[i]);
    return line + "\n";
  }

 private:
  std::size_t width() const {
    std::size_t sum = 4 + name_width_;
    for (std::size_t i = 0; i < kWidths.size(); ++i) sum += shown_[i] ? 2 + kWidths[i] : 0;
    return sum;
  }

  static constexpr std::array<std::size_t, 5> kWidths = {6, 7, 10, 7, 10};
  std::size_t name_width_;
  std::array<bool, 5> shown_ = {true, true, true, true, true};
};

bool environment_has(const char* name) {
  const char* value = std::getenv(name);
  return value != nullptr && *value != '\0';
}

}  // namespace

ConsoleOptions process_console_options(bool quiet) {
  const char* terminal = std::getenv("TERM");
  const bool dumb = terminal == nullptr || std::string_view(terminal) == "dumb";
  ConsoleOptions options;
  options.quiet = quiet;
  options.bar = isatty(STDERR_FILENO) != 0 && !dumb;
  options.color = isatty(STDOUT_FILENO) != 0 && !dumb && !environment_has("NO_COLOR");
  options.result_columns = [] { return terminal_columns(STDOUT_FILENO); };
  options.progress_columns = [] { return terminal_columns(STDERR_FILENO); };
  options.clock = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
  };
  return options;
}

int terminal_columns(int descriptor) {
  winsize size{};
  return ioctl(descriptor, TIOCGWINSZ, &size) == 0 ? size.ws_col : 0;
}

std::string format_duration(double seconds) {
  if (!(seconds < 1e15)) return fmt::format("{:g} s", seconds);  // also infinity and NaN, which lround cannot take
  if (seconds < 59.95) return fmt::format("{:.1f} s", seconds);
  const auto whole = static_cast<long>(std::lround(seconds));
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  const long minutes = std::lround(seconds / 60);
  return fmt::format("{} h {:02} min", minutes / 60, minutes % 60);
}

std::string format_bytes(double bytes) {
  static constexpr const char* kUnits[] = {"bytes", "kB", "MB", "GB", "TB"};
  std::size_t unit = 0;
  for (; bytes >= 999.5 && unit + 1 < std::size(kUnits); ++unit) bytes /= 1000;
  return unit == 0 || bytes >= 9.95 ? fmt::format("{:.0f} {}", bytes, kUnits[unit])
                                    : fmt::format("{:.1f} {}", bytes, kUnits[unit]);
}

std::string format_download(std::int64_t done, std::int64_t total, double bytes_per_second) {
  const double bytes = static_cast<double>(done), all = static_cast<double>(total);
  std::string line = fmt::format("{:.1f} MB", bytes / 1e6);
  if (total > 0) line += fmt::format(" of {:.1f} MB  {:3.0f}%", all / 1e6, std::floor(100 * bytes / all));
  if (!(bytes_per_second > 0)) return line;
  line += "  " + format_bytes(bytes_per_second) + "/s";
  if (total > 0) line += "  " + time_left((all - bytes) / bytes_per_second);
  return line;
}

double DownloadSpeed::bytes_per_second(double now, std::int64_t done) {
  constexpr double kWindow = 10;                                             // seconds
  if (!samples_.empty() && done < samples_.back().second) samples_.clear();  // it began again
  samples_.emplace_back(now, done);
  while (samples_.size() > 2 && now - samples_[1].first >= kWindow) samples_.pop_front();
  const double seconds = now - samples_.front().first;
  return seconds > 0 ? static_cast<double>(done - samples_.front().second) / seconds : 0;
}

std::string format_progress(const StepProgress& progress, int columns, bool bar) {
  const std::int64_t all = progress.images_per_epoch + progress.to_evaluate;
  const double fraction = progress.images_per_epoch > 0
                              ? static_cast<double>(progress.images + progress.evaluated) / static_cast<double>(all)
                              : 0;
  const std::string epoch = "epoch " + epoch_number(progress.epoch, progress.epochs);
  std::vector<LinePart> parts{{epoch, 0},
                              {fmt::format("{:3.0f}%", std::floor(100 * fraction)), 1},
                              {progress.evaluated > 0 ? "evaluating" : "", 1},
                              {fmt::format("loss {:.4f}", progress.loss), 3},
                              {"acc " + percent(progress.accuracy), 2},
                              {rate(progress.images_per_second), 5},
                              {time_left(progress.seconds_left), 4}};
  const std::string line = join_parts(parts, columns);
  constexpr int kMinBar = 10, kMaxBar = 32;
  const int room = columns <= 0 ? kMaxBar : columns - static_cast<int>(line.size()) - 2;
  if (!bar || room < kMinBar) return line;
  return epoch + "  " + draw_bar(fraction, std::min(room, kMaxBar)) + line.substr(epoch.size());
}

std::string format_epoch(const EpochSummary& summary, int columns) {
  std::string mark;
  if (summary.analyzed) mark = "analyzed";
  if (summary.amplified) mark += mark.empty() ? "amplified" : ", amplified";
  const std::string epoch = "epoch " + epoch_number(summary.epoch, summary.epochs);
  const std::string rate_text = fmt::format("lr {:g}", summary.learning_rate);
  const std::string speed = rate(summary.images_per_second), seconds = format_duration(summary.seconds);
  const std::string validation =
      summary.validation_accuracy ? "validation acc " + percent(*summary.validation_accuracy) : "";
  const std::string whole =
      join_parts({{epoch, 0},
                  {rate_text, 0},
                  {fmt::format("train loss {:.4f} acc {}", summary.train_loss, percent(summary.train_accuracy)), 0},
                  {fmt::format("test loss {:.4f} acc {}", summary.test_loss, percent(summary.test_accuracy)), 0},
                  {validation, 0},
                  {speed, 0},
                  {seconds, 0},
                  {mark, 0}},
                 0);
  if (columns <= 0 || whole.size() <= static_cast<std::size_t>(columns)) return whole;
  // The same in short. The least important parts are left out until it fits.
  return join_parts({{epoch, 0},
                     {rate_text, 7},
                     {fmt::format("train {:.4f}", summary.train_loss), 1},
                     {percent(summary.train_accuracy), 5, " "},
                     {"test", 0},
                     {fmt::format("{:.4f}", summary.test_loss), 6, " "},
                     {percent(summary.test_accuracy), 0, " "},
                     {summary.validation_accuracy ? "val " + percent(*summary.validation_accuracy) : "", 3},
                     {short_rate(summary.images_per_second), 2},
                     {seconds, 8},
                     {summary.analyzed && summary.amplified ? "analyzed+amplified" : mark, 4}},
                    columns);
}

std::string format_selection(const SelectionSummary& summary, int columns) {
  std::vector<LayerReport> layers = summary.layers;
  const std::size_t selected = count_selected(layers);
  const bool measured = std::any_of(layers.begin(), layers.end(), [](const LayerReport& l) { return l.g_prime; });
  if (!measured) {
    const std::string start =
        fmt::format("drawn for epoch {}: {} of {} layers are amplified", summary.epoch, selected, layers.size());
    const std::string line = start + ": " + selected_names(layers);
    const bool fits = columns <= 0 || line.size() <= static_cast<std::size_t>(columns);
    return (fits ? line : start.substr(0, static_cast<std::size_t>(columns))) + "\n";
  }
  std::string text = join_parts(
      {{fmt::format("selected after epoch {}: {} of {} layers (*)", summary.epoch, selected, layers.size()), 0},
       {selected == 0 ? "nothing is amplified" : "", 1, ": "},
       {fmt::format("noise floor of G and G' {:.4f}", summary.noise_floor), 1, "; "}},
      columns);
  text += "\n";
  std::stable_sort(layers.begin(), layers.end(),
                   [](const LayerReport& a, const LayerReport& b) { return a.g_prime > b.g_prime; });
  const std::vector<bool> shown = rows_to_show(layers);
  std::size_t name_width = 5;
  for (std::size_t i = 0; i < layers.size(); ++i)
    if (shown[i]) name_width = std::max(name_width, printable(layers[i].name).size());
  const LayerColumns fitted(name_width, columns);
  text += fitted.row(" ", "layer", {"type", "G'", "normalized", "G", "normalized"});
  std::size_t hidden = 0;
  for (std::size_t i = 0; i < layers.size(); ++i) {
    const LayerReport& layer = layers[i];
    if (!shown[i]) {
      ++hidden;
      continue;
    }
    text += fitted.row(layer.selected ? "*" : " ", printable(layer.name),
                       {printable(name_of(layer.type)), optional_number(layer.g_prime, ""),
                        optional_number(layer.normalized_g_prime, "+"), optional_number(layer.g, ""),
                        optional_number(layer.normalized_g, "+")});
  }
  if (hidden > 0)
    text += join_parts({{fmt::format("    {} more layers are in layers.jsonl", hidden), 0}}, columns) + "\n";
  return text;
}

std::string format_measures(const MeasureSummary& summary) {
  const auto range = [&](double MeasuredLayer::*measure) {
    const auto [least, most] =
        std::minmax_element(summary.layers.begin(), summary.layers.end(),
                            [&](const MeasuredLayer& a, const MeasuredLayer& b) { return a.*measure < b.*measure; });
    return fmt::format("{:.3f} to {:.3f}", (*least).*measure, (*most).*measure);
  };
  const std::string epochs = summary.first_epoch == summary.epoch
                                 ? fmt::format("epoch {}", summary.epoch)
                                 : fmt::format("epochs {}-{}", summary.first_epoch, summary.epoch);
  return fmt::format("measured {}: G {}, G' {}, noise floor {:.3f}", epochs, range(&MeasuredLayer::g),
                     range(&MeasuredLayer::g_prime), summary.noise_floor);
}

std::string format_outcome(const TrainingOutcome& outcome) {
  const EpochSummary& last = outcome.last;
  const std::string folder = printable(shell_word(outcome.run_folder.string()));
  std::string text = fmt::format("finished {} epoch{} in {}\n", last.epoch, last.epoch == 1 ? "" : "s",
                                 format_duration(outcome.seconds));
  text += fmt::format("  test accuracy  {} (epoch {}), best {} (epoch {})\n", percent(last.test_accuracy), last.epoch,
                      percent(outcome.best_accuracy), outcome.best_epoch);
  if (last.validation_accuracy) text += fmt::format("  validation     {}\n", percent(*last.validation_accuracy));
  if (outcome.selections.empty())
    text += "  selected       nothing: the strategy has no amplifying phase, or --selection none\n";
  for (const SelectionSummary& selection : outcome.selections) {
    const std::size_t count = count_selected(selection.layers);
    const bool drawn = selection.noise_floor == 0;
    text += fmt::format("  {}  {} {}: {} of {} layers{}{}\n",
                        &selection == &outcome.selections.front() ? "selected     " : "             ",
                        drawn ? "from epoch" : "after epoch", selection.epoch, count, selection.layers.size(),
                        count > 0 ? ": " : "", selected_names(selection.layers));
  }
  if (outcome.ranks > 1)
    text += fmt::format(
        "  ranks          {}{}\n", outcome.ranks,
        outcome.exchange_share ? ", " + percent(*outcome.exchange_share) + " of the time in exchanges" : "");
  text += fmt::format("  run folder     {}\n", printable(outcome.run_folder.string()));
  text += fmt::format("next: {} evaluate --run {}\n", typed_command(), folder);
  if (outcome.selections.empty())
    text += fmt::format("      {} train --strategy params_1 --epochs {}  (with amplification)\n", typed_command(),
                        std::max(last.epoch, 8));
  return text;
}

Console::Console(std::ostream& results, std::ostream& progress, ConsoleOptions options)
    : results_(results), progress_(progress), options_(std::move(options)), last_progress_(options_.clock()) {}

Console::~Console() { clear_bar(); }

void Console::clear_bar() {
  if (!bar_shown_) return;
  progress_ << "\r\x1b[K" << std::flush;
  bar_shown_ = false;
}

void Console::print(const std::string& line) {
  clear_bar();
  results_ << line << std::flush;
}

void Console::on_start(const std::vector<std::string>& description) {
  if (options_.quiet) return;
  for (const std::string& line : description) print(printable(line) + "\n");
}

void Console::on_step(const StepProgress& progress) {
  if (options_.quiet) return;
  const double now = options_.clock();
  const bool due = now - last_progress_ >= (options_.bar ? kRedrawSeconds : kPlainSeconds);
  if (!due) return;
  last_progress_ = now;
  if (!options_.bar) {
    progress_ << format_progress(progress, 0, false) << std::endl;
    return;
  }
  // Some terminals scroll if a line has their full width.
  const int columns = options_.progress_columns();
  progress_ << "\r" << format_progress(progress, columns > 1 ? columns - 1 : 79, true) << "\x1b[K" << std::flush;
  bar_shown_ = true;
}

void Console::on_evaluation(const StepProgress& progress) { on_step(progress); }

void Console::on_epoch(const EpochSummary& summary) {
  if (options_.quiet) return;
  if (!options_.bar) last_progress_ = options_.clock();
  print(format_epoch(summary, options_.result_columns()) + "\n");
}

void Console::on_selection(const SelectionSummary& summary) {
  if (options_.quiet) return;
  std::string text = format_selection(summary, options_.result_columns());
  if (options_.color) {
    const std::size_t end = text.find('\n');
    text = kBold + text.substr(0, end) + kPlain + text.substr(end);
  }
  print(text);
}

void Console::on_measure(const MeasureSummary& summary) {
  if (!options_.quiet) print(format_measures(summary) + "\n");
}

void Console::on_finish(const TrainingOutcome& outcome) { print(format_outcome(outcome)); }

}  // namespace gradamp

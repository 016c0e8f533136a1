// SPDX-License-Identifier: MIT
#include "gradamp/optim/strategy.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <numeric>

#include "gradamp/core/error.h"
#include "gradamp/core/text.h"

namespace gradamp {
namespace {

constexpr const char* kGrammar =
    "expected phases end_epoch:learning_rate[:factor] such as '50:0.1, 100:0.1:2, 150:0.01', or params_1 or params_2";

/// Parses the whole of `text` as a number; false if it is none.
template <typename T>
bool read_number(std::string_view text, T& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

std::string_view trim(std::string_view text) {
  const std::size_t first = text.find_first_not_of(" \t\r\n");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r\n") - first + 1);
}

/// Returns the part of `text` before the first `separator`, and removes both from `text`.
std::string_view take_until(std::string_view& text, char separator) {
  const std::size_t place = text.find(separator);
  const std::string_view head = trim(text.substr(0, place));
  text = place == std::string_view::npos ? std::string_view() : text.substr(place + 1);
  return head;
}

Phase parse_phase(std::string_view text) {
  Phase phase;
  const auto fields = std::count(text.begin(), text.end(), ':') + 1;
  std::string_view rest = text;
  bool good = fields == 2 || fields == 3;
  good = good && read_number(take_until(rest, ':'), phase.end_epoch);
  good = good && read_number(take_until(rest, ':'), phase.learning_rate);
  if (good && fields == 3) {
    rest = trim(rest);
    if (rest.starts_with('x')) rest.remove_prefix(1);
    phase.amplify = true;
    good = read_number(rest, phase.factor);
  }
  check(good, "strategy: {}; cannot read the phase '{}'", kGrammar, shortened(text));
  return phase;
}

/// The first epoch of a phase that amplifies is analyzed, and not amplified.
int least_epochs_of(const Phase& phase) { return phase.amplify ? 2 : 1; }

bool is_positive(double value) { return std::isfinite(value) && value > 0; }

}  // namespace

void Strategy::validate() const {
  check(!phases.empty(), "strategy: {}; got no phase", kGrammar);
  check(reselect_every >= 0, "strategy: expected to reselect every k epochs with k at least 0, got {}", reselect_every);
  int previous = 0;
  for (const Phase& phase : phases) {
    check(phase.end_epoch > previous, "strategy: expected end epochs that rise from 1 on, got {} after {}",
          phase.end_epoch, previous);
    check(is_positive(phase.learning_rate), "strategy: expected a finite learning rate above 0 up to epoch {}, got {}",
          phase.end_epoch, phase.learning_rate);
    check(is_positive(phase.factor), "strategy: expected a finite amplification factor above 0 up to epoch {}, got {}",
          phase.end_epoch, phase.factor);
    check(phase.amplify || phase.factor == 1,
          "strategy: the phase up to epoch {} has the factor {} but does not amplify", phase.end_epoch, phase.factor);
    previous = phase.end_epoch;
  }
}

EpochPlan Strategy::plan(int epoch) const {
  check(epoch >= 1 && epoch <= epochs(), "strategy: expected an epoch from 1 to {}, got {}", epochs(), epoch);
  EpochPlan plan{.epoch = epoch};
  while (phases[static_cast<std::size_t>(plan.phase)].end_epoch < epoch) ++plan.phase;
  const Phase& phase = phases[static_cast<std::size_t>(plan.phase)];
  const int first = plan.phase == 0 ? 1 : phases[static_cast<std::size_t>(plan.phase) - 1].end_epoch + 1;
  plan.learning_rate = phase.learning_rate;
  plan.factor = phase.factor;
  plan.phase_start = epoch == first;
  if (!phase.amplify) return plan;
  if (plan.phase_start) {
    plan.analyzed = plan.clear_sums = plan.select = true;
    plan.window_epochs = 1;
    return plan;
  }
  plan.amplified = true;
  if (reselect_every == 0) return plan;
  const std::int64_t place = (epoch - first - 1) % reselect_every;  // epoch's index in its window
  const std::int64_t left = reselect_every - 1 - place;             // epochs of the window after this one
  plan.analyzed = left < phase.end_epoch - epoch;
  plan.clear_sums = plan.analyzed && place == 0;
  plan.select = plan.analyzed && left == 0;
  plan.window_epochs = plan.analyzed ? place + 1 : 0;
  return plan;
}

int Strategy::least_epochs() const {
  return std::accumulate(phases.begin(), phases.end(), 0,
                         [](int sum, const Phase& phase) { return sum + least_epochs_of(phase); });
}

Strategy Strategy::scale_to(int new_epochs) const {
  validate();
  const auto count = static_cast<int>(phases.size());
  check(new_epochs >= count, "strategy: {} phases need {} epochs at least, got {}", count, count, new_epochs);
  std::vector<std::int64_t> least;
  for (const Phase& phase : phases) least.push_back(least_epochs_of(phase));
  std::int64_t total = least_epochs();
  for (auto length = least.rbegin(); length != least.rend() && total > new_epochs; ++length) {
    total -= *length - 1;
    *length = 1;
  }
  Strategy scaled = *this;
  const std::int64_t old_epochs = epochs();
  std::vector<std::int64_t> ends;  // the largest sums have more than 32 bits
  for (std::size_t i = 0; i < least.size(); ++i) {
    const std::int64_t end = (2 * std::int64_t{phases[i].end_epoch} * new_epochs + old_epochs) / (2 * old_epochs);
    ends.push_back(std::max(end, (i == 0 ? 0 : ends[i - 1]) + least[i]));  // rounded
  }
  ends.back() = new_epochs;
  for (std::size_t i = least.size() - 1; i > 0; --i) ends[i - 1] = std::min(ends[i - 1], ends[i] - least[i]);
  for (std::size_t i = 0; i < least.size(); ++i) scaled.phases[i].end_epoch = static_cast<int>(ends[i]);
  return scaled;
}

Strategy params_1() {
  return {{{50, 0.1, false, 1}, {100, 0.1, true, 2}, {130, 0.01, true, 2}, {150, 0.01, false, 1}}};
}

Strategy params_2() {
  return {{{10, 0.1, false, 1}, {100, 0.1, true, 2}, {145, 0.01, true, 2}, {150, 0.01, false, 1}}};
}

Strategy parse_strategy(std::string_view text) {
  if (trim(text) == "params_1") return params_1();
  if (trim(text) == "params_2") return params_2();
  Strategy strategy;
  std::string_view rest = text;
  const auto count = std::count(text.begin(), text.end(), ',') + 1;
  for (std::ptrdiff_t i = 0; i < count; ++i) strategy.phases.push_back(parse_phase(take_until(rest, ',')));
  strategy.validate();
  return strategy;
}

std::string to_string(const Strategy& strategy) {
  std::string text;
  for (const Phase& phase : strategy.phases) {
    if (!text.empty()) text += ", ";
    text += fmt::format("{}:{}", phase.end_epoch, phase.learning_rate);
    if (phase.amplify) text += fmt::format(":{}", phase.factor);
  }
  return text;
}

}  // namespace gradamp

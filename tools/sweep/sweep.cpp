// SPDX-License-Identifier: MIT
#include "gradamp/tools/sweep/sweep.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <unordered_map>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/data/files/crc32c.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/optim/choices.h"
#include "gradamp/tools/settings/config_file.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

constexpr std::size_t kMostCells = 100000;
/// A file's name has at most 255 bytes, and "NAME.txt.gradamp-tmp" is one. A beginning's name can get a number behind
/// it.
constexpr std::size_t kMaxName = 230, kMaxBeginningName = 220;

struct Kind {
  const char* heading;
  SelectionMethod selection;
};
constexpr Kind kKinds[] = {{"original", SelectionMethod::kNone},
                           {"random", SelectionMethod::kRandom},
                           {"amplified", SelectionMethod::kMeasure}};

/// A setting and its values. Each cell has one of the values.
struct Axis {
  const Setting* setting;
  std::string source;  // "sweep.toml:3"
  std::vector<std::string> values;
};

double read_bound(std::string_view text, std::string_view range) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check(error == std::errc() && end == text.data() + text.size() && std::isfinite(value),
        "expected a range from:to:step of numbers, got '{}'", shortened(range));
  return value;
}

/// The values of a range of whole numbers from 0 on, exactly; none if it is another range.
std::optional<std::vector<std::string>> expand_whole_range(std::string_view range) {
  std::vector<std::uint64_t> bounds;
  for (std::size_t begin = 0; begin <= range.size();) {
    const std::size_t end = std::min(range.find(':', begin), range.size());
    std::uint64_t& bound = bounds.emplace_back();
    const auto [stop, error] = std::from_chars(range.data() + begin, range.data() + end, bound);
    if (error != std::errc() || stop != range.data() + end) return std::nullopt;
    begin = end + 1;
  }
  const std::uint64_t step = bounds.size() == 3 ? bounds[2] : 1;
  if (bounds.size() < 2 || bounds.size() > 3 || step == 0 || bounds[0] > bounds[1]) return std::nullopt;
  const std::uint64_t span = bounds[1] - bounds[0];
  if (span % step != 0 || span / step >= kMostCells) return std::nullopt;
  std::vector<std::string> values;
  for (std::uint64_t i = 0; i <= span / step; ++i) values.push_back(fmt::format("{}", bounds[0] + i * step));
  return values;
}

/// Expands "0.7:0.9:0.1" to 0.7, 0.8, 0.9. The last value may differ from `to` by rounding errors.
std::vector<std::string> expand_range(std::string_view range) {
  if (std::optional<std::vector<std::string>> values = expand_whole_range(range)) return *std::move(values);
  std::vector<double> bounds;
  for (std::size_t begin = 0; begin <= range.size();) {
    const std::size_t end = std::min(range.find(':', begin), range.size());
    bounds.push_back(read_bound(range.substr(begin, end - begin), range));
    begin = end + 1;
  }
  check(bounds.size() <= 3, "expected a range from:to:step, got '{}'", shortened(range));
  const double from = bounds[0], to = bounds[1], step = bounds.size() == 3 ? bounds[2] : 1;
  check(step > 0, "expected a step above 0, got the range '{}'", range);
  check(from <= to, "expected a range that rises, got '{}'", range);
  const double steps = std::floor((to - from) / step + 1e-9);
  check(steps < static_cast<double>(kMostCells), "the range '{}' has more than {} values", range, kMostCells);
  const double last = from + steps * step;
  check(std::abs(last - to) <= 1e-9 * std::max(1.0, std::abs(to)),
        "expected a range whose steps of {} end at {}, got '{}', which ends at {:.10g}", step, to, range, last);
  std::vector<std::string> values;
  for (int i = 0; i <= static_cast<int>(steps); ++i) {
    const double value = from + i * step;
    const bool whole = value == std::floor(value) && std::abs(value) < 1e15;
    values.push_back(whole ? fmt::format("{:.0f}", value) : fmt::format("{:.10g}", value));  // 0.9, not 0.7 + 2 * 0.1
  }
  return values;
}

const Setting& setting_of(const std::string& key) {
  const Setting* setting = find_setting(key);
  check(setting != nullptr, "unknown key '{}'; {}", shortened(key), setting_hint(key));
  check(key != "run-folder", "run-folder: a cell's folder lies in the sweep's");
  check(key != "selection", "selection: the headings [original], [random] and [amplified] say so");
  return *setting;
}

/// Reads the values of an entry. Error if the setting does not accept one of them.
Axis read_axis(const ConfigEntry& entry, const std::string& file) {
  const Setting* setting = &setting_of(entry.key);
  Axis axis{setting, fmt::format("{}:{}", file, entry.line), {}};
  for (const std::string& element : entry.elements) {
    if (setting->is_number() && element.find(':') != element.npos) {
      for (std::string& value : expand_range(element)) axis.values.push_back(std::move(value));
    } else {
      axis.values.push_back(element);
    }
  }
  check(!axis.values.empty(), "{}: expected a value at least, got an empty list", entry.key);
  std::set<std::string> seen;
  for (std::string& value : axis.values) {
    RunSettings scratch;
    try {
      assign_setting(scratch, *setting, value);
    } catch (const Error& error) {
      fail("{}: {}", entry.key, error.what());
    }
    const std::string current = setting_text(scratch, *setting);  // "1.0" and "1" are the same value
    check(seen.insert(current).second, "{}: got {} twice", entry.key, current);
    // An earlier name of a dataset remains in the cell's name, so that a sweep of release 0.1 finds its folders again.
    if (current_dataset_name(value) != current) value = current;
  }
  return axis;
}

/// The part of a cell's name for a value. A text is used alone; a number or a switch is prefixed with its key.
std::string name_part(const Setting& setting, const std::string& value) {
  const bool text = !value.empty() && std::isalpha(static_cast<unsigned char>(value.front())) && !setting.is_switch();
  std::string part = text ? value : fmt::format("{}-{}", setting.name, value);
  for (char& c : part)
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '.' && c != '-' && c != '+') c = '-';
  return part;
}

/// The name itself, or its beginning and a checksum if it has more than `max_bytes`.
std::string shortened_name(const std::string& name, std::size_t max_bytes) {
  if (name.size() <= max_bytes) return name;
  const std::string checksum = fmt::format("-{:08x}", crc32c(std::as_bytes(std::span(name))));
  return name.substr(0, max_bytes - checksum.size()) + checksum;
}

/// Enumerates all combinations of values, with the last axis fastest. Calls `body` with the index of each axis' value,
/// and with the first axis whose index has changed since the call before.
template <typename Body>
void for_each_combination(const std::vector<Axis>& axes, const Body& body) {
  std::vector<std::size_t> places(axes.size(), 0);
  std::size_t changed = 0;
  for (bool more = true; more;) {
    body(places, changed);
    more = false;
    for (std::size_t i = axes.size(); i-- > 0 && !more;) {
      more = ++places[i] < axes[i].values.size();
      if (!more) places[i] = 0;
      changed = i;
    }
  }
}

/// The number of combinations of values, or `limit` if there are more.
std::size_t count_combinations(const std::vector<Axis>& axes, std::size_t limit) {
  std::size_t count = 1;
  for (const Axis& axis : axes) count = std::min(limit, count * std::min(limit, axis.values.size()));
  return count;
}

/// The settings that a beginning does not have. Its cells need them when they amplify.
constexpr SettingKinds kOfAmplification = {SettingKind::kAmplification, SettingKind::kMeasured, SettingKind::kRandom};

/// Error if the settings of a cell are invalid, or are valid but make no sense in a sweep.
void check_cell(const SweepCell& cell, const std::vector<Axis>& axes) {
  const RunSettings& settings = cell.settings;
  settings.validate();
  for (const Axis& axis : axes)
    check(axis.setting->name != "learning-rate" || axis.values.size() == 1 || settings.strategy == "step" ||
              settings.schedule != Schedule::kPhases,
          "--learning-rate: it is of the strategy step only, and several make no difference to {}", settings.strategy);
  if (settings.selection == SelectionMethod::kNone) return;
  const OptimizerOptions options = settings.optimizer_options();
  bool amplifies = false;
  for (const Phase& phase : options.strategy.phases)  // if a phase amplifies, then in its last epoch
    amplifies = amplifies || plan_epoch(options, phase.end_epoch).amplified;
  check(
      amplifies,
      "--strategy: over {} epochs '{}' amplifies nothing: expected a phase with a factor, and with layers selected by "
      "a measure two epochs in it at least, of which the first is analyzed{}",
      options.strategy.epochs(), settings.strategy,
      options.strategy.epochs() < options.strategy.least_epochs()
          ? fmt::format("; {} epochs are enough", options.strategy.least_epochs())
          : "");
}

/// Adds the cells of one kind (heading).
void add_cells(const std::string& file, const std::string& kind, const RunSettings& base, const std::vector<Axis>& axes,
               std::vector<SweepCell>& cells) {
  check(cells.size() + count_combinations(axes, kMostCells + 1) <= kMostCells, "{}: more than {} cells", file,
        kMostCells);
  RunSettings settings = base;
  for_each_combination(axes, [&](const std::vector<std::size_t>& places, std::size_t changed) {
    for (std::size_t i = changed; i < axes.size(); ++i)
      assign_setting(settings, *axes[i].setting, axes[i].values[places[i]]);
    SweepCell cell{kind, "beginning", settings};
    for (std::size_t i = 0; i < axes.size(); ++i) {
      if (axes[i].values.size() == 1) continue;
      const std::string part = "_" + name_part(*axes[i].setting, axes[i].values[places[i]]);
      cell.name += part;
      if (!axes[i].setting->is_one_of(kOfAmplification)) cell.name_of_beginning += part;
    }
    cell.name = shortened_name(cell.name, kMaxName);
    cell.name_of_beginning = shortened_name(cell.name_of_beginning, kMaxBeginningName);
    try {
      check_cell(cell, axes);
    } catch (const Error& error) {
      const std::string message = error.what();
      std::string where = file;
      for (const Axis& axis : axes)
        if (message.starts_with(fmt::format("--{}:", axis.setting->name))) where = axis.source;
      fail("{}: in the cell {}: {}", where, cell.name, message);
    }
    cells.push_back(std::move(cell));
  });
}

/// A text that is equal for two runs without amplification if their first `epochs` epochs are equal.
std::string key_of_beginning(const RunSettings& settings, int epochs) {
  const OptimizerOptions options = settings.optimizer_options();
  std::string key = fmt::format("{} {}", epochs, options.warmup_epochs);
  if (has_step_rates(options)) key += fmt::format(" {} {}", choice_name(options.schedule), options.warmup_steps);
  if (options.schedule != Schedule::kPhases) {
    key += fmt::format(" {} {}", options.peak_rate, options.strategy.epochs());
    return key + "\n" + settings_key(settings, kUnplannedKinds);
  }
  std::vector<std::pair<int, double>> rates;  // (last epoch, learning rate)
  for (const Phase& phase : options.strategy.phases) {
    const int end = std::min(phase.end_epoch, epochs);
    if (rates.empty() || rates.back().second != phase.learning_rate) rates.emplace_back(end, phase.learning_rate);
    rates.back().first = end;
    if (end == epochs) break;
  }
  for (const auto& [end, rate] : rates) key += fmt::format(" {}:{}", end, rate);
  return key + "\n" + settings_key(settings, kUnplannedKinds);
}

/// `axes` and the axes `own` of a heading. An axis of `own` replaces the axis of the same setting.
std::vector<Axis> joined(std::vector<Axis> axes, const std::vector<Axis>& own) {
  for (const Axis& axis : own) {
    const auto same = std::find_if(axes.begin(), axes.end(), [&](const Axis& a) { return a.setting == axis.setting; });
    if (same == axes.end()) {
      axes.push_back(axis);
    } else {
      *same = axis;
    }
  }
  return axes;
}

}  // namespace

std::vector<SweepCell> read_sweep(std::istream& file, const std::string& name,
                                  const std::vector<SweepOverride>& overrides) {
  std::vector<std::string> headings;
  for (const Kind& kind : kKinds) headings.emplace_back(kind.heading);
  const Config config = read_config(file, name, headings, KeyScope::kHeading);
  check(file.eof(), "{}: cannot be read", name);
  std::map<std::string, std::vector<Axis>> axes;  // by heading
  for (const ConfigEntry& entry : config.entries) {
    try {
      axes[entry.heading].push_back(read_axis(entry, name));
    } catch (const Error& error) {
      fail("{}:{}: {}", name, entry.line, error.what());
    }
  }
  std::vector<Axis> fixed;
  for (const SweepOverride& given : overrides) fixed.push_back({&setting_of(given.key), given.source, {given.value}});
  check(!config.headings.empty(), "{}: expected cells under one of the headings [{}] at least", name,
        fmt::join(headings, "], ["));
  std::vector<SweepCell> cells;
  for (const Kind& kind : kKinds) {
    if (std::find(config.headings.begin(), config.headings.end(), kind.heading) == config.headings.end()) continue;
    RunSettings base;
    base.selection = kind.selection;
    for (const Axis& axis : axes[kind.heading])
      check(makes_difference(axis.setting->kind, kind.selection), "{}: {} makes no difference to cells of [{}]",
            axis.source, axis.setting->name, kind.heading);
    std::vector<Axis> own = joined(joined(axes[""], axes[kind.heading]), fixed);
    std::erase_if(own, [&](const Axis& axis) { return !makes_difference(axis.setting->kind, kind.selection); });
    add_cells(name, kind.heading, base, own, cells);
  }
  std::set<std::string> names;
  for (const SweepCell& cell : cells)
    check(names.insert(cell.name).second, "{}: two cells are called {}", name, cell.name);
  return cells;
}

std::vector<SharedBeginning> shared_beginnings(const std::vector<SweepCell>& cells) {
  std::vector<SharedBeginning> beginnings;
  const auto unamplified = [](RunSettings settings) {  // with the defaults for all settings of amplification
    copy_settings(RunSettings(), settings, kOfAmplification);
    settings.selection = SelectionMethod::kNone;
    return settings;
  };
  // Cells that amplify determine the length of a beginning. A cell without amplification uses the longest one that
  // fits. Beginnings are found by their keys, so that the time is linear in the number of cells.
  std::unordered_map<std::string, std::size_t> by_key;
  std::unordered_map<std::string, std::set<int, std::greater<>>> lengths;  // by the settings that must be equal
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const RunSettings& settings = cells[i].settings;
    const RunSettings plain = unamplified(settings);
    const int epochs = shared_epochs(plain, settings);
    if (settings.selection == SelectionMethod::kNone || epochs == 0) continue;
    const auto [found, is_new] = by_key.emplace(key_of_beginning(plain, epochs), beginnings.size());
    if (is_new) {
      beginnings.push_back({cells[i].name_of_beginning, plain, epochs, {}});
      lengths[settings_key(plain, kUnplannedKinds)].insert(epochs);
    }
    beginnings[found->second].cells.push_back(i);
  }
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (cells[i].settings.selection != SelectionMethod::kNone) continue;
    const auto known = lengths.find(settings_key(cells[i].settings, kUnplannedKinds));
    if (known == lengths.end()) continue;
    for (const int epochs : known->second) {  // the longest first
      const auto found = by_key.find(key_of_beginning(cells[i].settings, epochs));
      if (found == by_key.end()) continue;
      beginnings[found->second].cells.push_back(i);
      break;
    }
  }
  std::erase_if(beginnings, [](const SharedBeginning& beginning) { return beginning.cells.size() < 2; });
  std::map<std::string, int> names;  // a name lacks settings that differ only between kinds, so names can be equal
  for (SharedBeginning& beginning : beginnings)
    if (const int count = ++names[beginning.name]; count > 1) beginning.name += fmt::format("_{}", count);
  return beginnings;
}

}  // namespace gradamp

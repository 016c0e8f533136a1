// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_list.h"

#include <algorithm>
#include <charconv>
#include <ctime>
#include <exception>
#include <string_view>
#include <system_error>
#include <utility>

#include <fmt/chrono.h>
#include <fmt/ranges.h>

#include "gradamp/core/text.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/data/files/paths.h"
#include "gradamp/tools/settings/message_of.h"
#include "gradamp/tools/settings/setting_table.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int kMaxFolderDepth = 8;  // of folders below the one that is searched

std::string accuracy_text(double fraction) { return fmt::format("{:.2f}%", 100 * fraction); }

void find_below(const fs::path& folder, int depth, FileSystem& file_system, std::vector<fs::path>& runs) {
  const std::vector<std::string> names = names_in(folder, file_system);
  if (std::binary_search(names.begin(), names.end(), "config.json")) return runs.push_back(folder);
  if (depth == 0) return;
  for (const std::string& name : names) {
    FileStatus status;
    const bool is_real_folder =
        file_system.lstat((folder / name).string(), status) == 0 && status.kind == FileKind::kFolder;
    if (is_real_folder && !name.starts_with('.')) find_below(folder / name, depth - 1, file_system, runs);
  }
}

/// The time in the name of the run's event file, for runs of earlier releases, which store no start.
std::string start_by_event_file(const fs::path& run, FileSystem& file_system) {
  constexpr std::string_view kPrefix = "events.out.tfevents.";
  for (const std::string& name : names_in(run, file_system)) {
    std::int64_t seconds = 0;
    if (!name.starts_with(kPrefix)) continue;
    const char* const begin = name.data() + kPrefix.size();
    const auto [end, error] = std::from_chars(begin, name.data() + name.size(), seconds);
    if (error == std::errc() && seconds >= 0 && seconds < std::int64_t{1} << 33)
      return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
  }
  return "";
}

bool amplifies(const RunSettings& settings) {
  const std::vector<Phase> phases = settings.resolved_strategy().phases;
  return settings.selection != SelectionMethod::kNone &&
         std::any_of(phases.begin(), phases.end(), [](const Phase& phase) { return phase.amplify; });
}

/// Pads to `width` characters.
std::string cell(const std::string& text, std::size_t width) { return fmt::format("{:<{}}", text, width); }

/// Rows of cells as columns with two spaces between them.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths;
  for (const std::vector<std::string>& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (std::size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  }
  std::string text;
  for (const std::vector<std::string>& row : rows) {
    std::string line;
    for (std::size_t i = 0; i < row.size(); ++i) line += (i == 0 ? "" : "  ") + cell(row[i], widths[i]);
    line.erase(line.find_last_not_of(' ') + 1);
    text += line + "\n";
  }
  return text;
}

std::vector<std::string> row_of(const RunOverview& run) {
  if (!run.settings) return {run.path.string(), "-", "-", "-", "-", name_of(run.state)};
  return {run.path.string(),
          run.settings->network,
          run.settings->dataset,
          fmt::format("{}/{}", run.last ? run.last->epoch : 0, run.settings->epochs),
          run.last ? accuracy_text(run.last->test_accuracy) : "-",
          name_of(run.state)};
}

/// What differs between two runs, and their figures: (name, of a, of b).
struct Comparison {
  using Row = std::vector<std::string>;
  std::vector<Row> settings, facts, figures;
};

std::string number_text(const std::optional<double>& value, bool is_percent) {
  if (!value) return "-";
  return is_percent ? accuracy_text(*value) : fmt::format("{:.4f}", *value);
}

Comparison compare(const fs::path& a, const fs::path& b, FileSystem& file_system) {
  const RunFolder one = RunFolder::open(a, file_system), other = RunFolder::open(b, file_system);
  Comparison result;
  for (const Setting& setting : setting_table()) {
    if (setting.kind == SettingKind::kOutput) continue;
    const std::string before = setting_text(one.settings(), setting), now = setting_text(other.settings(), setting);
    const bool matters = makes_difference(setting.kind, one.settings().selection) ||
                         makes_difference(setting.kind, other.settings().selection);
    if (before != now && matters)
      result.settings.push_back({std::string(setting.name), before.empty() ? "-" : before, now.empty() ? "-" : now});
  }
  const auto fact = [&](const char* name, const std::string& before, const std::string& now) {
    if (before != now) result.facts.push_back({name, before.empty() ? "-" : before, now.empty() ? "-" : now});
  };
  fact("version", one.facts().version, other.facts().version);
  fact("commit", one.facts().commit, other.facts().commit);
  fact("backend", one.backend_description(), other.backend_description());
  fact("host", one.facts().host, other.facts().host);
  fact("started", one.facts().started, other.facts().started);
  fact("images", one.images(), other.images());
  const TrainingOutcome x = one.read_outcome(), y = other.read_outcome();
  const auto figure = [&](const char* name, auto value) {
    const std::string before = value(x), now = value(y);
    if (before != "-" || now != "-") result.figures.push_back({name, before, now});
  };
  const auto of_last = [](auto member, bool is_percent) {
    return [=](const TrainingOutcome& outcome) {
      return outcome.last.epoch == 0 ? std::string("-") : number_text(outcome.last.*member, is_percent);
    };
  };
  figure("epochs", [](const TrainingOutcome& outcome) { return std::to_string(outcome.last.epoch); });
  figure("test accuracy", of_last(&EpochSummary::test_accuracy, true));
  figure("best test accuracy", [](const TrainingOutcome& outcome) {
    return outcome.best_epoch == 0
               ? std::string("-")
               : fmt::format("{} (epoch {})", accuracy_text(outcome.best_accuracy), outcome.best_epoch);
  });
  figure("validation accuracy", of_last(&EpochSummary::validation_accuracy, true));
  figure("test loss", of_last(&EpochSummary::test_loss, false));
  figure("train accuracy", of_last(&EpochSummary::train_accuracy, true));
  figure("train loss", of_last(&EpochSummary::train_loss, false));
  figure("selections", [](const TrainingOutcome& outcome) {
    std::vector<std::string> texts;
    for (const SelectionSummary& selection : outcome.selections)
      texts.push_back(fmt::format("{}/{}",
                                  std::count_if(selection.layers.begin(), selection.layers.end(),
                                                [](const LayerReport& layer) { return layer.selected; }),
                                  selection.layers.size()));
    return texts.empty() ? std::string("-") : fmt::format("{}", fmt::join(texts, ", "));
  });
  figure("seconds", [](const TrainingOutcome& outcome) {
    return outcome.last.epoch == 0 ? std::string("-") : fmt::format("{:.1f}", outcome.seconds);
  });
  return result;
}

/// Whether the run is one of a sweep's beginnings (tools/sweep/sweep_folder.h).
bool is_beginning(const fs::path& run, FileSystem& file_system) {
  const fs::path above = absolute_path(run).parent_path();
  return above.filename() == "beginnings" && file_exists(above.parent_path() / "sweep.toml", file_system);
}

}  // namespace

const char* name_of(RunState state) {
  switch (state) {
    case RunState::kFinished: return "finished";
    case RunState::kRunning: return "running";
    case RunState::kStopped: return "stopped";
    case RunState::kShared: return "shared";
    case RunState::kFailed: return "failed";
  }
  return "?";
}

std::vector<fs::path> find_runs(const fs::path& folder, FileSystem& file_system) {
  check(is_folder(folder, file_system), "{}: no such folder; name one with runs in it", folder.string());
  std::vector<fs::path> runs;
  find_below(folder, kMaxFolderDepth, file_system, runs);
  return runs;
}

RunOverview overview_of(const fs::path& run, FileSystem& file_system) {
  RunOverview overview;
  overview.path = run;
  try {
    const bool running = is_locked(run / "lock", file_system);  // before the other files, which then are not older
    const RunFolder folder = RunFolder::open(run, file_system);
    overview.settings = folder.settings();
    overview.facts = folder.facts();
    overview.started = folder.facts().started;
    if (overview.started.empty()) overview.started = start_by_event_file(run, file_system);
    overview.last = folder.read_last_epoch();
    overview.failure = folder.read_failure();
    const bool finished = folder.summarized_epochs() >= folder.settings().epochs;
    overview.state = running                          ? RunState::kRunning
                     : finished                       ? RunState::kFinished
                     : !overview.failure.empty()      ? RunState::kFailed
                     : is_beginning(run, file_system) ? RunState::kShared
                                                      : RunState::kStopped;
    if (overview.state != RunState::kFailed) overview.failure.clear();
  } catch (const std::exception& error) {
    overview.state = RunState::kFailed;
    overview.failure = message_of(error);
  }
  return overview;
}

std::vector<RunOverview> list_runs(const fs::path& folder, FileSystem& file_system) {
  std::vector<RunOverview> runs;
  for (const fs::path& run : find_runs(folder, file_system)) runs.push_back(overview_of(run, file_system));
  std::stable_sort(runs.begin(), runs.end(),
                   [](const RunOverview& a, const RunOverview& b) { return a.started < b.started; });
  return runs;
}

const RunOverview& newest_unfinished(const std::vector<RunOverview>& runs, const fs::path& folder) {
  check(!runs.empty(), "--resume last: there is no run in {}/; name the run's folder", folder.string());
  const RunOverview* running = nullptr;
  for (auto run = runs.rbegin(); run != runs.rend(); ++run) {
    if (run->state == RunState::kRunning && running == nullptr) running = &*run;
    const bool resumable = run->settings && (run->state == RunState::kStopped || run->state == RunState::kFailed);
    if (resumable) return *run;
  }
  if (running != nullptr)
    fail("--resume last: the only unfinished runs in {}/ are running, the newest in {}", folder.string(),
         running->path.string());
  fail("--resume last: every run in {}/ is finished; --resume {} with --epochs or --strategy extends the newest",
       folder.string(), runs.back().path.string());
}

std::string recipe_of(const RunSettings& settings) {
  const RunSettings defaults;
  const bool has_amplification = amplifies(settings);
  RunSettings selecting = settings;
  selecting.selection = SelectionMethod::kMeasure;
  const bool is_original = settings.selection == SelectionMethod::kNone && amplifies(selecting);
  std::vector<std::string> parts = {settings.strategy};
  for (const Setting& setting : setting_table()) {
    const bool named_apart = setting.name == "strategy" || setting.name == "network" || setting.name == "dataset" ||
                             setting.name == "epochs";
    const bool of_machine =
        setting.is_one_of({SettingKind::kSource, SettingKind::kDevice, SettingKind::kSpeed, SettingKind::kOutput});
    const bool is_selection = setting.name == "selection";
    const bool matters = is_selection && settings.selection == SelectionMethod::kNone
                             ? is_original
                             : makes_difference(setting.kind, settings.selection);
    if (named_apart || of_machine || !matters) continue;
    const bool of_amplification =
        setting.is_one_of({SettingKind::kAmplification, SettingKind::kMeasured, SettingKind::kRandom});
    if (of_amplification && !has_amplification && !is_selection) continue;
    const std::string text = setting_text(settings, setting);
    if (text == setting_text(defaults, setting)) continue;
    const std::string name(setting.name);
    parts.push_back(setting.is_switch() ? (text == "true" ? name : "no-" + name) : name + " " + text);
  }
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::string format_runs(const std::vector<RunOverview>& runs, int columns) {
  std::vector<std::vector<std::string>> rows = {{"run", "network", "data", "epochs", "accuracy", "state"}};
  std::vector<std::string> details = {"recipe"};
  for (const RunOverview& run : runs) {
    rows.push_back(row_of(run));
    rows.back().front() = printable(rows.back().front());
    details.push_back(run.settings ? recipe_of(*run.settings) : "");
    if (!run.failure.empty()) details.back() += (details.back().empty() ? "" : ": ") + run.failure;
    details.back() = printable(details.back());
  }
  std::size_t widest = 0;
  for (const std::string& detail : details) widest = std::max(widest, detail.size());
  const std::string plain = table(rows);
  const std::size_t width = plain.find('\n');  // of the heading
  std::size_t longest = width;
  for (std::size_t begin = 0, end; (end = plain.find('\n', begin)) != plain.npos; begin = end + 1)
    longest = std::max(longest, end - begin);
  if (columns <= 0 || longest + 2 + widest <= static_cast<std::size_t>(columns)) {
    for (std::size_t i = 0; i < rows.size(); ++i) rows[i].push_back(details[i]);
    return table(rows);
  }
  std::string text;
  std::size_t begin = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::size_t end = plain.find('\n', begin) + 1;
    text += plain.substr(begin, end - begin);
    if (i > 0 && !details[i].empty()) text += "    " + details[i] + "\n";
    begin = end;
  }
  return text;
}

Json runs_to_json(const std::vector<RunOverview>& runs) {
  Json list = Json::array();
  for (const RunOverview& run : runs) {
    Json entry = {{"run", printable(run.path.string())}, {"state", name_of(run.state)}, {"started", run.started}};
    if (run.settings) {
      entry["network"] = run.settings->network;
      entry["dataset"] = run.settings->dataset;
      entry["recipe"] = recipe_of(*run.settings);
      entry["epochs_done"] = run.last ? run.last->epoch : 0;
      entry["epochs"] = run.settings->epochs;
      entry["test_accuracy"] = run.last ? Json(run.last->test_accuracy) : Json(nullptr);
      entry["validation_accuracy"] =
          run.last && run.last->validation_accuracy ? Json(*run.last->validation_accuracy) : Json(nullptr);
    }
    if (!run.failure.empty()) entry["failure"] = printable(run.failure);
    if (run.settings) entry["settings"] = to_json(*run.settings);
    list.push_back(std::move(entry));
  }
  return list;
}

std::string format_comparison(const fs::path& a, const fs::path& b, FileSystem& file_system) {
  const Comparison comparison = compare(a, b, file_system);
  std::vector<Comparison::Row> rows = {{"", a.string(), b.string()}};
  if (comparison.settings.empty()) rows.push_back({"no setting differs", "", ""});
  for (const std::vector<Comparison::Row>* part : {&comparison.settings, &comparison.facts, &comparison.figures}) {
    if (part != &comparison.settings && !part->empty()) rows.push_back({"", "", ""});
    rows.insert(rows.end(), part->begin(), part->end());
  }
  for (Comparison::Row& row : rows)
    for (std::string& text : row) text = printable(text);
  return table(rows);
}

Json comparison_to_json(const fs::path& a, const fs::path& b, FileSystem& file_system) {
  const Comparison comparison = compare(a, b, file_system);
  const auto part = [](const std::vector<Comparison::Row>& rows) {
    Json values = Json::object();
    for (const Comparison::Row& row : rows) values[row[0]] = {printable(row[1]), printable(row[2])};
    return values;
  };
  return {{"runs", {printable(a.string()), printable(b.string())}},
          {"settings", part(comparison.settings)},
          {"facts", part(comparison.facts)},
          {"figures", part(comparison.figures)}};
}

namespace {

FileStatus entry_status(const fs::path& path, FileSystem& file_system) {
  FileStatus status;
  check(file_system.lstat(path.string(), status) == 0, "cannot look at {}: {}", path.string(), last_cause());
  return status;
}

/// Whether `train --slurm`, or a job that it submitted, wrote a file with this name to the run's folder slurm/.
bool is_made_by_slurm(const std::string& name) {
  return name == "submitted.jsonl" || name == "lock" || (name.starts_with("run-") && name.ends_with(".sh")) ||
         (name.ends_with("_0.log") && name.find_first_not_of("0123456789") == name.size() - 6);
}

constexpr const char* kSlurmFolder = "slurm";

}  // namespace

RunRemoval prepare_removal(const fs::path& path, FileSystem& file_system) {
  RunRemoval removal{RunFolder::open(path, file_system), {}, {}, 0};
  removal.run.lock();
  const auto add = [&](const std::string& name, bool has_our_name) {
    const FileStatus status = entry_status(path / name, file_system);
    const bool is_ours = has_our_name && status.kind == FileKind::kRegular;
    (is_ours ? removal.files : removal.foreign).push_back(name);
    if (is_ours) removal.bytes += status.size;
  };
  for (const std::string& name : names_in(path, file_system)) {
    if (name == kSlurmFolder && entry_status(path / name, file_system).kind == FileKind::kFolder) {
      for (const std::string& below : names_in(path / name, file_system))
        add(fmt::format("{}/{}", name, below), is_made_by_slurm(below));
    } else {
      add(name, is_made_by_run(name));
    }
  }
  // config.json last, but for the lock, which is held until then.
  const auto rank = [](const std::string& name) { return name == "lock" ? 2 : name == "config.json" ? 1 : 0; };
  std::stable_sort(removal.files.begin(), removal.files.end(),
                   [&](const std::string& a, const std::string& b) { return rank(a) < rank(b); });
  return removal;
}

void remove_run(const RunRemoval& removal, FileSystem& file_system) {
  const fs::path& path = removal.run.path();
  for (const std::string& name : removal.files)
    check(file_system.unlink((path / name).string()) == 0, "cannot remove {}: {}", (path / name).string(),
          last_cause());
  const auto is_real_folder = [&](const fs::path& folder) {
    FileStatus status;
    return file_system.lstat(folder.string(), status) == 0 && status.kind == FileKind::kFolder;
  };
  std::error_code error;
  if (is_real_folder(path / kSlurmFolder)) fs::remove(path / kSlurmFolder, error);  // fails if it is not empty
  if (!removal.foreign.empty() || !is_real_folder(path)) return;
  fs::remove(path, error);  // fails if something was added meanwhile
  check(!error, "cannot remove the folder {}: {}", path.string(), error.message());
}

}  // namespace gradamp

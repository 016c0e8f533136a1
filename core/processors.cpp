// SPDX-License-Identifier: MIT
#include "gradamp/core/processors.h"

#include <sched.h>

#include <algorithm>
#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <limits>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "gradamp/core/thread_pool.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

/// The positive number that the whole text is; none for anything else.
std::optional<std::int64_t> positive(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number <= 0) return std::nullopt;
  return number;
}

/// The first line; empty if there is none.
std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return line;
}

/// Quota and period are microseconds of processor time per microseconds of time.
std::optional<int> processors_of(std::string_view quota, std::string_view period) {
  const std::optional<std::int64_t> used = positive(quota), per = positive(period);
  if (!used || !per) return std::nullopt;
  const std::int64_t whole = *used / *per + (*used % *per != 0 ? 1 : 0);
  return static_cast<int>(std::min<std::int64_t>(whole, std::numeric_limits<int>::max()));
}

/// Version 2: "200000 100000", or "max 100000" without a quota.
std::optional<int> unified_quota(const fs::path& group) {
  const std::string line = first_line(group / "cpu.max");
  const std::vector<std::string_view> parts = split(line, ' ');
  return parts.size() == 2 ? processors_of(parts[0], parts[1]) : std::nullopt;
}

/// Version 1: a quota of -1 is none.
std::optional<int> controller_quota(const fs::path& group) {
  return processors_of(first_line(group / "cpu.cfs_quota_us"), first_line(group / "cpu.cfs_period_us"));
}

/// The smallest quota of the group `path` of a hierarchy and of all groups above it. In a container, the path can be
/// the host's, of which the container sees no more than its own group, as the root of the hierarchy.
std::optional<int> smallest_quota(const fs::path& hierarchy, std::string_view path,
                                  std::optional<int> (*quota_of)(const fs::path&)) {
  std::optional<int> smallest;
  fs::path group = fs::path("/" + std::string(path)).lexically_normal().relative_path();
  while (true) {
    if (const std::optional<int> quota = quota_of(hierarchy / group))
      smallest = std::min(smallest.value_or(*quota), *quota);
    if (group.empty()) return smallest;
    group = group.parent_path();
  }
}

/// The smallest quota for one line "ID:CONTROLLERS:PATH" of /proc/self/cgroup; version 2 has no controllers there.
std::optional<int> quota_of_line(std::string_view line, const fs::path& root) {
  const std::size_t first = line.find(':'), second = line.find(':', first + 1);
  if (first == line.npos || second == line.npos) return std::nullopt;
  const std::string_view controllers = line.substr(first + 1, second - first - 1), path = line.substr(second + 1);
  if (controllers.empty()) return smallest_quota(root, path, unified_quota);
  const std::vector<std::string_view> names = split(controllers, ',');
  if (std::find(names.begin(), names.end(), "cpu") == names.end()) return std::nullopt;
  const std::optional<int> quota = smallest_quota(root / controllers, path, controller_quota);
  return quota ? quota : smallest_quota(root / "cpu", path, controller_quota);
}

int processors_of_affinity() {
  cpu_set_t processors;
  if (::sched_getaffinity(0, sizeof processors, &processors) == 0) return CPU_COUNT(&processors);
  return static_cast<int>(std::thread::hardware_concurrency());  // more processors than the set can have
}

}  // namespace

std::optional<int> quota_processors(const fs::path& membership, const fs::path& root) {
  std::optional<int> smallest;
  std::ifstream groups(membership);
  for (std::string line; std::getline(groups, line);)
    if (const std::optional<int> quota = quota_of_line(line, root))
      smallest = std::min(smallest.value_or(*quota), *quota);
  return smallest;
}

int usable_processors() {
  const int processors = std::max(1, processors_of_affinity());
  return std::min(processors, quota_processors().value_or(processors));
}

int threads_from_environment() {
  const char* const given = std::getenv("OMP_NUM_THREADS");
  if (given == nullptr) return 0;
  std::string_view first = split(given, ',').front();
  while (first.starts_with(' ')) first.remove_prefix(1);
  while (first.ends_with(' ')) first.remove_suffix(1);
  return static_cast<int>(std::min<std::int64_t>(positive(first).value_or(0), kMaxPoolThreads));
}

int default_threads() {
  const int given = threads_from_environment();
  return given > 0 ? given : usable_processors();
}

}  // namespace gradamp

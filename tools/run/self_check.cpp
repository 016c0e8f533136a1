// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/self_check.h"

#include <link.h>
#include <sys/stat.h>

#include <array>
#include <optional>
#include <span>

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/error.h"
#include "gradamp/core/version.h"
#include "gradamp/data/download/digest.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/file_lock.h"
#include "gradamp/tools/run/cache_folder.h"

namespace gradamp {
namespace {

constexpr Precision kPrecisions[] = {Precision::kF32, Precision::kTF32, Precision::kBF16};

// ---- The build ----

/// Finds the build id in the notes of an ELF segment. A note consists of a header, a name and a description. The name
/// and the description are padded to multiples of 4 bytes.
std::optional<std::string> build_id_in(const std::byte* notes, std::size_t size) {
  const auto padded = [](std::size_t bytes) { return (bytes + 3) / 4 * 4; };
  while (size >= sizeof(ElfW(Nhdr))) {
    const auto& note = *reinterpret_cast<const ElfW(Nhdr)*>(notes);
    const std::size_t length = sizeof note + padded(note.n_namesz) + padded(note.n_descsz);
    if (length > size) break;
    const std::string_view name(reinterpret_cast<const char*>(notes + sizeof note), note.n_namesz);
    if (note.n_type == NT_GNU_BUILD_ID && name == std::string_view("GNU", 4)) {
      std::string digits;
      for (std::size_t i = 0; i < note.n_descsz; ++i)
        digits += fmt::format("{:02x}", std::to_integer<int>(notes[sizeof note + padded(note.n_namesz) + i]));
      return digits;
    }
    notes += length;
    size -= length;
  }
  return std::nullopt;
}

/// A callback of dl_iterate_phdr, which reports the program itself first. Later objects are not needed.
int find_build_id(dl_phdr_info* program, std::size_t, void* result) {
  for (int i = 0; i < program->dlpi_phnum; ++i) {
    const ElfW(Phdr)& segment = program->dlpi_phdr[i];
    if (segment.p_type != PT_NOTE) continue;
    const auto found =
        build_id_in(reinterpret_cast<const std::byte*>(program->dlpi_addr + segment.p_vaddr), segment.p_memsz);
    if (found) *static_cast<std::string*>(result) = *found;
  }
  return 1;  // stop the iteration
}

// ---- Remembered successes ----

constexpr std::int64_t kMaxRecord = 1 << 16;  // bytes

nlohmann::json to_json(const SelfCheckSubject& subject) {
  return {{"device", subject.device.name},
          {"compute_capability", subject.device.compute_capability},
          {"uuid", subject.device.uuid},
          {"driver", subject.device.driver},
          {"build", subject.build}};
}

/// Whether `file` records a success for `subject`. A missing, incomplete or different file does not. Neither does one
/// that cannot be read: the check then runs again.
bool is_remembered(const std::filesystem::path& file, const SelfCheckSubject& subject) {
  try {
    FileReader reader(file);
    reader.check_size(kMaxRecord);
    const std::vector<std::byte> text = reader.read_all();
    const auto* const begin = reinterpret_cast<const char*>(text.data());
    return nlohmann::json::parse(begin, begin + text.size(), nullptr, false) == to_json(subject);
  } catch (const Error&) {
    return false;
  }
}

/// Records a success for `subject`. Returns the reason if the file cannot be written, else an empty string.
std::string remember(const std::filesystem::path& folder, const SelfCheckSubject& subject) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) return fmt::format("the folder {} cannot be made: {}", folder.string(), error.message());
  const std::string text = to_json(subject).dump(2) + "\n";
  const std::array parts = {std::as_bytes(std::span(text))};
  try {
    FileLock lock(folder / "lock");  // several processes may check the same device
    lock.acquire();
    write_durably(remembered_success(folder, subject), parts, Keep::kNothing);
  } catch (const Error& failure) {
    return failure.what();
  }
  return {};
}

// ---- Messages ----

std::vector<std::string> what_to_try(const DeviceFacts& device, const SelfCheckReport& report) {
  std::vector<std::string> ways;
  for (const Precision precision : kPrecisions)
    if (report.passed(precision)) ways.push_back(fmt::format("--precision {}, which agrees", name_of(precision)));
  if (!device.driver.empty()) ways.push_back(fmt::format("another driver than this one ({})", device.driver));
  if (!device.compute_capability.empty()) {
    std::string architecture = device.compute_capability;
    std::erase(architecture, '.');
    ways.push_back(fmt::format("a build for this GPU alone (cmake -DCMAKE_CUDA_ARCHITECTURES={})", architecture));
  }
  ways.push_back("--device cpu");
  return ways;
}

}  // namespace

std::string build_identity() {
  std::string build_id;
  dl_iterate_phdr(find_build_id, &build_id);
  if (!build_id.empty()) return GRADAMP_VERSION " " + build_id;
  struct stat file {};
  check(::stat("/proc/self/exe", &file) == 0, "cannot look at this program's own file, /proc/self/exe");
  return fmt::format(GRADAMP_VERSION " of {} bytes, {}.{:09}", file.st_size, file.st_mtim.tv_sec, file.st_mtim.tv_nsec);
}

std::filesystem::path remembered_success(const std::filesystem::path& folder, const SelfCheckSubject& subject) {
  const std::string text = to_json(subject).dump();
  Md5 digest;
  digest.add(text.data(), text.size());
  return folder / (digest.finish() + ".json");
}

std::string disagreement_message(const DeviceFacts& device, const SelfCheckReport& report) {
  if (report.passed()) return {};
  return fmt::format("{}. Try {}", describe_disagreement(device, report),
                     fmt::join(what_to_try(device, report), ", or "));
}

std::vector<std::string> require_self_check(const SelfCheckSubject& subject, Precision precision,
                                            const std::filesystem::path& folder,
                                            const std::function<SelfCheckReport()>& check_device) {
  if (!folder.empty() && is_remembered(remembered_success(folder, subject), subject)) return {};
  const SelfCheckReport report = check_device();
  check(report.passed(precision), "{}", disagreement_message(subject.device, report));
  if (!report.passed()) {
    return {
        fmt::format("warning   {} computes as expected in {}, but not in everything, so it is checked before every "
                    "run: {}",
                    describe(subject.device), name_of(precision), describe_parts(report))};
  }
  double seconds = 0;
  for (const SelfCheckPart& part : report.parts) seconds += part.seconds;
  std::string line = fmt::format("checked   {} computes as expected: {} parts in {:.1f} s", describe(subject.device),
                                 report.parts.size(), seconds);
  const std::string reason =
      folder.empty() ? "expected XDG_CACHE_HOME or HOME in the environment" : remember(folder, subject);
  if (!reason.empty())
    line += fmt::format("; it is checked before every run, since no success is remembered: {}", reason);
  return {line};
}

std::vector<std::string> require_self_check(const Device& device, Precision precision) {
  if (device.kind != DeviceKind::kCuda) return {};
  std::filesystem::path folder;
  try {
    folder = cache_folder() / "self-check";
  } catch (const Error&) {  // there is no cache folder
  }
  return require_self_check({device_facts(device), build_identity()}, precision, folder,
                            [&] { return self_check(device); });
}

}  // namespace gradamp

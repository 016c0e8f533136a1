// SPDX-License-Identifier: MIT
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/core/version.h"
#include "gradamp/data/registry/datasets.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/kernels/self_check.h"
#include "gradamp/nets/networks.h"
#include "gradamp/tools/program/commands.h"
#include "gradamp/tools/run/cache_folder.h"
#include "gradamp/tools/run/self_check.h"
#include "gradamp/tools/settings/settings_page.h"

namespace gradamp {
namespace {

std::string compiler() {
#if defined(__clang__)
  return "Clang " __clang_version__;
#elif defined(__GNUC__)
  return fmt::format("GCC {}.{}.{}", __GNUC__, __GNUC_MINOR__, __GNUC_PATCHLEVEL__);
#else
  return "unknown";
#endif
}

/// Formats 11173962 as "11,173,962".
std::string with_separators(std::int64_t number) {
  std::string text = std::to_string(number);
  for (auto place = static_cast<std::ptrdiff_t>(text.size()) - 3; place > 0; place -= 3)
    text.insert(static_cast<std::size_t>(place), ",");
  return text;
}

std::int64_t parameter_count(const std::string& network, Backend& backend) {
  std::int64_t count = 0;
  for (const NamedParameter& parameter : make_network(network, backend)->named_parameters())
    count += parameter.variable.shape().count();
  return count;
}

/// The cache folder, or why there is none.
std::string cache_text() {
  try {
    return printable(cache_folder().string());
  } catch (const Error&) {
    return "none: expected XDG_CACHE_HOME or HOME in the environment";
  }
}

/// Runs the self-check and prints one line per part. Error if a part disagrees.
void run_check(const Device& device, const BackendOptions& options) {
  const DeviceFacts facts = device_facts(device);
  std::cout << fmt::format("checking  {}\n", facts.name);
  if (!facts.compute_capability.empty())
    std::cout << fmt::format("          compute capability {}, {}\n          driver {}\n", facts.compute_capability,
                             facts.uuid, facts.driver);
  std::cout << "build     " << build_identity() << "\n" << std::flush;
  const SelfCheckReport report = self_check(device, options);
  double seconds = 0;
  for (const SelfCheckPart& part : report.parts) {
    std::cout << fmt::format("  {:<30} {:>9.1f} ms  {}\n", part.name, 1000 * part.seconds,
                             part.disagreement.empty() ? "agrees" : "disagrees: " + part.disagreement);
    seconds += part.seconds;
  }
  std::cout << fmt::format("{} parts in {:.2f} s\n", report.parts.size(), seconds) << std::flush;
  check(report.passed(), "{}", disagreement_message(facts, report));
}

}  // namespace

int run_info(const InfoCommand& command) {
  BackendOptions options;
  options.threads = command.threads;
  if (command.check) {
    run_check(parse_device(command.device), options);
    return 0;
  }
  if (command.settings) {
    std::cout << settings_page();
    return 0;
  }
  const std::unique_ptr<Backend> backend = make_backend(Device{}, options);
  std::cout << "gradamp " GRADAMP_VERSION "\n";
  std::cout << "compiler  " << compiler() << "\n";
  std::cout << "devices   " << backend->description() << "\n";
  for (const DeviceStatus& status : device_statuses())
    if (status.device.kind != DeviceKind::kCpu) std::cout << "          " << status.description << "\n";
  std::cout << fmt::format("datasets  {}\n", fmt::join(dataset_names(), ", "));
  std::cout << "cache     " << cache_text() << "\n";
  std::cout << "networks  with their parameters for 10 classes\n";
  for (const NetworkInfo& network : networks())
    std::cout << fmt::format("  {:<9}  {:>11}  {}\n", network.name,
                             with_separators(parameter_count(network.name, *backend)), network.description);
  return 0;
}

}  // namespace gradamp

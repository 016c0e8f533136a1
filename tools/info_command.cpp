// SPDX-License-Identifier: MIT
#include <cstdint>
#include <iostream>
#include <memory>
#include <string>

#include <fmt/ranges.h>

#include "core/error.h"
#include "data/catalog.h"
#include "kernels/backends.h"
#include "nets/networks.h"
#include "tools/commands.h"

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

/// 11173962 as "11,173,962".
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

}  // namespace

int run_info(const InfoCommand& command) {
  BackendOptions options;
  options.threads = command.threads;
  const std::unique_ptr<Backend> backend = make_backend(Device{}, options);
  std::cout << "gradamp " GRADAMP_VERSION "\n";
  std::cout << "compiler  " << compiler() << "\n";
  std::cout << "devices   " << backend->description() << "\n";
  for (const DeviceStatus& status : device_statuses())
    if (status.device.kind != DeviceKind::kCpu) std::cout << "          " << status.description << "\n";
  std::cout << fmt::format("datasets  {}\n", fmt::join(dataset_names(), ", "));
  std::cout << "cache     " << cache_folder().string() << "\n";
  std::cout << "networks  with their parameters for 10 classes\n";
  for (const NetworkInfo& network : networks())
    std::cout << fmt::format("  {:<9}  {:>11}  {}\n", network.name,
                             with_separators(parameter_count(network.name, *backend)), network.description);
  return 0;
}

}  // namespace gradamp

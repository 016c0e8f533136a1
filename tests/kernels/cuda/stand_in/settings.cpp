// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/settings.h"

#include <cstdio>
#include <cstdlib>
#include <sstream>

namespace gradamp::stand_in {
namespace {

constexpr std::size_t kDefaultMemory = std::size_t{12} << 30;  // less than any profile has, since it is the host's

std::string text(const char* name, const char* otherwise = "") {
  const char* value = std::getenv(name);
  return value ? value : otherwise;
}

[[noreturn]] void refuse(const char* name, const std::string& value, const std::string& expected) {
  std::fprintf(stderr, "stand-in: %s: expected %s, got '%s'\n", name, expected.c_str(), value.c_str());
  std::exit(2);
}

std::vector<std::string> list(const std::string& value) {
  std::vector<std::string> parts;
  std::istringstream stream(value);
  for (std::string part; std::getline(stream, part, ',');) parts.push_back(part);
  return parts;
}

unsigned long long number(const char* name, unsigned long long otherwise) {
  const std::string value = text(name);
  if (value.empty()) return otherwise;
  char* end = nullptr;
  const unsigned long long result = std::strtoull(value.c_str(), &end, 10);
  if (*end != '\0' || value[0] == '-') refuse(name, value, "a whole number");
  return result;
}

const DeviceProfile& profile() {
  const std::string name = text("STAND_IN_DEVICE", "H100");
  std::string names;
  for (const DeviceProfile& each : device_profiles()) {
    if (each.name == name) return each;
    names += (names.empty() ? "" : ", ") + std::string(each.name);
  }
  refuse("STAND_IN_DEVICE", name, "one of " + names);
}

Settings read_settings() {
  Settings settings{};
  settings.device = &profile();
  settings.code = list(text("STAND_IN_CODE", "shipped"));
  settings.execute = text("STAND_IN_CODE") != "none";
  settings.deferred = number("STAND_IN_DEFERRED", 0) != 0;
  settings.devices = static_cast<int>(number("STAND_IN_DEVICES", 1));
  settings.hang = number("STAND_IN_HANG", 0) != 0;
  if (const std::string images = text("STAND_IN_IMAGES"); !images.empty()) settings.images = list(images);
  settings.memory = number("STAND_IN_MEMORY", kDefaultMemory);
  settings.log = text("STAND_IN_LOG");
  settings.fail_call = static_cast<long>(number("STAND_IN_FAIL_CALL", 0));
  settings.fail_allocation = static_cast<long>(number("STAND_IN_FAIL_ALLOCATION", 0));
  settings.fail_kernel = static_cast<long>(number("STAND_IN_FAIL_KERNEL", 0));
  return settings;
}

}  // namespace

const Settings& settings() {
  static const Settings settings = read_settings();
  return settings;
}

}  // namespace gradamp::stand_in

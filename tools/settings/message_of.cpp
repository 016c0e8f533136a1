// SPDX-License-Identifier: MIT
#include "gradamp/tools/settings/message_of.h"

#include <filesystem>
#include <new>
#include <system_error>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "gradamp/core/text.h"

namespace gradamp {

std::string message_of(const std::exception& error) {
  if (const auto* const files = dynamic_cast<const std::filesystem::filesystem_error*>(&error)) {
    const std::string path = files->path1().empty() ? "the current folder" : shortened(files->path1().string());
    return fmt::format("{}: {}", path, files->code().message());
  }
  if (const auto* const system = dynamic_cast<const std::system_error*>(&error)) return system->code().message();
  if (dynamic_cast<const std::bad_alloc*>(&error) != nullptr) return "out of memory";
  std::string message = error.what();
  if (dynamic_cast<const nlohmann::json::exception*>(&error) == nullptr) return message;
  const std::size_t end = message.find("] ");  // of "[json.exception.type_error.302] "
  return shortened(end == message.npos ? message : message.substr(end + 2), 300);
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_facts.h"

#include <array>
#include <ctime>
#include <utility>

#include <unistd.h>

#include <fmt/chrono.h>

#include "gradamp/core/text.h"
#include "gradamp/core/version.h"

namespace gradamp {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

}  // namespace

Normalization normalization_of(const GatherParams& params, std::int64_t channels) {
  Normalization normalization;
  for (std::size_t c = 0; c < static_cast<std::size_t>(channels); ++c) {
    normalization.mean.push_back(static_cast<double>(params.mean[c]));
    normalization.std.push_back(1 / static_cast<double>(params.inverse_std[c]));
  }
  return normalization;
}

RunFacts with_process_facts(RunFacts facts) {
  facts.host = host_name();
  facts.started = fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(std::time(nullptr)));
  facts.version = GRADAMP_VERSION;
  facts.commit = source_commit();
  return facts;
}

void write_facts(const RunFacts& facts, nlohmann::ordered_json& config) {
  const auto write = [&](const char* key, const std::string& text) {
    if (!text.empty()) config[key] = is_utf8(text) ? text : printable(text);
  };
  write("commit", facts.commit);
  write("host", facts.host);
  write("started", facts.started);
  write("command", facts.command);
  if (!facts.normalization.mean.empty())
    config["normalization"] = {{"mean", facts.normalization.mean}, {"std", facts.normalization.std}};
}

RunFacts read_facts(const nlohmann::json& config) {
  RunFacts facts;
  for (auto [key, text] : {std::pair{"version", &facts.version},
                           {"commit", &facts.commit},
                           {"host", &facts.host},
                           {"started", &facts.started},
                           {"command", &facts.command}})
    *text = config.value(key, "");
  if (const auto found = config.find("normalization"); found != config.end())
    facts.normalization = {found->at("mean").get<std::vector<double>>(), found->at("std").get<std::vector<double>>()};
  return facts;
}

}  // namespace gradamp

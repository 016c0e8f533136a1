// SPDX-License-Identifier: MIT
#include "gradamp/tools/run/run_facts.h"

#include <array>
#include <cmath>
#include <ctime>
#include <utility>

#include <unistd.h>

#include <fmt/chrono.h>

#include "gradamp/core/error.h"
#include "gradamp/core/text.h"
#include "gradamp/core/version.h"
#include "gradamp/tools/settings/json_text.h"

namespace gradamp {
namespace {

std::string host_name() {
  std::array<char, 256> name{};
  return ::gethostname(name.data(), name.size() - 1) == 0 ? std::string(name.data()) : std::string();
}

InputFacts read_input(const nlohmann::json& input, const nlohmann::json& classes, const Normalization& normalization) {
  const auto whole = [&](const char* key, std::int64_t most) {
    const auto value = whole_number<std::int64_t>(input.at(key));
    check(value >= 1 && value <= most, "{} of the input: expected 1 to {}, got {}", key, most, value);
    return value;
  };
  InputFacts facts{whole("height", kMaxImageExtent), whole("width", kMaxImageExtent),
                   whole("channels", kMaxImageChannels), input.at("pixels").get<std::string>() == "u8",
                   classes.get<std::vector<std::string>>()};
  const auto channels = static_cast<std::size_t>(facts.channels);
  check(normalization.mean.size() == channels && normalization.std.size() == channels,
        "expected a normalization of the input's {} channels, got {} means and {} standard deviations", channels,
        normalization.mean.size(), normalization.std.size());
  for (const double deviation : normalization.std)
    check(deviation > 0 && std::isfinite(deviation), "expected a standard deviation above 0, got {}", deviation);
  check(facts.class_names.size() >= 2, "expected 2 classes at least, got {}", facts.class_names.size());
  return facts;
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

GatherParams gather_params_of(const Normalization& normalization) {
  GatherParams params;
  for (std::size_t c = 0; c < normalization.mean.size(); ++c) {
    params.mean[c] = static_cast<float>(normalization.mean[c]);
    params.inverse_std[c] = static_cast<float>(1 / normalization.std[c]);  // in f64, so it rounds back to the f32
  }
  return params;
}

InputFacts input_facts_of(const DeviceDataset& train) {
  const Shape& shape = train.images.shape();
  return {shape[1], shape[2], shape[3], train.images.dtype() == DType::kU8, train.class_names};
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
  if (facts.input) {
    const InputFacts& input = *facts.input;
    config["input"] = {{"height", input.height},
                       {"width", input.width},
                       {"channels", input.channels},
                       {"pixels", input.is_bytes ? "u8" : "f32"}};
    for (const std::string& name : input.class_names)
      config["classes"].push_back(is_utf8(name) ? name : printable(name));
  }
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
  if (config.contains("input") && config.contains("classes"))
    facts.input = read_input(config.at("input"), config.at("classes"), facts.normalization);
  return facts;
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "tools/checkpoint.h"

#include <cstring>

#include <nlohmann/json.hpp>

#include "data/safetensors.h"
#include "layers/state_dict.h"

namespace gradamp {
namespace {

constexpr std::string_view kPrefix = "gradamp.";
constexpr const char* kFormat = "gradamp checkpoint 1";

/// The run's tensors beside the weights.
std::vector<NamedBuffer> run_tensors(const CheckpointState& state) {
  std::vector<NamedBuffer> tensors = state.optimizer.state_tensors();
  tensors.push_back({"counters", state.state.counters});
  tensors.push_back({"metrics", state.state.metrics});
  tensors.push_back({"learning_rate", state.state.learning_rate});
  for (NamedBuffer& tensor : tensors) tensor.name = std::string(kPrefix) + tensor.name;
  return tensors;
}

/// The settings that determine the numbers: not where the run's folder is or how its progress is measured.
std::string settings_text(const RunSettings& settings) {
  RunSettings determining = settings;
  determining.run_folder.clear();
  return to_json(determining).dump();
}

std::vector<StateEntry> weight_entries(const TensorFile& file, const std::filesystem::path& path) {
  std::vector<StateEntry> entries;
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.name.starts_with(kPrefix) || tensor.name.ends_with("num_batches_tracked")) continue;
    check(tensor.dtype == DType::kF32, "{}: expected '{}' as f32, got {}", path.string(), tensor.name,
          name_of(tensor.dtype));
    std::vector<float> values(tensor.bytes.size() / sizeof(float));
    if (!values.empty()) std::memcpy(values.data(), tensor.bytes.data(), tensor.bytes.size());
    entries.push_back({tensor.name, tensor.shape, std::move(values)});
  }
  return entries;
}

void load_entries(const std::filesystem::path& path, Module& network, const TensorFile& file) {
  try {
    load_state_dict(network, weight_entries(file, path));
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
}

std::string metadata_text(const TensorFile& file, const std::filesystem::path& path, const char* key) {
  const auto found = file.metadata().find(key);
  check(found != file.metadata().end(), "{} is no checkpoint of a run: it lacks '{}'", path.string(), key);
  return found->second;
}

CheckpointPosition position_of(const TensorFile& file, const std::filesystem::path& path) {
  const std::string format = metadata_text(file, path, "format");
  check(format == kFormat, "{}: expected a '{}', got a '{}'", path.string(), kFormat, format);
  return {std::stoi(metadata_text(file, path, "epoch")), metadata_text(file, path, "epoch_finished") == "true"};
}

/// Copies the weights and `tensors` from the file, once all are known to be there.
void restore(const TensorFile& file, const std::filesystem::path& path, const CheckpointState& state,
             const std::vector<NamedBuffer>& tensors) {
  for (const NamedBuffer& named : tensors) {
    const TensorView* saved = file.find(named.name);
    check(saved != nullptr && saved->dtype == named.tensor.dtype() && saved->shape == named.tensor.shape(),
          "{}: expected '{}' as {} of shape {}", path.string(), named.name, name_of(named.tensor.dtype()),
          named.tensor.shape().to_string());
  }
  load_entries(path, state.network, file);
  for (const NamedBuffer& named : tensors) named.tensor.copy_bytes_from_host(file.find(named.name)->bytes);
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const CheckpointState& state, bool epoch_finished,
                     FileSystem& file_system) {
  std::vector<TensorView> views;
  const std::vector<StateEntry> weights = state_dict(state.network);
  for (const StateEntry& entry : weights)
    views.push_back({entry.name, DType::kF32, entry.shape, std::as_bytes(std::span(entry.values))});
  std::vector<std::vector<std::byte>> copies;
  for (const NamedBuffer& named : run_tensors(state)) {
    std::vector<std::byte>& copy = copies.emplace_back(named.tensor.bytes());
    named.tensor.copy_bytes_to_host(copy);
    views.push_back({named.name, named.tensor.dtype(), named.tensor.shape(), copy});
  }
  const std::int64_t epoch = state.state.counters.to_host<std::int64_t>()[kEpoch];
  const std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                       {"epoch", std::to_string(epoch)},
                                                       {"epoch_finished", epoch_finished ? "true" : "false"},
                                                       {"settings", settings_text(state.settings)}};
  write_safetensors(path, std::move(views), metadata, Keep::kPrevious, file_system);
}

CheckpointPosition load_checkpoint(const std::filesystem::path& path, const CheckpointState& state,
                                   FileSystem& file_system) {
  const TensorFile file = read_safetensors(path, file_system);
  const CheckpointPosition position = position_of(file, path);
  check(metadata_text(file, path, "settings") == settings_text(state.settings),
        "{} was saved with other settings than its run's config.json has; restore that file", path.string());
  state.optimizer.resume_epoch(position.epoch, position.epoch_finished);
  restore(file, path, state, run_tensors(state));
  return position;
}

CheckpointPosition load_beginning(const std::filesystem::path& path, const CheckpointState& state,
                                  FileSystem& file_system) {
  const TensorFile file = read_safetensors(path, file_system);
  const CheckpointPosition position = position_of(file, path);
  const RunSettings other = settings_from_json(nlohmann::json::parse(metadata_text(file, path, "settings")));
  check(position.epoch_finished, "{}: expected the end of an epoch, got a checkpoint inside epoch {}", path.string(),
        position.epoch);
  const int shared = shared_epochs(other, state.settings);
  check(shared > 0,
        "{} is of a run that has nothing in common with this one: expected the same settings but for the amplification "
        "(data, network, seed, batch size, threads, ...) and the same learning rate in the first epoch",
        path.string());
  check(position.epoch <= shared,
        "{} is {} epochs into a run that has only its first {} in common with this one; branch from a run with the "
        "same settings but for the amplification that was ended --until {}",
        path.string(), position.epoch, shared, shared);
  state.optimizer.resume_epoch(position.epoch, true);
  std::vector<NamedBuffer> tensors = run_tensors(state);
  // Nothing has been selected: both are as they were made. With the placement backprop their sizes may differ.
  std::erase_if(tensors, [](const NamedBuffer& tensor) {
    return tensor.name == "gradamp.optimizer.factors" || tensor.name == "gradamp.optimizer.measures";
  });
  restore(file, path, state, tensors);
  return position;
}

void load_weights(const std::filesystem::path& path, Module& network, FileSystem& file_system) {
  load_entries(path, network, read_safetensors(path, file_system));
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/checkpoint.h"

#include <cstdlib>
#include <cstring>
#include <map>
#include <string_view>
#include <utility>
#include <vector>

#include "gradamp/core/numerics.h"
#include "gradamp/layers/state_dict.h"

namespace gradamp {
namespace {

constexpr std::string_view kPrefix = "gradamp.";
constexpr const char* kFormat = "gradamp checkpoint 1";

/// The run's tensors except the network's.
std::vector<NamedBuffer> run_tensors(const CheckpointState& state) {
  std::vector<NamedBuffer> tensors = state.optimizer.state_tensors();
  tensors.push_back({"counters", state.state.counters});
  tensors.push_back({"metrics", state.state.metrics});
  tensors.push_back({"learning_rate", state.state.learning_rate});
  for (NamedBuffer& tensor : tensors) tensor.name = std::string(kPrefix) + tensor.name;
  return tensors;
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

/// Calls `use`, load_state_dict or check_state_dict, and puts the path in front of its error.
void with_entries(void (*use)(Module&, const std::vector<StateEntry>&), const std::filesystem::path& path,
                  Module& network, const std::vector<StateEntry>& entries) {
  try {
    use(network, entries);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
}

std::string metadata_text(const TensorFile& file, const std::filesystem::path& path, const char* key) {
  const auto found = file.metadata().find(key);
  check(found != file.metadata().end(), "{} is no checkpoint of a run: it lacks '{}'", path.string(), key);
  return found->second;
}

DeviceKind kind_of(const CheckpointState& state) { return state.state.counters.backend().device().kind; }

/// "cpu 1".
std::string numerics_text(const CheckpointState& state) {
  return fmt::format("{} {}", name_of(kind_of(state)), numerics_version(kind_of(state)));
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const CheckpointState& state, bool epoch_finished,
                     const std::string& settings, FileSystem& file_system) {
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
  const std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                       {"epoch", std::to_string(state.state.counter(kEpoch))},
                                                       {"epoch_finished", epoch_finished ? "true" : "false"},
                                                       {"numerics", numerics_text(state)},
                                                       {"settings", settings}};
  write_safetensors(path, std::move(views), metadata, Keep::kPrevious, file_system);
}

CheckpointFile::CheckpointFile(std::filesystem::path path, FileSystem& file_system)
    : path_(std::move(path)), file_(read_safetensors(path_, file_system)) {
  check(file_.has_checksums(),
        "{} has no checksums: another program wrote it, or it is damaged; --weights loads only its weights",
        path_.string());
  const std::string format = metadata_text(file_, path_, "format");
  check(format == kFormat, "{}: expected a '{}', got a '{}'", path_.string(), kFormat, format);
  position_ = {std::stoi(metadata_text(file_, path_, "epoch")),
               metadata_text(file_, path_, "epoch_finished") == "true"};
  settings_ = metadata_text(file_, path_, "settings");
}

void CheckpointFile::restore(const CheckpointState& state) const {
  check_version(state);
  state.optimizer.resume_epoch(position_.epoch, position_.epoch_finished);
  restore(state, run_tensors(state));
}

void CheckpointFile::restore_beginning(const CheckpointState& state) const {
  check_version(state);
  check(position_.epoch_finished, "{}: expected the end of an epoch, got a checkpoint inside epoch {}", path_.string(),
        position_.epoch);
  state.optimizer.resume_epoch(position_.epoch, true);
  std::vector<NamedBuffer> tensors = run_tensors(state);
  // Neither run has selected layers: both tensors have their initial values. With placement backprop the sizes may
  // differ.
  std::erase_if(tensors, [](const NamedBuffer& tensor) {
    return tensor.name == "gradamp.optimizer.factors" || tensor.name == "gradamp.optimizer.measures";
  });
  restore(state, tensors);
}

/// Between kinds of devices the bits differ anyway. Files of release 0.1.0 have no version: it is 1.
void CheckpointFile::check_version(const CheckpointState& state) const {
  const auto found = file_.metadata().find("numerics");
  const std::string text =
      found == file_.metadata().end() ? fmt::format("{} 1", name_of(kind_of(state))) : found->second;
  const std::size_t space = text.find(' ');
  if (text.substr(0, space) != name_of(kind_of(state))) return;
  check(space != std::string::npos, "{}: expected a device and a version as 'numerics', got '{}'", path_.string(),
        text);
  check_numerics(path_.string(), kind_of(state), std::atoi(text.c_str() + space + 1));
}

/// Copies the weights and `tensors` from the file, once all are known to be there. Weights that do not fit are named
/// first: the sizes of the other tensors follow from theirs.
void CheckpointFile::restore(const CheckpointState& state, const std::vector<NamedBuffer>& tensors) const {
  const std::vector<StateEntry> entries = weight_entries(file_, path_);
  with_entries(check_state_dict, path_, state.network, entries);
  for (const NamedBuffer& named : tensors) {
    const TensorView* saved = file_.find(named.name);
    check(saved != nullptr && saved->dtype == named.tensor.dtype() && saved->shape == named.tensor.shape(),
          "{}: expected '{}' as {} of shape {}", path_.string(), named.name, name_of(named.tensor.dtype()),
          named.tensor.shape().to_string());
  }
  with_entries(load_state_dict, path_, state.network, entries);
  for (const NamedBuffer& named : tensors) named.tensor.copy_bytes_from_host(file_.find(named.name)->bytes);
}

void load_weights(const std::filesystem::path& path, Module& network, FileSystem& file_system) {
  const TensorFile file = read_safetensors(path, file_system);
  with_entries(load_state_dict, path, network, weight_entries(file, path));
}

}  // namespace gradamp

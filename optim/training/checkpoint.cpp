// SPDX-License-Identifier: MIT
#include "gradamp/optim/training/checkpoint.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstring>
#include <map>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "gradamp/core/bf16.h"
#include "gradamp/core/f16.h"
#include "gradamp/core/numerics.h"
#include "gradamp/core/text.h"

namespace gradamp {
namespace {

constexpr std::string_view kPrefix = "gradamp.";
constexpr const char* kFormat = "gradamp checkpoint 1";
constexpr const char* kWindow = "window_first_epoch";

/// The run's tensors except the network's.
std::vector<NamedBuffer> run_tensors(const CheckpointState& state) {
  std::vector<NamedBuffer> tensors = state.optimizer.state_tensors();
  tensors.push_back({"counters", state.state.counters});
  tensors.push_back({"metrics", state.state.metrics});
  tensors.push_back({"learning_rate", state.state.learning_rate});
  for (NamedBuffer& tensor : tensors) tensor.name = std::string(kPrefix) + tensor.name;
  return tensors;
}

/// The elements of a tensor of T, converted to float.
template <typename T, typename ToFloat>
std::vector<float> converted(const TensorView& tensor, ToFloat to_float) {
  std::vector<float> values(tensor.bytes.size() / sizeof(T));
  for (std::size_t i = 0; i < values.size(); ++i) {
    T element;
    std::memcpy(&element, tensor.bytes.data() + i * sizeof(T), sizeof(T));
    values[i] = to_float(element);
  }
  return values;
}

/// The elements of a tensor of floating-point numbers. Those that f32 cannot hold become infinite.
std::vector<float> to_floats(const TensorView& tensor) {
  switch (tensor.dtype) {
    case DType::kF32: return converted<float>(tensor, [](float x) { return x; });
    case DType::kF64: return converted<double>(tensor, [](double x) { return static_cast<float>(x); });
    case DType::kBF16: return converted<std::uint16_t>(tensor, from_bf16);
    case DType::kF16: return converted<std::uint16_t>(tensor, from_f16);
    default: break;
  }
  fail("expected '{}' as f32, bf16, f16 or f64, got {}", tensor.name, name_of(tensor.dtype));
}

template <typename Float>
void check_finite(const std::string& where, const std::string& name, std::span<const Float> values) {
  const auto bad = std::find_if(values.begin(), values.end(), [](Float value) { return !std::isfinite(value); });
  if (bad != values.end())
    throw NotFiniteTensor(where, name, static_cast<std::size_t>(bad - values.begin()), static_cast<double>(*bad));
}

/// Of a tensor whose memory is aligned.
void check_finite(const std::string& where, const TensorView& tensor) {
  const auto elements = [&]<typename Float>(Float) {
    return std::span(reinterpret_cast<const Float*>(tensor.bytes.data()), tensor.bytes.size() / sizeof(Float));
  };
  if (tensor.dtype == DType::kF32) check_finite(where, tensor.name, elements(float()));
  if (tensor.dtype == DType::kF64) check_finite(where, tensor.name, elements(double()));
}

std::vector<StateEntry> weight_entries(const TensorFile& file, const std::filesystem::path& path) {
  std::vector<StateEntry> entries;
  for (const TensorView& tensor : file.tensors()) {
    if (tensor.name.starts_with(kPrefix) || tensor.name.ends_with("num_batches_tracked")) continue;
    entries.push_back({tensor.name, tensor.shape, to_floats(tensor)});
    check_finite(path.string(), tensor.name, std::span<const float>(entries.back().values));
  }
  return entries;
}

/// Removes what PyTorch's wrappers put in front of all names, unless the network has one of these names.
void unwrap(Module& network, std::vector<StateEntry>& entries) {
  std::set<std::string> known;
  for (const StateEntry& entry : state_dict(network)) known.insert(entry.name);
  const auto is_known = [&](const StateEntry& entry) { return known.contains(entry.name); };
  for (const std::string_view prefix : {"module.", "_orig_mod.", "model.", "module.", "_orig_mod.", "model."}) {
    const auto has_prefix = [&](const StateEntry& entry) { return entry.name.starts_with(prefix); };
    if (std::any_of(entries.begin(), entries.end(), is_known)) return;
    if (!std::all_of(entries.begin(), entries.end(), has_prefix)) continue;
    for (StateEntry& entry : entries) entry.name.erase(0, prefix.size());
  }
}

/// Calls `use`, load_state_dict or check_state_dict, and puts the path in front of its error.
void with_entries(void (*use)(Module&, const std::vector<StateEntry>&, Head), const std::filesystem::path& path,
                  Module& network, const std::vector<StateEntry>& entries, Head head = Head::kLoad) {
  try {
    use(network, entries, head);
  } catch (const Error& error) {
    fail("{}: {}", path.string(), error.what());
  }
}

/// Whether the entries fit the network with a head of its own.
bool fits_without_head(Module& network, const std::vector<StateEntry>& entries) {
  try {
    check_state_dict(network, entries, Head::kKeep);
    return true;
  } catch (const Error&) {
    return false;
  }
}

std::string metadata_text(const TensorFile& file, const std::filesystem::path& path, const char* key) {
  const auto found = file.metadata().find(key);
  check(found != file.metadata().end(), "{} is no checkpoint of a run: it lacks '{}'", path.string(), key);
  return found->second;
}

/// The whole of `text` as a number of at least 0. Error if it is none.
int number_of(std::string_view text, const std::filesystem::path& path, const char* key) {
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  check(error == std::errc() && end == text.data() + text.size() && number >= 0,
        "{} is damaged: expected a whole number of at least 0 as '{}', got '{}'", path.string(), key, shortened(text));
  return number;
}

DeviceKind kind_of(const CheckpointState& state) { return state.state.counters.backend().device().kind; }

/// "cpu 1".
std::string numerics_text(const CheckpointState& state) {
  return fmt::format("{} {}", name_of(kind_of(state)), numerics_version(kind_of(state)));
}

}  // namespace

NotFiniteTensor::NotFiniteTensor(const std::string& where, const std::string& name, std::size_t index, double value)
    : Error(fmt::format("{}: element {} of '{}' is {}, expected a finite number", where, index, name, value)),
      element_(fmt::format("element {} of '{}'", index, name)) {}

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
  for (const TensorView& view : views) check_finite("the run", view);
  std::map<std::string, std::string> metadata = {{"format", kFormat},
                                                 {"epoch", std::to_string(state.state.counter(kEpoch))},
                                                 {"epoch_finished", epoch_finished ? "true" : "false"},
                                                 {"numerics", numerics_text(state)},
                                                 {"settings", settings}};
  if (const int first = state.optimizer.window_first_epoch(); first > 0) metadata[kWindow] = std::to_string(first);
  write_safetensors(path, std::move(views), metadata, Keep::kPrevious, file_system);
}

void broadcast_state(const CheckpointState& state, CheckpointPosition& position, Communicator& ranks) {
  std::array<std::int64_t, 3> place = {position.epoch, position.epoch_finished ? 1 : 0,
                                       state.optimizer.window_first_epoch()};
  broadcast(ranks, std::as_writable_bytes(std::span(place)));
  if (ranks.rank() != 0) {
    position = {static_cast<int>(place[0]), place[1] != 0};
    state.optimizer.resume_epoch(position.epoch, position.epoch_finished, static_cast<int>(place[2]));
  }
  const auto share = [&](const Tensor& tensor) {
    std::vector<std::byte> bytes(tensor.bytes());
    tensor.copy_bytes_to_host(bytes);
    broadcast(ranks, bytes);
    if (ranks.rank() != 0) tensor.copy_bytes_from_host(bytes);
  };
  for (const NamedParameter& parameter : state.network.named_parameters()) {
    share(parameter.variable.value());
    parameter.variable.refresh_copy();
  }
  for (const NamedBuffer& buffer : state.network.named_buffers()) share(buffer.tensor);
  for (const NamedBuffer& named : run_tensors(state)) share(named.tensor);
}

void save_weights(const std::filesystem::path& path, Module& network,
                  const std::map<std::string, std::string>& metadata, FileSystem& file_system) {
  const std::vector<StateEntry> weights = state_dict(network);
  std::vector<TensorView> views;
  for (const StateEntry& entry : weights)
    views.push_back({entry.name, DType::kF32, entry.shape, std::as_bytes(std::span(entry.values))});
  for (const TensorView& view : views) check_finite("the run", view);
  write_safetensors(path, std::move(views), metadata, Keep::kNothing, file_system);
}

CheckpointFile::CheckpointFile(std::filesystem::path path, FileSystem& file_system)
    : path_(std::move(path)), file_(read_safetensors(path_, file_system)) {
  check(file_.has_checksums(),
        "{} has no checksums: another program wrote it, or it is damaged; --weights loads only its weights",
        path_.string());
  const std::string format = metadata_text(file_, path_, "format");
  check(format == kFormat, "{}: expected a '{}', got a '{}'", path_.string(), kFormat, format);
  position_ = {number_of(metadata_text(file_, path_, "epoch"), path_, "epoch"),
               metadata_text(file_, path_, "epoch_finished") == "true"};
  if (file_.metadata().contains(kWindow)) {
    window_first_epoch_ = number_of(metadata_text(file_, path_, kWindow), path_, kWindow);
    check(window_first_epoch_ <= position_.epoch, "{} is damaged: expected a '{}' of at most {}, got {}",
          path_.string(), kWindow, position_.epoch, window_first_epoch_);
  }
  settings_ = metadata_text(file_, path_, "settings");
}

void CheckpointFile::restore(const CheckpointState& state) const {
  check_version(state);
  state.optimizer.resume_epoch(position_.epoch, position_.epoch_finished, window_first_epoch_);
  restore(state, run_tensors(state));
}

void CheckpointFile::restore_beginning(const CheckpointState& state) const {
  check_version(state);
  check(position_.epoch_finished, "{}: expected the end of an epoch, got a checkpoint inside epoch {}", path_.string(),
        position_.epoch);
  state.optimizer.resume_epoch(position_.epoch, true, window_first_epoch_);
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
  check_numerics(path_.string(), kind_of(state),
                 number_of(std::string_view(text).substr(space + 1), path_, "numerics"));
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
    check_finite(path_.string(), *saved);
  }
  with_entries(load_state_dict, path_, state.network, entries);
  for (const NamedBuffer& named : tensors) named.tensor.copy_bytes_from_host(file_.find(named.name)->bytes);
}

void load_weights(const std::filesystem::path& path, Module& network, FileSystem& file_system, Head head) {
  const TensorFile file = read_safetensors(path, file_system);
  std::vector<StateEntry> entries = weight_entries(file, path);
  unwrap(network, entries);
  try {
    with_entries(load_state_dict, path, network, entries, head);
  } catch (const Error& error) {
    if (head == Head::kLoad && fits_without_head(network, entries)) throw HeadMismatch(error.what());
    throw;
  }
}

}  // namespace gradamp

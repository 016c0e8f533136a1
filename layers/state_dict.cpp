// SPDX-License-Identifier: MIT
#include "gradamp/layers/state_dict.h"

#include <algorithm>
#include <map>

#include "gradamp/layers/layers.h"

namespace gradamp {
namespace {

/// Transposes (outer, a, b) to (outer, b, a).
std::vector<float> swap_inner(std::int64_t outer, std::int64_t a, std::int64_t b, const std::vector<float>& values) {
  std::vector<float> swapped(values.size());
  std::size_t at = 0;
  for (std::int64_t o = 0; o < outer; ++o) {
    for (std::int64_t j = 0; j < b; ++j) {
      for (std::int64_t i = 0; i < a; ++i) swapped[at++] = values[static_cast<std::size_t>((o * a + i) * b + j)];
    }
  }
  return swapped;
}

struct StateTensor {
  std::string name;
  Tensor tensor;
  bool is_filter = false;  // of a convolution: only filters have another layout in PyTorch
  bool is_head = false;

  Shape shape() const { return is_filter ? pytorch_shape(tensor.shape()) : tensor.shape(); }
};

/// The parameters, then the buffers.
std::vector<StateTensor> all_tensors(Module& network) {
  std::vector<StateTensor> tensors, buffers;
  network.for_each([&](const std::string& prefix, Module& module) {
    const auto full = [&](const std::string& name) { return prefix.empty() ? name : prefix + "." + name; };
    const bool is_convolution = dynamic_cast<const Conv2d*>(&module) != nullptr;
    for (const NamedParameter& own : module.own_parameters()) {
      const Tensor& value = own.variable.value();
      tensors.push_back({full(own.name), value, is_convolution && value.shape().rank() == 4});
    }
    for (const NamedBuffer& own : module.own_buffers()) buffers.push_back({full(own.name), own.tensor});
  });
  tensors.insert(tensors.end(), buffers.begin(), buffers.end());
  const std::vector<std::string> head = head_names(network);
  for (StateTensor& named : tensors) named.is_head = std::find(head.begin(), head.end(), named.name) != head.end();
  return tensors;
}

using EntriesByName = std::map<std::string, const StateEntry*>;

EntriesByName entries_by_name(const std::vector<StateEntry>& entries) {
  EntriesByName by_name;
  for (const StateEntry& entry : entries) {
    if (!entry.name.ends_with("num_batches_tracked")) by_name[entry.name] = &entry;
  }
  return by_name;
}

/// What follows from two filters, (K, C, R, S), that differ in their input channels alone; else "".
std::string channel_advice(const Shape& saved, const Shape& expected) {
  if (saved.rank() != 4 || expected.rank() != 4) return "";
  if (Shape{saved[0], expected[1], saved[2], saved[3]} != expected) return "";
  return fmt::format(
      ": its input has {} channels, this network's has {}; if it is the first convolution, the weights "
      "are for images of {} channels",
      saved[1], expected[1], saved[1]);
}

/// Whether two shapes of a head's parameter, (classes, ...), differ at most in the number of classes.
bool differ_in_classes_alone(const Shape& saved, const Shape& expected) {
  if (saved.rank() != expected.rank() || saved.rank() == 0) return false;
  for (int i = 1; i < saved.rank(); ++i)
    if (saved[i] != expected[i]) return false;
  return true;
}

void check_entries(const std::vector<StateTensor>& tensors, const EntriesByName& by_name, Head head) {
  const bool has_head = std::any_of(tensors.begin(), tensors.end(), [](const auto& named) { return named.is_head; });
  check(head == Head::kLoad || has_head, "this network has no linear layer, so it has no head that could be new");
  for (const StateTensor& named : tensors) {
    const bool is_kept = named.is_head && head == Head::kKeep;
    const auto found = by_name.find(named.name);
    if (is_kept && found == by_name.end()) continue;
    check(found != by_name.end(), "the weights lack '{}'; are they of another network?", named.name);
    const Shape& saved = found->second->shape;
    const Shape expected = named.shape();
    const bool of_other_classes = named.is_head && saved != expected && differ_in_classes_alone(saved, expected);
    if (is_kept && of_other_classes) continue;
    check(saved == expected, "the weights' '{}' has shape {}, expected {}{}", named.name, saved.to_string(),
          expected.to_string(),
          of_other_classes ? fmt::format(": they are for {} classes, this network has {}", saved[0], expected[0])
                           : channel_advice(saved, expected));
    check(static_cast<std::int64_t>(found->second->values.size()) == expected.count(),
          "the weights' '{}' has {} values, expected {}", named.name, found->second->values.size(), expected.count());
  }
  for (const auto& [name, entry] : by_name) {
    const bool known = std::any_of(tensors.begin(), tensors.end(),
                                   [&entry_name = name](const auto& named) { return named.name == entry_name; });
    check(known, "the weights hold '{}', which this network does not have", name);
  }
}

}  // namespace

Shape pytorch_shape(const Shape& shape) {
  return shape.rank() == 4 ? Shape{shape[0], shape[3], shape[1], shape[2]} : shape;
}

std::vector<float> to_pytorch_layout(const Shape& shape, const std::vector<float>& values) {
  return shape.rank() == 4 ? swap_inner(shape[0], shape[1] * shape[2], shape[3], values) : values;
}

std::vector<float> from_pytorch_layout(const Shape& shape, const std::vector<float>& values) {
  return shape.rank() == 4 ? swap_inner(shape[0], shape[3], shape[1] * shape[2], values) : values;
}

std::vector<StateEntry> state_dict(Module& network) {
  std::vector<StateEntry> entries;
  for (const StateTensor& named : all_tensors(network)) {
    const std::vector<float> values = named.tensor.to_host<float>();
    entries.push_back(
        {named.name, named.shape(), named.is_filter ? to_pytorch_layout(named.tensor.shape(), values) : values});
  }
  return entries;
}

std::vector<std::string> head_names(Module& network) {
  std::vector<std::string> names;
  network.for_each([&](const std::string& prefix, Module& module) {
    const auto* layer = dynamic_cast<const Layer*>(&module);
    if (layer == nullptr || layer->type() != LayerType::kLinear) return;
    names.clear();
    for (const NamedParameter& own : module.own_parameters())
      names.push_back(prefix.empty() ? own.name : prefix + "." + own.name);
  });
  return names;
}

void check_state_dict(Module& network, const std::vector<StateEntry>& entries, Head head) {
  check_entries(all_tensors(network), entries_by_name(entries), head);
}

void load_state_dict(Module& network, const std::vector<StateEntry>& entries, Head head) {
  const EntriesByName by_name = entries_by_name(entries);
  const std::vector<StateTensor> tensors = all_tensors(network);
  check_entries(tensors, by_name, head);
  for (const StateTensor& named : tensors) {
    if (named.is_head && head == Head::kKeep) continue;
    const std::vector<float>& saved = by_name.at(named.name)->values;
    const std::vector<float> values = named.is_filter ? from_pytorch_layout(named.tensor.shape(), saved) : saved;
    named.tensor.copy_from_host(std::span<const float>(values));
  }
  for (const NamedParameter& parameter : network.named_parameters()) parameter.variable.refresh_copy();
}

}  // namespace gradamp

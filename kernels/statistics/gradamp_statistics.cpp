// SPDX-License-Identifier: MIT
// The C interface over the kernels of kernels/cpu. It includes no fmt and throws nothing through the interface, so the
// library needs the C++ runtime alone.
#include "gradamp/kernels/statistics/gradamp_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

#include "gradamp/core/processors.h"
#include "gradamp/core/random_selection.h"
#include "gradamp/core/version.h"
#include "gradamp/kernels/cpu/layer_measures.h"
#include "gradamp/kernels/cpu/parallel.h"
#include "gradamp/kernels/statistics/gradient_sums.h"

namespace gradamp {
namespace {

/// A wrong argument. The message is last_error's.
struct InvalidArgument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// InvalidArgument unless `condition`; printf's format.
__attribute__((format(printf, 2, 3))) void check(bool condition, const char* format, ...) {
  if (condition) return;
  std::va_list arguments;
  va_start(arguments, format);
  char message[256];
  std::vsnprintf(message, sizeof message, format, arguments);
  va_end(arguments);
  throw InvalidArgument(message);
}

std::string& last_error() {
  thread_local std::string message;
  return message;
}

/// Calls the function, which may throw, and turns exceptions into a status and a message.
template <typename Function>
gradamp_status guarded(const Function& function) noexcept {
  const auto failed = [](gradamp_status status, const char* message) {
    try {
      last_error() = message;
    } catch (...) {  // there is no memory for the message
      last_error().clear();
    }
    return status;
  };
  try {
    function();
    return GRADAMP_OK;
  } catch (const InvalidArgument& error) {
    return failed(GRADAMP_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return failed(GRADAMP_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(GRADAMP_FAILED, error.what());
  } catch (...) {
    return failed(GRADAMP_FAILED, "an unknown exception");
  }
}

/// Calls function(typed pointer) for a gradient of this type.
template <typename Pointer, typename Function>
auto with_type(Pointer* gradient, std::int32_t type, const Function& function) {
  constexpr bool kConst = std::is_const_v<Pointer>;
  if (type == GRADAMP_BF16) return function(static_cast<std::conditional_t<kConst, const Bf16, Bf16>*>(gradient));
  if (type == GRADAMP_F16) return function(static_cast<std::conditional_t<kConst, const F16, F16>*>(gradient));
  return function(static_cast<std::conditional_t<kConst, const float, float>*>(gradient));
}

/// The kernels of the best instruction set of this processor, or of the one that GRADAMP_ISA names.
const GradientKernels& choose_kernels() {
  const std::vector<InstructionSet> usable = usable_instruction_sets();
  check(!usable.empty(), "expected a processor of the level x86-64-v2, since about 2009; this one is older");
  const char* const wanted = std::getenv("GRADAMP_ISA");
  if (wanted == nullptr || *wanted == '\0') return gradient_kernels(usable.back());
  const auto found =
      std::find_if(usable.begin(), usable.end(), [&](auto set) { return std::strcmp(name_of(set), wanted) == 0; });
  check(found != usable.end(), "GRADAMP_ISA: expected an instruction set of this processor, got '%s'", wanted);
  return gradient_kernels(*found);
}

/// Elements of a task: 64 KiB of floats.
constexpr std::int64_t kTaskElements = kElementwiseGrain;

/// By weight: a tensor. By neuron: the tensors of a layer with equally many rows, whose neurons they share.
struct Group {
  std::int32_t layer = 0;
  std::int64_t sums_begin = 0, sums_count = 0;  // in the sums: elements, or neurons
  std::vector<std::int32_t> tensors;
};

/// A range of a group's elements or neurons, which a thread adds as one.
struct Task {
  std::size_t group;
  std::int64_t begin, end;
};

/// What identifies a state: it can be restored only into statistics with the same.
struct StateHeader {
  char magic[8] = {'G', 'R', 'A', 'D', 'S', 'T', 'A', 'T'};
  std::uint32_t version = 1, by_neuron = 0;
  std::uint64_t layout = 0;  // a hash of the tensors
  std::int64_t iterations = 0;

  bool operator==(const StateHeader& other) const {
    return std::memcmp(magic, other.magic, sizeof magic) == 0 && version == other.version &&
           by_neuron == other.by_neuron && layout == other.layout;
  }
};

std::uint64_t hash_of(const std::vector<gradamp_tensor>& tensors) {
  std::uint64_t hash = 14695981039346656037u;  // FNV-1a, of 64-bit words
  for (const gradamp_tensor& tensor : tensors)
    for (const std::int64_t word : {tensor.count, tensor.rows, std::int64_t{tensor.layer}})
      hash = (hash ^ static_cast<std::uint64_t>(word)) * 1099511628211u;
  return hash;
}

}  // namespace
}  // namespace gradamp

using namespace gradamp;

struct gradamp_statistics {
  gradamp_statistics(std::vector<gradamp_tensor> given, const gradamp_statistics_options& options)
      : kernels_(choose_kernels()),
        tensors_(std::move(given)),
        by_neuron_(options.by_neuron != 0),
        threads_(options.threads) {
    for (const gradamp_tensor& tensor : tensors_) layers_ = std::max(layers_, tensor.layer + 1);
    elements_.resize(static_cast<std::size_t>(layers_));
    totals_.resize(static_cast<std::size_t>(layers_));
    make_groups();
    const Group& last = groups_.back();
    signed_sums_.resize(static_cast<std::size_t>(last.sums_begin + last.sums_count));
    absolute_sums_.resize(signed_sums_.size());
    make_tasks();
    header_.by_neuron = by_neuron_ ? 1 : 0;
    header_.layout = hash_of(tensors_);
  }

  std::int32_t layers() const { return layers_; }
  std::int64_t iterations() const { return header_.iterations; }
  std::size_t tensor_count() const { return tensors_.size(); }

  void accumulate(const void* const* gradients, const std::int32_t* types) {
    check_types(types);
    parallel_for(threads_, static_cast<std::int64_t>(tasks_.size()), [&](std::int64_t t) {
      const Task& task = tasks_[static_cast<std::size_t>(t)];
      task_totals_[static_cast<std::size_t>(t)] =
          by_neuron_ ? add_neurons(task, gradients, types) : add_elements(task, gradients, types);
    });
    for (std::size_t t = 0; t < tasks_.size(); ++t)
      totals_[static_cast<std::size_t>(groups_[tasks_[t].group].layer)] += task_totals_[t];
    ++header_.iterations;
  }

  void measure(gradamp_layer_measures* layers) const {
    std::vector<double> g(static_cast<std::size_t>(layers_)), g_prime(g.size()), normalized(g.size());
    parallel_tasks(threads_, layers_, [&](std::int64_t l, int) {
      const auto layer = static_cast<std::size_t>(l);
      layers[layer] = measure_layer(static_cast<std::int32_t>(l));
      g[layer] = layers[layer].g;
      g_prime[layer] = layers[layer].g_prime;
    });
    normalize_over_layers(g.data(), layers_, normalized.data());
    for (std::size_t l = 0; l < g.size(); ++l) layers[l].normalized_g = normalized[l];
    normalize_over_layers(g_prime.data(), layers_, normalized.data());
    for (std::size_t l = 0; l < g.size(); ++l) layers[l].normalized_g_prime = normalized[l];
  }

  void reset() {
    std::fill(signed_sums_.begin(), signed_sums_.end(), 0.0f);
    std::fill(absolute_sums_.begin(), absolute_sums_.end(), 0.0f);
    std::fill(totals_.begin(), totals_.end(), GradientTotals());
    header_.iterations = 0;
  }

  void scale(void* const* gradients, const std::int32_t* types, const float* factors) const {
    check_types(types);
    const auto count = static_cast<std::int64_t>(tensors_.size());
    parallel_tasks(threads_, count, [&](std::int64_t i, int) {
      const gradamp_tensor& tensor = tensors_[static_cast<std::size_t>(i)];
      const float factor = factors[tensor.layer];
      if (gradients[i] == nullptr || factor == 1.0f) return;
      with_type(gradients[i], types == nullptr ? GRADAMP_F32 : types[i],
                [&](auto* gradient) { scale_gradients(gradient, tensor.count, factor); });
    });
  }

  std::size_t state_size() const {
    return sizeof header_ + totals_.size() * sizeof totals_[0] + 2 * signed_sums_.size() * sizeof(float);
  }

  void save(void* state) const {
    auto* to = static_cast<char*>(state);
    const auto put = [&](const void* data, std::size_t size) {
      std::memcpy(to, data, size);
      to += size;
    };
    put(&header_, sizeof header_);
    put(totals_.data(), totals_.size() * sizeof totals_[0]);
    put(signed_sums_.data(), signed_sums_.size() * sizeof(float));
    put(absolute_sums_.data(), absolute_sums_.size() * sizeof(float));
  }

  void restore(const void* state) {
    const auto* from = static_cast<const char*>(state);
    StateHeader header;
    std::memcpy(&header, from, sizeof header);
    check(header == header_ && header.iterations >= 0,
          "state: expected one of these tensors and this granularity, got another or none of this library");
    const auto get = [&](void* data, std::size_t size) {
      std::memcpy(data, from, size);
      from += size;
    };
    get(&header_, sizeof header_);
    get(totals_.data(), totals_.size() * sizeof totals_[0]);
    get(signed_sums_.data(), signed_sums_.size() * sizeof(float));
    get(absolute_sums_.data(), absolute_sums_.size() * sizeof(float));
  }

 private:
  std::int64_t row_length(std::int32_t tensor) const {
    const gradamp_tensor& of = tensors_[static_cast<std::size_t>(tensor)];
    return of.count / of.rows;
  }

  void check_types(const std::int32_t* types) const {
    for (std::size_t i = 0; types != nullptr && i < tensors_.size(); ++i)
      check(types[i] >= GRADAMP_F32 && types[i] <= GRADAMP_F16,
            "types[%zu]: expected GRADAMP_F32, GRADAMP_BF16 or GRADAMP_F16, got %d", i, static_cast<int>(types[i]));
  }

  void make_groups() {
    for (std::size_t i = 0; i < tensors_.size(); ++i) {
      const gradamp_tensor& tensor = tensors_[i];
      elements_[static_cast<std::size_t>(tensor.layer)] += tensor.count;
      const std::int64_t count = by_neuron_ ? tensor.rows : tensor.count;
      const auto shared = std::find_if(groups_.begin(), groups_.end(), [&](const Group& group) {
        return by_neuron_ && group.layer == tensor.layer && group.sums_count == count;
      });
      if (shared != groups_.end()) {
        shared->tensors.push_back(static_cast<std::int32_t>(i));
        continue;
      }
      const std::int64_t begin = groups_.empty() ? 0 : groups_.back().sums_begin + groups_.back().sums_count;
      groups_.push_back({tensor.layer, begin, count, {static_cast<std::int32_t>(i)}});
    }
  }

  void make_tasks() {
    for (std::size_t g = 0; g < groups_.size(); ++g) {
      std::int64_t length = 0;  // elements per sum
      for (const std::int32_t tensor : groups_[g].tensors) length += by_neuron_ ? row_length(tensor) : 1;
      const std::int64_t step = std::max<std::int64_t>(1, kTaskElements / length);
      for (std::int64_t begin = 0; begin < groups_[g].sums_count; begin += step)
        tasks_.push_back({g, begin, std::min(groups_[g].sums_count, begin + step)});
    }
    task_totals_.resize(tasks_.size());
  }

  GradientTotals add_elements(const Task& task, const void* const* gradients, const std::int32_t* types) {
    const Group& group = groups_[task.group];
    const auto i = static_cast<std::size_t>(group.tensors[0]);
    const std::int64_t count = task.end - task.begin;
    if (gradients[i] == nullptr) return zeros(count);
    const std::int64_t at = group.sums_begin + task.begin;
    return with_type(gradients[i], types == nullptr ? GRADAMP_F32 : types[i], [&](const auto* gradient) {
      using T = std::remove_cvref_t<decltype(*gradient)>;
      return kernels_.of<T>().add_weights(gradient + task.begin, count, signed_sums_.data() + at,
                                          absolute_sums_.data() + at);
    });
  }

  GradientTotals add_neurons(const Task& task, const void* const* gradients, const std::int32_t* types) {
    const Group& group = groups_[task.group];
    GradientTotals totals;
    for (std::int64_t row = task.begin; row < task.end; ++row) {
      double sum = 0;
      for (const std::int32_t tensor : group.tensors) {
        const auto i = static_cast<std::size_t>(tensor);
        const std::int64_t length = row_length(tensor);
        const GradientTotals of_row =
            gradients[i] == nullptr
                ? zeros(length)
                : with_type(gradients[i], types == nullptr ? GRADAMP_F32 : types[i], [&](const auto* gradient) {
                    using T = std::remove_cvref_t<decltype(*gradient)>;
                    return kernels_.of<T>().sum_neuron(gradient + row * length, length);
                  });
        sum += of_row.signed_sum;
        totals += of_row;
      }
      const auto neuron = static_cast<std::size_t>(group.sums_begin + row);
      const auto gradient = static_cast<float>(sum);
      signed_sums_[neuron] += gradient;
      absolute_sums_[neuron] += std::fabs(gradient);
    }
    return totals;
  }

  static GradientTotals zeros(std::int64_t count) {
    GradientTotals totals;
    totals.zeros = count;
    return totals;
  }

  gradamp_layer_measures measure_layer(std::int32_t layer) const {
    LayerSums sums;
    double signed_sum = 0;
    std::int64_t count = 0, positive = 0, agreeing = 0;
    for (const Group& group : groups_) {
      if (group.layer != layer) continue;
      const float* const s = signed_sums_.data() + group.sums_begin;
      const float* const a = absolute_sums_.data() + group.sums_begin;
      sums += sum_layer(s, a, group.sums_count);
      count += group.sums_count;
#pragma omp simd reduction(+ : signed_sum, positive, agreeing)
      for (std::int64_t i = 0; i < group.sums_count; ++i) {
        signed_sum += static_cast<double>(s[i]);
        positive += a[i] > 0 ? 1 : 0;
        // Equal to the bit if all signs were: then both sums were rounded alike.
        agreeing += a[i] > 0 && std::fabs(s[i]) == a[i] ? 1 : 0;
      }
    }
    const GradientTotals& totals = totals_[static_cast<std::size_t>(layer)];
    const double m = std::max(1.0, static_cast<double>(header_.iterations));  // without any, all totals are 0
    const double gradients = m * static_cast<double>(elements_[static_cast<std::size_t>(layer)]);
    gradamp_layer_measures result = {};
    result.g = sums.g();
    result.g_prime = sums.g_prime(count);
    result.l1 = (by_neuron_ ? totals.absolute_sum : sums.absolute_sum) / m;
    result.l2 = std::sqrt(totals.square_sum / m);
    result.maximum = totals.maximum;
    result.mean = (by_neuron_ ? totals.signed_sum : signed_sum) / gradients;
    result.zeros = static_cast<double>(totals.zeros) / gradients;
    result.sign_agreement = positive > 0 ? static_cast<double>(agreeing) / static_cast<double>(positive) : 0.0;
    result.count = count;
    result.not_finite = totals.not_finite;
    return result;
  }

  const GradientKernels& kernels_;
  std::vector<gradamp_tensor> tensors_;
  bool by_neuron_;
  int threads_;
  std::int32_t layers_ = 0;
  std::vector<std::int64_t> elements_;  // of each layer
  std::vector<Group> groups_;           // of a layer not always beside each other
  std::vector<Task> tasks_;
  std::vector<GradientTotals> task_totals_, totals_;  // of each task in this iteration; of each layer
  std::vector<float> signed_sums_, absolute_sums_;
  StateHeader header_;
};

gradamp_status gradamp_statistics_create(const gradamp_tensor* tensors, int32_t tensor_count,
                                         const gradamp_statistics_options* options, gradamp_statistics** statistics) {
  return guarded([&] {
    check(tensors != nullptr, "tensors: expected an address, got NULL");
    check(statistics != nullptr, "statistics: expected an address, got NULL");
    check(tensor_count >= 1, "tensor_count: expected at least 1, got %d", static_cast<int>(tensor_count));
    std::vector<gradamp_tensor> all(tensors, tensors + tensor_count);
    std::int64_t total = 0;
    for (int i = 0; i < tensor_count; ++i) {
      const gradamp_tensor& tensor = tensors[i];
      const auto number = [](std::int64_t value) { return static_cast<long long>(value); };
      check(tensor.count >= 1, "tensors[%d].count: expected at least 1, got %lld", i, number(tensor.count));
      check(tensor.rows >= 1 && tensor.count % tensor.rows == 0,
            "tensors[%d].rows: expected a divisor of the count %lld, got %lld", i, number(tensor.count),
            number(tensor.rows));
      check(tensor.layer >= 0 && tensor.layer < tensor_count,
            "tensors[%d].layer: expected a number from 0 to that of tensors less 1, %d, got %d", i,
            static_cast<int>(tensor_count) - 1, static_cast<int>(tensor.layer));
      check(tensor.reserved == 0, "tensors[%d].reserved: expected 0, got %d", i, static_cast<int>(tensor.reserved));
      check(tensor.count <= std::numeric_limits<std::int64_t>::max() / 16 - total,
            "tensors[%d].count: expected a sum of counts that can be addressed, got %lld", i, number(tensor.count));
      total += tensor.count;
    }
    std::vector<bool> has_tensor(static_cast<std::size_t>(tensor_count));
    int last = 0;
    for (const gradamp_tensor& tensor : all) {
      has_tensor[static_cast<std::size_t>(tensor.layer)] = true;
      last = std::max(last, static_cast<int>(tensor.layer));
    }
    for (int layer = 0; layer < last; ++layer)
      check(has_tensor[static_cast<std::size_t>(layer)],
            "tensors: expected layers without gaps, got none of layer %d and one of layer %d", layer, last);
    gradamp_statistics_options chosen = options != nullptr ? *options : gradamp_statistics_options{};
    check(chosen.by_neuron == 0 || chosen.by_neuron == 1, "options.by_neuron: expected 0 or 1, got %d",
          static_cast<int>(chosen.by_neuron));
    check(chosen.threads >= 0 && chosen.threads <= kMaxPoolThreads, "options.threads: expected 0 to %d, got %d",
          kMaxPoolThreads, static_cast<int>(chosen.threads));
    if (chosen.threads == 0) chosen.threads = usable_processors();
    *statistics = new gradamp_statistics(std::move(all), chosen);
  });
}

void gradamp_statistics_destroy(gradamp_statistics* statistics) { delete statistics; }

int32_t gradamp_statistics_layers(const gradamp_statistics* statistics) { return statistics->layers(); }

int64_t gradamp_statistics_iterations(const gradamp_statistics* statistics) { return statistics->iterations(); }

gradamp_status gradamp_statistics_accumulate(gradamp_statistics* statistics, const void* const* gradients,
                                             const int32_t* types) {
  return guarded([&] {
    check(statistics != nullptr && gradients != nullptr, "expected statistics and gradients, got NULL");
    statistics->accumulate(gradients, types);
  });
}

gradamp_status gradamp_statistics_measure(const gradamp_statistics* statistics, gradamp_layer_measures* layers) {
  return guarded([&] {
    check(statistics != nullptr && layers != nullptr, "expected statistics and layers, got NULL");
    statistics->measure(layers);
  });
}

double gradamp_statistics_noise_floor(const gradamp_statistics* statistics) {
  const auto iterations = static_cast<double>(statistics->iterations());
  return iterations > 0 ? 1.0 / std::sqrt(iterations) : std::numeric_limits<double>::quiet_NaN();
}

gradamp_status gradamp_statistics_reset(gradamp_statistics* statistics) {
  return guarded([&] {
    check(statistics != nullptr, "expected statistics, got NULL");
    statistics->reset();
  });
}

gradamp_status gradamp_select(const gradamp_layer_measures* layers, int32_t layer_count,
                              const gradamp_selection* selection, float* factors) {
  return guarded([&] {
    check(layers != nullptr && selection != nullptr && factors != nullptr,
          "expected layers, a selection and factors, got NULL");
    check(layer_count >= 1, "layer_count: expected at least 1, got %d", static_cast<int>(layer_count));
    check(selection->measure == GRADAMP_G || selection->measure == GRADAMP_G_PRIME,
          "selection.measure: expected GRADAMP_G or GRADAMP_G_PRIME, got %d", static_cast<int>(selection->measure));
    check(selection->two_sided == 0 || selection->two_sided == 1, "selection.two_sided: expected 0 or 1, got %d",
          static_cast<int>(selection->two_sided));
    check(!std::isnan(selection->threshold), "selection.threshold: expected a number, got NaN");
    check(std::isfinite(selection->factor), "selection.factor: expected a finite number, got %g",
          static_cast<double>(selection->factor));
    const auto selection_case = selection->two_sided != 0 ? SelectionCase::kTwoSided : SelectionCase::kOneSided;
    for (int l = 0; l < layer_count; ++l) {
      const double normalized = selection->measure == GRADAMP_G ? layers[l].normalized_g : layers[l].normalized_g_prime;
      factors[l] = is_selected(normalized, selection_case, selection->threshold) ? selection->factor : 1.0f;
    }
  });
}

gradamp_status gradamp_select_random(int32_t layer_count, int32_t drawn, uint64_t seed, int32_t epoch, float factor,
                                     float* factors) {
  return guarded([&] {
    check(layer_count >= 1, "layer_count: expected at least 1, got %d", static_cast<int>(layer_count));
    check(drawn >= 0 && drawn <= layer_count, "drawn: expected 0 to the number of layers, %d, got %d",
          static_cast<int>(layer_count), static_cast<int>(drawn));
    check(epoch >= 0, "epoch: expected at least 0, got %d", static_cast<int>(epoch));
    check(std::isfinite(factor), "factor: expected a finite number, got %g", static_cast<double>(factor));
    check(factors != nullptr, "factors: expected an address, got NULL");
    std::vector<std::int32_t> indices(static_cast<std::size_t>(layer_count));
    draw_indices(indices.data(), layer_count, drawn, seed, epoch);
    for (int i = 0; i < layer_count; ++i) factors[indices[static_cast<std::size_t>(i)]] = i < drawn ? factor : 1.0f;
  });
}

gradamp_status gradamp_statistics_scale(const gradamp_statistics* statistics, void* const* gradients,
                                        const int32_t* types, const float* factors) {
  return guarded([&] {
    check(statistics != nullptr && gradients != nullptr && factors != nullptr,
          "expected statistics, gradients and factors, got NULL");
    statistics->scale(gradients, types, factors);
  });
}

size_t gradamp_statistics_state_size(const gradamp_statistics* statistics) { return statistics->state_size(); }

gradamp_status gradamp_statistics_save(const gradamp_statistics* statistics, void* state, size_t size) {
  return guarded([&] {
    check(statistics != nullptr && state != nullptr, "expected statistics and memory for the state, got NULL");
    check(size == statistics->state_size(), "size: expected %zu, got %zu", statistics->state_size(), size);
    statistics->save(state);
  });
}

gradamp_status gradamp_statistics_restore(gradamp_statistics* statistics, const void* state, size_t size) {
  return guarded([&] {
    check(statistics != nullptr && state != nullptr, "expected statistics and a state, got NULL");
    check(size == statistics->state_size(), "size: expected %zu, got %zu", statistics->state_size(), size);
    statistics->restore(state);
  });
}

const char* gradamp_statistics_last_error(void) { return last_error().c_str(); }

const char* gradamp_statistics_version(void) { return GRADAMP_VERSION; }

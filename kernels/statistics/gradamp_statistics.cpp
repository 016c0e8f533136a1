// SPDX-License-Identifier: MIT
// The C interface over a StatisticsDevice. It includes no fmt and throws nothing through the interface, so the
// library needs the C++ runtime alone.
#include "gradamp/kernels/statistics/gradamp_statistics.h"

#include <algorithm>
#include <cmath>
#include <cstdarg>
#include <cstdio>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/processors.h"
#include "gradamp/core/random_selection.h"
#include "gradamp/core/thread_pool.h"
#include "gradamp/core/version.h"
#include "gradamp/kernels/cpu/layer_measures.h"
#include "gradamp/kernels/statistics/statistics_device.h"
#include "gradamp/kernels/statistics/statistics_plan.h"
#if defined(GRADAMP_STATISTICS_GPU)
#include "gradamp/kernels/statistics/gpu_statistics.h"
#endif

namespace gradamp {
namespace {

/// A wrong argument. The message is last_error's.
using InvalidArgument = std::invalid_argument;

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
  } catch (const std::invalid_argument& error) {
    return failed(GRADAMP_INVALID_ARGUMENT, error.what());
  } catch (const std::bad_alloc&) {
    return failed(GRADAMP_OUT_OF_MEMORY, "out of memory");
  } catch (const std::exception& error) {
    return failed(GRADAMP_FAILED, error.what());
  } catch (...) {
    return failed(GRADAMP_FAILED, "an unknown exception");
  }
}

/// What identifies a state: it can be restored only into statistics with the same.
struct StateHeader {
  char magic[8] = {'G', 'R', 'A', 'D', 'S', 'T', 'A', 'T'};
  std::uint32_t version = 2, by_neuron = 0;
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

std::unique_ptr<StatisticsDevice> make_device(const StatisticsPlan& plan, const gradamp_statistics_options& options) {
  if (options.device == GRADAMP_CPU)
    return make_cpu_statistics(plan, options.threads == 0 ? usable_processors() : options.threads);
#if defined(GRADAMP_STATISTICS_GPU)
  return GRADAMP_GPU::make_gpu_statistics(plan, options.ordinal);
#else
  throw InvalidArgument(
      "options.device: this library was built without CUDA; build it where the CUDA toolkit is, or use GRADAMP_CPU");
#endif
}

}  // namespace
}  // namespace gradamp

using namespace gradamp;

struct gradamp_statistics {
  gradamp_statistics(std::vector<gradamp_tensor> given, const gradamp_statistics_options& options)
      : plan_(std::move(given), options.by_neuron != 0), device_(make_device(plan_, options)) {
    header_.by_neuron = plan_.by_neuron ? 1 : 0;
    header_.layout = hash_of(plan_.tensors);
  }

  std::int32_t layers() const { return plan_.layers; }
  std::int64_t iterations() const { return header_.iterations; }

  void accumulate(const void* const* gradients, const std::int32_t* types) {
    check_types(types);
    device_->accumulate(gradients, types);
    ++header_.iterations;
  }

  void measure(gradamp_layer_measures* layers) const {
    const auto count = static_cast<std::size_t>(plan_.layers);
    std::vector<GroupSums> sums(count);
    std::vector<std::int64_t> sum_counts(count);
    const std::vector<GroupSums> of_groups = device_->group_sums();
    for (std::size_t g = 0; g < of_groups.size(); ++g) {
      const auto layer = static_cast<std::size_t>(plan_.groups[g].layer);
      sums[layer].layer += of_groups[g].layer;
      sums[layer].signed_sum += of_groups[g].signed_sum;
      sums[layer].positive += of_groups[g].positive;
      sums[layer].agreeing += of_groups[g].agreeing;
      sum_counts[layer] += plan_.groups[g].sums_count;
    }
    std::vector<GradientTotals> totals(count);
    const std::vector<GradientTotals> of_tasks = device_->totals();
    for (std::size_t t = 0; t < of_tasks.size(); ++t) totals[layer_of(plan_.tasks[t])] += of_tasks[t];
    std::vector<double> g(count), g_prime(count), normalized(count);
    for (std::size_t l = 0; l < count; ++l) {
      layers[l] = measures_of(sums[l], totals[l], plan_.elements[l], sum_counts[l]);
      g[l] = layers[l].g;
      g_prime[l] = layers[l].g_prime;
    }
    normalize_over_layers(g.data(), plan_.layers, normalized.data());
    for (std::size_t l = 0; l < count; ++l) layers[l].normalized_g = normalized[l];
    normalize_over_layers(g_prime.data(), plan_.layers, normalized.data());
    for (std::size_t l = 0; l < count; ++l) layers[l].normalized_g_prime = normalized[l];
  }

  void reset() {
    device_->reset();
    header_.iterations = 0;
  }

  void scale(void* const* gradients, const std::int32_t* types, const float* factors) {
    check_types(types);
    device_->scale(gradients, types, factors);
  }

  void set_stream(void* stream) { device_->set_stream(stream); }

  std::size_t state_size() const {
    return sizeof header_ + plan_.tasks.size() * sizeof(GradientTotals) +
           2 * static_cast<std::size_t>(plan_.sums) * sizeof(float);
  }

  void save(void* state) const {
    auto* to = static_cast<char*>(state);
    const auto put = [&](const void* data, std::size_t size) {
      std::memcpy(to, data, size);
      to += size;
    };
    const StatisticsState now = device_->read();
    put(&header_, sizeof header_);
    put(now.totals.data(), now.totals.size() * sizeof(GradientTotals));
    put(now.signed_sums.data(), now.signed_sums.size() * sizeof(float));
    put(now.absolute_sums.data(), now.absolute_sums.size() * sizeof(float));
  }

  void restore(const void* state) {
    const auto* from = static_cast<const char*>(state);
    const auto get = [&](void* data, std::size_t size) {
      std::memcpy(data, from, size);
      from += size;
    };
    StateHeader header;
    get(&header, sizeof header);
    check(header == header_ && header.iterations >= 0,
          "state: expected one of these tensors and this granularity, got another or none of this library");
    StatisticsState restored;
    restored.totals.resize(plan_.tasks.size());
    restored.signed_sums.resize(static_cast<std::size_t>(plan_.sums));
    restored.absolute_sums.resize(restored.signed_sums.size());
    get(restored.totals.data(), restored.totals.size() * sizeof(GradientTotals));
    get(restored.signed_sums.data(), restored.signed_sums.size() * sizeof(float));
    get(restored.absolute_sums.data(), restored.absolute_sums.size() * sizeof(float));
    device_->write(restored);
    header_ = header;
  }

 private:
  std::size_t layer_of(const SumTask& task) const {
    return static_cast<std::size_t>(plan_.groups[static_cast<std::size_t>(task.group)].layer);
  }

  void check_types(const std::int32_t* types) const {
    for (std::size_t i = 0; types != nullptr && i < plan_.tensors.size(); ++i)
      check(types[i] >= GRADAMP_F32 && types[i] <= GRADAMP_F16,
            "types[%zu]: expected GRADAMP_F32, GRADAMP_BF16 or GRADAMP_F16, got %d", i, static_cast<int>(types[i]));
  }

  gradamp_layer_measures measures_of(const GroupSums& sums, const GradientTotals& totals, std::int64_t elements,
                                     std::int64_t count) const {
    const double m = std::max(1.0, static_cast<double>(header_.iterations));  // without any, all totals are 0
    const double gradients = m * static_cast<double>(elements);
    gradamp_layer_measures result = {};
    result.g = sums.layer.g();
    result.g_prime = sums.layer.g_prime(count);
    result.l1 = (plan_.by_neuron ? totals.absolute_sum : sums.layer.absolute_sum) / m;
    result.l2 = std::sqrt(totals.square_sum / m);
    result.maximum = totals.maximum;
    result.mean = (plan_.by_neuron ? totals.signed_sum : sums.signed_sum) / gradients;
    result.zeros = static_cast<double>(totals.zeros) / gradients;
    result.sign_agreement =
        sums.positive > 0 ? static_cast<double>(sums.agreeing) / static_cast<double>(sums.positive) : 0.0;
    result.count = count;
    result.not_finite = totals.not_finite;
    return result;
  }

  StatisticsPlan plan_;
  std::unique_ptr<StatisticsDevice> device_;
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
    const gradamp_statistics_options chosen = options != nullptr ? *options : gradamp_statistics_options{};
    check(chosen.by_neuron == 0 || chosen.by_neuron == 1, "options.by_neuron: expected 0 or 1, got %d",
          static_cast<int>(chosen.by_neuron));
    check(chosen.threads >= 0 && chosen.threads <= kMaxPoolThreads, "options.threads: expected 0 to %d, got %d",
          kMaxPoolThreads, static_cast<int>(chosen.threads));
    check(chosen.device == GRADAMP_CPU || chosen.device == GRADAMP_CUDA,
          "options.device: expected GRADAMP_CPU or GRADAMP_CUDA, got %d", static_cast<int>(chosen.device));
    check(chosen.ordinal >= 0 && (chosen.ordinal == 0 || chosen.device == GRADAMP_CUDA),
          "options.ordinal: expected 0, or the number of a CUDA device, got %d", static_cast<int>(chosen.ordinal));
    *statistics = new gradamp_statistics(std::move(all), chosen);
  });
}

void gradamp_statistics_destroy(gradamp_statistics* statistics) { delete statistics; }

int32_t gradamp_statistics_layers(const gradamp_statistics* statistics) { return statistics->layers(); }

int64_t gradamp_statistics_iterations(const gradamp_statistics* statistics) { return statistics->iterations(); }

int32_t gradamp_statistics_has_cuda(void) {
#if defined(GRADAMP_STATISTICS_GPU)
  return 1;
#else
  return 0;
#endif
}

gradamp_status gradamp_statistics_set_stream(gradamp_statistics* statistics, void* stream) {
  return guarded([&] {
    check(statistics != nullptr, "expected statistics, got NULL");
    statistics->set_stream(stream);
  });
}

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

gradamp_status gradamp_statistics_scale(gradamp_statistics* statistics, void* const* gradients, const int32_t* types,
                                        const float* factors) {
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

// SPDX-License-Identifier: MIT
// Convolutions at every layer shape of the networks: forward, with and without the moments for the batch norm behind
// it, gradient of the input and of the filters, ours beside the library's (bench/yardstick.h), in TFLOP/s. Each is
// verified against float64 sums at places drawn at random before it is timed. Columns named after networks say how
// often a shape occurs there; whoever weighs by time multiplies by them.
#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "bench/bench_support.h"
#include "bench/convolution_problem.h"
#include "bench/yardstick.h"
#include "core/philox.h"

namespace gradamp::bench {
namespace {

/// The tensors of one call; which of them are results depends on the pass.
struct ConvolutionSet {
  Tensor x, weight, y;
  ChannelMoments moments;
};

/// Every element by a plain loop in float64, one at a time.
class Reference {
 public:
  Reference(const ConvolutionShape& shape, const ConvolutionSet& set)
      : shape_(shape), x_(host_values(set.x)), weight_(host_values(set.weight)), y_(host_values(set.y)) {}

  /// Element `index` of the pass's result.
  double element(ConvolutionPass pass, std::int64_t index) const {
    switch (pass) {
      case ConvolutionPass::kForward: return forward(index);
      case ConvolutionPass::kBackwardInput: return backward_input(index);
      case ConvolutionPass::kBackwardFilter: return backward_filter(index);
    }
    return NAN;
  }

 private:
  std::int64_t stride() const { return shape_.params.stride; }
  std::int64_t padding() const { return shape_.params.padding; }
  /// Of pixel (h, w) of image n; nullptr outside.
  const float* x_at(std::int64_t n, std::int64_t h, std::int64_t w) const {
    if (h < 0 || w < 0 || h >= shape_.size || w >= shape_.size) return nullptr;
    return x_.data() + ((n * shape_.size + h) * shape_.size + w) * shape_.in_channels;
  }
  const float* y_at(std::int64_t n, std::int64_t p, std::int64_t q) const {
    const std::int64_t size = shape_.out_size();
    return y_.data() + ((n * size + p) * size + q) * shape_.out_channels;
  }
  const float* weight_at(std::int64_t k, std::int64_t r, std::int64_t s) const {
    return weight_.data() + ((k * shape_.kernel + r) * shape_.kernel + s) * shape_.in_channels;
  }

  double forward(std::int64_t index) const {
    const std::int64_t k = index % shape_.out_channels, pixel = index / shape_.out_channels, size = shape_.out_size();
    const std::int64_t n = pixel / (size * size), p = pixel / size % size, q = pixel % size;
    double sum = 0;
    for (std::int64_t r = 0; r < shape_.kernel; ++r) {
      for (std::int64_t s = 0; s < shape_.kernel; ++s) {
        const float* x = x_at(n, p * stride() + r - padding(), q * stride() + s - padding());
        const float* weight = weight_at(k, r, s);
        for (std::int64_t c = 0; x && c < shape_.in_channels; ++c) sum += double{x[c]} * double{weight[c]};
      }
    }
    return sum;
  }

  double backward_input(std::int64_t index) const {
    const std::int64_t c = index % shape_.in_channels, pixel = index / shape_.in_channels;
    const std::int64_t n = pixel / (shape_.size * shape_.size), h = pixel / shape_.size % shape_.size;
    const std::int64_t w = pixel % shape_.size;
    double sum = 0;
    for (std::int64_t r = 0; r < shape_.kernel; ++r) {
      for (std::int64_t s = 0; s < shape_.kernel; ++s) {
        const std::int64_t up = h + padding() - r, left = w + padding() - s;  // stride times the pixel of y
        if (up < 0 || left < 0 || up % stride() != 0 || left % stride() != 0) continue;
        if (up / stride() >= shape_.out_size() || left / stride() >= shape_.out_size()) continue;
        const float* y = y_at(n, up / stride(), left / stride());
        for (std::int64_t k = 0; k < shape_.out_channels; ++k) sum += double{y[k]} * double{weight_at(k, r, s)[c]};
      }
    }
    return sum;
  }

  double backward_filter(std::int64_t index) const {
    const std::int64_t c = index % shape_.in_channels, s = index / shape_.in_channels % shape_.kernel;
    const std::int64_t r = index / shape_.in_channels / shape_.kernel % shape_.kernel;
    const std::int64_t k = index / shape_.in_channels / shape_.kernel / shape_.kernel;
    double sum = 0;
    for (std::int64_t n = 0; n < shape_.batch; ++n) {
      for (std::int64_t p = 0; p < shape_.out_size(); ++p) {
        for (std::int64_t q = 0; q < shape_.out_size(); ++q) {
          const float* x = x_at(n, p * stride() + r - padding(), q * stride() + s - padding());
          if (x) sum += double{x[c]} * double{y_at(n, p, q)[k]};
        }
      }
    }
    return sum;
  }

  ConvolutionShape shape_;
  std::vector<float> x_, weight_, y_;
};

/// One shape and pass on the device, ready to be verified and timed.
class ConvolutionCase {
 public:
  /// `result_type` is the filter gradient's: ours is f32, a library's may be as the images.
  ConvolutionCase(const Bench& bench, const ConvolutionShape& shape, ConvolutionPass pass, DType filter_gradient)
      : backend_(bench.backend()), shape_(shape), pass_(pass) {
    const DType type = backend_.activation_dtype();
    const DType weight_type = pass == ConvolutionPass::kBackwardFilter ? filter_gradient : type;
    const double element = static_cast<double>(size_of(type));
    bytes_ = element * static_cast<double>(shape.x().count() + shape.y().count()) +
             static_cast<double>(size_of(weight_type)) * static_cast<double>(shape.weight().count());
    const int sets = buffer_sets(bytes_, bench.timing());
    for (int i = 0; i < sets; ++i) {
      const auto stream = static_cast<std::uint32_t>(3 * i);
      sets_.push_back({random_tensor(backend_, shape.x(), type, stream),
                       random_tensor(backend_, shape.weight(), weight_type, stream + 1),
                       random_tensor(backend_, shape.y(), type, stream + 2),
                       {}});
    }
  }

  std::vector<ConvolutionSet>& sets() { return sets_; }
  std::vector<ConvolutionBuffers> buffers() const {
    std::vector<ConvolutionBuffers> buffers;
    for (const ConvolutionSet& set : sets_)
      buffers.push_back({set.x.raw_data(), set.weight.raw_data(), set.y.raw_data()});
    return buffers;
  }

  void call(int number) const {
    const ConvolutionSet& set = sets_[static_cast<std::size_t>(number)];
    switch (pass_) {
      case ConvolutionPass::kForward:
        backend_.conv2d_forward({set.x, set.weight, Tensor(), set.y, set.moments}, shape_.params);
        break;
      case ConvolutionPass::kBackwardInput:
        backend_.conv2d_backward_input(set.y, set.weight, shape_.params, set.x);
        break;
      case ConvolutionPass::kBackwardFilter:
        backend_.conv2d_backward_filter(set.x, set.y, shape_.params, set.weight);
        break;
    }
  }

  /// Lets `compute` fill the first set's result and compares it with the reference. Error where they disagree.
  void verify(const std::function<void()>& compute, double tolerance) const {
    const Tensor& result = result_of(sets_.front());
    const Reference reference(shape_, sets_.front());
    poison(result);
    backend_.synchronize();  // the library computes in a stream of its own
    compute();
    const std::vector<float> values = host_values(result);
    check_written(shape_.name(), values);
    PhiloxSequence random(7, RandomStream::kTest, 0);
    std::vector<double> actual, expected;
    for (int i = 0; i < 200; ++i) {
      const std::int64_t at = random.below(static_cast<std::uint32_t>(result.count()));
      actual.push_back(double{values[static_cast<std::size_t>(at)]});
      expected.push_back(reference.element(pass_, at));
    }
    check_agrees(shape_.name(), actual, expected, tolerance);
  }

  Work work() const { return {bytes_, shape_.flops()}; }

 private:
  const Tensor& result_of(const ConvolutionSet& set) const {
    if (pass_ == ConvolutionPass::kForward) return set.y;
    return pass_ == ConvolutionPass::kBackwardInput ? set.x : set.weight;
  }

  Backend& backend_;
  ConvolutionShape shape_;
  ConvolutionPass pass_;
  double bytes_ = 0;
  std::vector<ConvolutionSet> sets_;
};

/// How far a result may be from float64, in norm: sums of up to 2^17 products in f32, operands rounded to 11 bits in
/// tf32, a result in bf16.
double tolerance_of(Precision precision, DType result) {
  if (precision == Precision::kTF32) return 1e-3;
  return result == DType::kBF16 ? rounding_of(result) : 5e-5;
}

std::map<std::string, double> network_columns(const std::map<std::string, int>& networks) {
  std::map<std::string, double> columns;
  for (const auto& [network, count] : networks) columns[network] = count;
  return columns;
}

Measured measure_ours(const Bench& bench, const ConvolutionShape& shape, ConvolutionPass pass, bool with_moments) {
  ConvolutionCase problem(bench, shape, pass, DType::kF32);
  if (with_moments) {
    for (ConvolutionSet& set : problem.sets()) set.moments = bench.backend().make_moments(set.y);
    if (!problem.sets().front().moments.values.defined())
      throw LeftOut("the device takes no moments in its convolutions");
  }
  const DType result = pass == ConvolutionPass::kBackwardFilter ? DType::kF32 : bench.backend().activation_dtype();
  problem.verify([&] { problem.call(0); }, tolerance_of(bench.precision(), result));
  const int sets = static_cast<int>(problem.sets().size());
  Measured measured{time_recorded(
                        bench.backend(), sets, [&](int set) { problem.call(set); }, bench.timing()),
                    problem.work(),
                    {},
                    {}};
  measured.counters["sets"] = sets;
  return measured;
}

Measured measure_library(const Bench& bench, Yardstick& yardstick, const ConvolutionShape& shape,
                         ConvolutionPass pass) {
  ConvolutionCase problem(bench, shape, pass, bench.backend().activation_dtype());
  Yardstick::Result result;
  // It computes something else where it is wrong; how exactly it sums, and by which algorithm, is its own affair.
  const double tolerance = bench.backend().activation_dtype() == DType::kBF16 ? 1e-2 : 2e-3;
  const std::vector<ConvolutionBuffers> buffers = problem.buffers();
  problem.verify([&] { result = yardstick.measure(shape, pass, bench.precision(), buffers, bench.timing()); },
                 tolerance);
  Measured measured{result.timing, problem.work(), {}, result.plan};
  measured.counters["sets"] = static_cast<double>(buffers.size());
  return measured;
}

void add(const Bench& bench, const std::vector<std::string>& networks, std::int64_t batch, Yardstick* yardstick) {
  for (const auto& [shape, counts] : convolutions_of(networks, batch)) {
    for (const ConvolutionPass pass :
         {ConvolutionPass::kForward, ConvolutionPass::kBackwardInput, ConvolutionPass::kBackwardFilter}) {
      if (pass == ConvolutionPass::kBackwardInput && shape.in_channels == 3) continue;  // no network asks for it
      const std::string name = fmt::format("{}/{}", name_of(pass), shape.name());
      const auto register_one = [&, &networks = counts](const std::string& whose, std::function<Measured()> measure) {
        add_benchmark(name + "/" + whose, bench, [measure, columns = network_columns(networks)] {
          Measured measured = measure();
          measured.counters.insert(columns.begin(), columns.end());
          return measured;
        });
      };
      register_one("ours", [&bench, shape = shape, pass] { return measure_ours(bench, shape, pass, false); });
      if (pass == ConvolutionPass::kForward)
        register_one("ours_with_moments",
                     [&bench, shape = shape, pass] { return measure_ours(bench, shape, pass, true); });
      if (yardstick) {
        register_one("library", [&bench, yardstick, shape = shape, pass] {
          return measure_library(bench, *yardstick, shape, pass);
        });
      }
    }
  }
}

}  // namespace
}  // namespace gradamp::bench

int main(int argc, char** argv) {
  using namespace gradamp::bench;
  BenchOptions options;
  std::vector<std::string> networks = {"resnet18", "resnet50", "vgg19"};
  std::int64_t batch = 128;
  CLI::App app("Convolutions at every layer shape of the networks, beside cuDNN where it is built in");
  add_options(app, options);
  app.add_option("--networks", networks, "whose convolutions, separated by commas")
      ->delimiter(',')
      ->capture_default_str();
  app.add_option("--batch", batch, "images")->capture_default_str();
  YardstickChoice choice;
  return run_benchmarks(app, options, argc, argv, [&](const Bench& bench) {
    choice = make_yardstick(bench.device());
    benchmark::AddCustomContext("library", choice.description);
    benchmark::AddCustomContext("batch", std::to_string(batch));
    add(bench, networks, batch, choice.yardstick.get());
  });
}

// SPDX-License-Identifier: MIT
// Convolutions at every layer shape of the networks: forward, with and without the statistics for the batch norm that
// follows, gradient of the input and of the filters. Ours is compared with the library's
// (bench/convolution_reference.h), in TFLOP/s. Each is verified against float64 sums at randomly drawn elements before
// it is timed. Columns named after networks give the number of occurrences of a shape in the network: a time multiplied
// by it is the shape's part of a step.
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "gradamp/bench/bench_support.h"
#include "gradamp/bench/convolution_case.h"
#include "gradamp/bench/convolution_problem.h"
#include "gradamp/bench/convolution_reference.h"

namespace gradamp::bench {
namespace {

/// Maximum relative error in norm, compared with float64: for sums of up to 2^17 products in f32, operands rounded to
/// 11 bits in tf32, a result in bf16.
double tolerance_of(Precision precision, DType result) {
  if (precision == Precision::kTF32) return 1e-3;
  return result == DType::kBF16 ? rounding_of(result) : 5e-5;
}

std::map<std::string, double> network_columns(const std::map<std::string, int>& networks) {
  std::map<std::string, double> columns;
  for (const auto& [network, count] : networks) columns[network] = count;
  return columns;
}

Measured measure_ours(const Bench& bench, const ConvolutionShape& shape, ConvolutionPass pass, ConvolutionExtra extra) {
  const ConvolutionCase problem(bench.backend(), shape, pass, DType::kF32, extra, bench.timing());
  const DType result = pass == ConvolutionPass::kBackwardFilter ? DType::kF32 : bench.backend().activation_dtype();
  problem.verify([&] { problem.call(0); }, tolerance_of(bench.precision(), result));
  Measured measured{time_recorded(
                        bench.backend(), problem.sets(), [&](int set) { problem.call(set); }, bench.timing()),
                    problem.work(),
                    {},
                    {}};
  measured.counters["sets"] = problem.sets();
  return measured;
}

Measured measure_library(const Bench& bench, ConvolutionReference& reference, const ConvolutionShape& shape,
                         ConvolutionPass pass, ConvolutionExtra extra) {
  const DType type = bench.backend().activation_dtype();
  const ConvolutionCase problem(bench.backend(), shape, pass, type, extra, bench.timing());
  ConvolutionReference::Result result;
  // A larger difference means that something else was computed. The library's algorithm and order of summation are not
  // checked more closely.
  const double tolerance = type == DType::kBF16 ? 1e-2 : 2e-3;
  const std::vector<ConvolutionBuffers> buffers = problem.buffers();
  problem.verify([&] { result = reference.measure(shape, pass, bench.precision(), buffers, bench.timing()); },
                 tolerance);
  Measured measured{result.timing, problem.work(), {}, result.plan};
  measured.counters["sets"] = problem.sets();
  return measured;
}

void add(const Bench& bench, const std::vector<std::string>& networks, std::int64_t batch,
         ConvolutionReference* reference) {
  for (const auto& [shape, counts] : convolutions_of(networks, batch)) {
    for (const ConvolutionPass pass :
         {ConvolutionPass::kForward, ConvolutionPass::kBackwardInput, ConvolutionPass::kBackwardFilter}) {
      if (pass == ConvolutionPass::kBackwardInput && shape.in_channels == 3) continue;  // no network needs it
      const std::string name = fmt::format("{}/{}", name_of(pass), shape.name());
      const auto register_one = [&, &networks = counts](const std::string& whose, std::function<Measured()> measure) {
        add_benchmark(name + "/" + whose, bench, [measure, columns = network_columns(networks)] {
          Measured measured = measure();
          measured.counters.insert(columns.begin(), columns.end());
          return measured;
        });
      };
      const auto ours = [&](const std::string& whose, ConvolutionExtra extra) {
        register_one(whose, [&bench, shape = shape, pass, extra] { return measure_ours(bench, shape, pass, extra); });
      };
      const auto library = [&](const std::string& whose, ConvolutionExtra extra) {
        if (!reference) return;
        register_one(whose, [&bench, reference, shape = shape, pass, extra] {
          return measure_library(bench, *reference, shape, pass, extra);
        });
      };
      ours("ours", ConvolutionExtra::kNone);
      if (pass == ConvolutionPass::kForward) ours("ours_with_moments", ConvolutionExtra::kMoments);
      library("library", ConvolutionExtra::kNone);
      if (pass == ConvolutionPass::kForward && bench.precision() == Precision::kBF16)
        library("library_with_statistics", ConvolutionExtra::kStatistics);
    }
  }
}

}  // namespace
}  // namespace gradamp::bench

int main(int argc, char** argv) {
  using namespace gradamp::bench;
  BenchOptions options;
  std::vector<std::string> networks;
  std::int64_t batch = 0;
  CLI::App app(
      "Convolutions at every layer shape of the networks, beside cuDNN (cuda) or oneDNN (cpu) where it is built in");
  add_options(app, options);
  app.add_option("--networks", networks,
                 "whose convolutions, separated by commas (default: resnet18,resnet50,vgg19; quick: resnet8)")
      ->delimiter(',');
  add_batch_option(app, batch);
  ConvolutionReferenceChoice choice;
  return run_benchmarks(app, options, argc, argv, [&](const Bench& bench) {
    if (batch == 0) batch = default_batch(bench.quick());
    if (networks.empty()) networks = default_networks(bench.quick());
    choice = make_convolution_reference(bench.device());
    benchmark::AddCustomContext("library", choice.description);
    if (choice.reference) {
      benchmark::AddCustomContext("library_with_statistics", bench.precision() == gradamp::Precision::kBF16
                                                                 ? "in fp16, beside ours_with_moments in bf16"
                                                                 : "left out: cuDNN has such plans in fp16 alone");
    }
    benchmark::AddCustomContext("batch", std::to_string(batch));
    add(bench, networks, batch, choice.reference.get());
  });
}

// SPDX-License-Identifier: MIT
#include "gradamp/bench/cuda/cudnn_plans.h"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "gradamp/bench/cuda/cudnn_library.h"
#include "gradamp/core/error.h"

namespace gradamp::bench {
namespace {

constexpr std::int64_t kAlignment = 16;  // bytes; our allocations have a larger alignment

CudnnDescriptor make_descriptor(cudnnBackendDescriptorType_t type) {
  cudnnBackendDescriptor_t descriptor = nullptr;
  check_cudnn(cudnn().create_descriptor(type, &descriptor), "cudnnBackendCreateDescriptor");
  return {descriptor, [](void* owned) { cudnn().destroy_descriptor(owned); }};
}

template <typename T>
void set(const CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
         std::span<const T> values) {
  check_cudnn(
      cudnn().set_attribute(descriptor.get(), name, type, static_cast<std::int64_t>(values.size()), values.data()),
      "cudnnBackendSetAttribute");
}
template <typename T>
void set(const CudnnDescriptor& descriptor, cudnnBackendAttributeName_t name, cudnnBackendAttributeType_t type,
         T value) {
  set<T>(descriptor, name, type, std::span<const T>(&value, 1));
}

void finalize(const CudnnDescriptor& descriptor) {
  check_cudnn(cudnn().finalize(descriptor.get()), "cudnnBackendFinalize");
}

/// An NHWC tensor; cuDNN names the extents of images N, C, H, W and of filters K, C, R, S.
CudnnDescriptor make_tensor(std::int64_t id, const Shape& nhwc, cudnnDataType_t type) {
  const std::array<std::int64_t, 4> extents = {nhwc[0], nhwc[3], nhwc[1], nhwc[2]};
  const std::array<std::int64_t, 4> strides = {nhwc[1] * nhwc[2] * nhwc[3], 1, nhwc[2] * nhwc[3], nhwc[3]};
  CudnnDescriptor tensor = make_descriptor(CUDNN_BACKEND_TENSOR_DESCRIPTOR);
  set(tensor, CUDNN_ATTR_TENSOR_DATA_TYPE, CUDNN_TYPE_DATA_TYPE, type);
  set<std::int64_t>(tensor, CUDNN_ATTR_TENSOR_DIMENSIONS, CUDNN_TYPE_INT64, extents);
  set<std::int64_t>(tensor, CUDNN_ATTR_TENSOR_STRIDES, CUDNN_TYPE_INT64, strides);
  set(tensor, CUDNN_ATTR_TENSOR_UNIQUE_ID, CUDNN_TYPE_INT64, id);
  set(tensor, CUDNN_ATTR_TENSOR_BYTE_ALIGNMENT, CUDNN_TYPE_INT64, kAlignment);
  finalize(tensor);
  return tensor;
}

CudnnDescriptor make_convolution(const Conv2dParams& params) {
  const std::array<std::int64_t, 2> padding = {params.padding, params.padding};
  const std::array<std::int64_t, 2> strides = {params.stride, params.stride}, dilations = {1, 1};
  CudnnDescriptor convolution = make_descriptor(CUDNN_BACKEND_CONVOLUTION_DESCRIPTOR);
  set(convolution, CUDNN_ATTR_CONVOLUTION_SPATIAL_DIMS, CUDNN_TYPE_INT64, std::int64_t{2});
  set(convolution, CUDNN_ATTR_CONVOLUTION_COMP_TYPE, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set(convolution, CUDNN_ATTR_CONVOLUTION_CONV_MODE, CUDNN_TYPE_CONVOLUTION_MODE, CUDNN_CROSS_CORRELATION);
  set<std::int64_t>(convolution, CUDNN_ATTR_CONVOLUTION_PRE_PADDINGS, CUDNN_TYPE_INT64, padding);
  set<std::int64_t>(convolution, CUDNN_ATTR_CONVOLUTION_POST_PADDINGS, CUDNN_TYPE_INT64, padding);
  set<std::int64_t>(convolution, CUDNN_ATTR_CONVOLUTION_DILATIONS, CUDNN_TYPE_INT64, dilations);
  set<std::int64_t>(convolution, CUDNN_ATTR_CONVOLUTION_FILTER_STRIDES, CUDNN_TYPE_INT64, strides);
  finalize(convolution);
  return convolution;
}

/// The names of the attributes of each of the three passes.
struct PassNames {
  cudnnBackendDescriptorType_t operation;
  cudnnBackendAttributeName_t x, weight, y, convolution, alpha, beta;
};

PassNames names_of(ConvolutionPass pass) {
  switch (pass) {
    case ConvolutionPass::kForward: break;
    case ConvolutionPass::kBackwardInput:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_DATA_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DX,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_W,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_DATA_BETA};
    case ConvolutionPass::kBackwardFilter:
      return {CUDNN_BACKEND_OPERATION_CONVOLUTION_BACKWARD_FILTER_DESCRIPTOR,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_X,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DW,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_DY,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_CONV_DESC,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_ALPHA,
              CUDNN_ATTR_OPERATION_CONVOLUTION_BWD_FILTER_BETA};
  }
  return {CUDNN_BACKEND_OPERATION_CONVOLUTION_FORWARD_DESCRIPTOR,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_X,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_W,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_Y,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_CONV_DESC,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_ALPHA,
          CUDNN_ATTR_OPERATION_CONVOLUTION_FORWARD_BETA};
}

/// The graph of a convolution, and of its statistics if requested, with all descriptors that it refers to.
struct OperationGraph {
  CudnnDescriptor x, weight, y, sums, square_sums, convolution, operation, statistics, graph;
};

CudnnDescriptor no_descriptor() {
  return {nullptr, [](void*) {}};
}

void set_part(const CudnnDescriptor& whole, cudnnBackendAttributeName_t name, const CudnnDescriptor& part) {
  set<cudnnBackendDescriptor_t>(whole, name, CUDNN_TYPE_BACKEND_DESCRIPTOR, part.get());
}

CudnnDescriptor make_convolution_operation(ConvolutionPass pass, const OperationGraph& parts) {
  const PassNames names = names_of(pass);
  CudnnDescriptor operation = make_descriptor(names.operation);
  set_part(operation, names.x, parts.x);
  set_part(operation, names.weight, parts.weight);
  set_part(operation, names.y, parts.y);
  set_part(operation, names.convolution, parts.convolution);
  set(operation, names.alpha, CUDNN_TYPE_FLOAT, 1.0f);
  set(operation, names.beta, CUDNN_TYPE_FLOAT, 0.0f);
  finalize(operation);
  return operation;
}

CudnnDescriptor make_statistics_operation(const OperationGraph& parts) {
  CudnnDescriptor operation = make_descriptor(CUDNN_BACKEND_OPERATION_GEN_STATS_DESCRIPTOR);
  set(operation, CUDNN_ATTR_OPERATION_GENSTATS_MODE, CUDNN_TYPE_GENSTATS_MODE, CUDNN_GENSTATS_SUM_SQSUM);
  set(operation, CUDNN_ATTR_OPERATION_GENSTATS_MATH_PREC, CUDNN_TYPE_DATA_TYPE, CUDNN_DATA_FLOAT);
  set_part(operation, CUDNN_ATTR_OPERATION_GENSTATS_XDESC, parts.y);
  set_part(operation, CUDNN_ATTR_OPERATION_GENSTATS_SUMDESC, parts.sums);
  set_part(operation, CUDNN_ATTR_OPERATION_GENSTATS_SQSUMDESC, parts.square_sums);
  finalize(operation);
  return operation;
}

OperationGraph make_graph(const CudnnTarget& target, const CudnnProblem& problem, cudnnDataType_t type) {
  const ConvolutionShape& shape = problem.shape;
  OperationGraph made{make_tensor(kCudnnX, shape.x(), type),
                      make_tensor(kCudnnWeight, shape.weight(), type),
                      make_tensor(kCudnnY, shape.y(), type),
                      no_descriptor(),
                      no_descriptor(),
                      make_convolution(shape.params),
                      no_descriptor(),
                      no_descriptor(),
                      make_descriptor(CUDNN_BACKEND_OPERATIONGRAPH_DESCRIPTOR)};
  made.operation = make_convolution_operation(problem.pass, made);
  std::vector<cudnnBackendDescriptor_t> operations = {made.operation.get()};
  if (problem.statistics) {
    const Shape channels = {1, 1, 1, shape.out_channels};
    made.sums = make_tensor(kCudnnSums, channels, CUDNN_DATA_FLOAT);
    made.square_sums = make_tensor(kCudnnSquareSums, channels, CUDNN_DATA_FLOAT);
    made.statistics = make_statistics_operation(made);
    operations.push_back(made.statistics.get());
  }
  if (target.handle) set(made.graph, CUDNN_ATTR_OPERATIONGRAPH_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
  set<cudnnBackendDescriptor_t>(made.graph, CUDNN_ATTR_OPERATIONGRAPH_OPS, CUDNN_TYPE_BACKEND_DESCRIPTOR, operations);
  finalize(made.graph);
  return made;
}

/// The engine configurations that a heuristic proposes, in the order of its estimates, the fastest first.
std::vector<CudnnDescriptor> propose(const CudnnTarget& target, const OperationGraph& graph,
                                     cudnnBackendHeurMode_t mode, int limit) {
  const CudnnDescriptor heuristic = make_descriptor(CUDNN_BACKEND_ENGINEHEUR_DESCRIPTOR);
  set<cudnnBackendDescriptor_t>(heuristic, CUDNN_ATTR_ENGINEHEUR_OPERATION_GRAPH, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                graph.graph.get());
  set(heuristic, CUDNN_ATTR_ENGINEHEUR_MODE, CUDNN_TYPE_HEUR_MODE, mode);
#if CUDNN_VERSION >= 90800
  if (target.properties) {
    set(heuristic, CUDNN_ATTR_ENGINEHEUR_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, target.properties);
  }
#else
  (void)target;
#endif
  finalize(heuristic);
  std::int64_t count = 0;
  check_cudnn(cudnn().get_attribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR, 0,
                                    &count, nullptr),
              "cudnnBackendGetAttribute");
  count = std::min<std::int64_t>(count, limit);
  std::vector<CudnnDescriptor> configurations;
  std::vector<cudnnBackendDescriptor_t> handles;
  for (std::int64_t i = 0; i < count; ++i) {
    configurations.push_back(make_descriptor(CUDNN_BACKEND_ENGINECFG_DESCRIPTOR));
    handles.push_back(configurations.back().get());
  }
  std::int64_t received = 0;
  if (count > 0) {
    check_cudnn(cudnn().get_attribute(heuristic.get(), CUDNN_ATTR_ENGINEHEUR_RESULTS, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                      count, &received, handles.data()),
                "cudnnBackendGetAttribute");
  }
  while (std::cmp_greater(configurations.size(), std::max<std::int64_t>(received, 0))) configurations.pop_back();
  return configurations;
}

struct EngineFacts {
  std::int64_t index = -1;
  std::vector<cudnnBackendNumericalNote_t> notes;

  bool has(cudnnBackendNumericalNote_t note) const {
    return std::find(notes.begin(), notes.end(), note) != notes.end();
  }
};

EngineFacts facts_of(const CudnnDescriptor& configuration) {
  const CudnnDescriptor engine = make_descriptor(CUDNN_BACKEND_ENGINE_DESCRIPTOR);
  cudnnBackendDescriptor_t handle = engine.get();
  std::int64_t count = 0;
  check_cudnn(cudnn().get_attribute(configuration.get(), CUDNN_ATTR_ENGINECFG_ENGINE, CUDNN_TYPE_BACKEND_DESCRIPTOR, 1,
                                    &count, &handle),
              "cudnnBackendGetAttribute");
  EngineFacts facts;
  check_cudnn(cudnn().get_attribute(handle, CUDNN_ATTR_ENGINE_GLOBAL_INDEX, CUDNN_TYPE_INT64, 1, &count, &facts.index),
              "cudnnBackendGetAttribute");
  facts.notes.resize(CUDNN_NUMERICAL_NOTE_TYPE_COUNT);
  check_cudnn(cudnn().get_attribute(handle, CUDNN_ATTR_ENGINE_NUMERICAL_NOTE, CUDNN_TYPE_NUMERICAL_NOTE,
                                    static_cast<std::int64_t>(facts.notes.size()), &count, facts.notes.data()),
              "cudnnBackendGetAttribute");
  facts.notes.resize(static_cast<std::size_t>(std::clamp<std::int64_t>(count, 0, CUDNN_NUMERICAL_NOTE_TYPE_COUNT)));
  return facts;
}

/// Whether an engine computes like ours: sums in f32, and for f32 products of unrounded operands.
bool suits(const EngineFacts& facts, Precision precision) {
  if (facts.has(CUDNN_NUMERICAL_NOTE_REDUCED_PRECISION_REDUCTION)) return false;
  const bool rounds =
      facts.has(CUDNN_NUMERICAL_NOTE_TENSOR_CORE) || facts.has(CUDNN_NUMERICAL_NOTE_DOWN_CONVERT_INPUTS);
  return precision != Precision::kF32 || !rounds;
}

CudnnPlan make_plan(const CudnnTarget& target, const CudnnDescriptor& configuration) {
  CudnnPlan made;
  made.plan = make_descriptor(CUDNN_BACKEND_EXECUTION_PLAN_DESCRIPTOR);
  if (target.handle) set(made.plan, CUDNN_ATTR_EXECUTION_PLAN_HANDLE, CUDNN_TYPE_HANDLE, target.handle);
#if CUDNN_VERSION >= 90800
  if (target.properties) {
    set(made.plan, CUDNN_ATTR_EXECUTION_PLAN_DEVICEPROP, CUDNN_TYPE_BACKEND_DESCRIPTOR, target.properties);
  }
#endif
  set<cudnnBackendDescriptor_t>(made.plan, CUDNN_ATTR_EXECUTION_PLAN_ENGINE_CONFIG, CUDNN_TYPE_BACKEND_DESCRIPTOR,
                                configuration.get());
  finalize(made.plan);
  std::int64_t count = 0;
  check_cudnn(cudnn().get_attribute(made.plan.get(), CUDNN_ATTR_EXECUTION_PLAN_WORKSPACE_SIZE, CUDNN_TYPE_INT64, 1,
                                    &count, &made.workspace_bytes),
              "cudnnBackendGetAttribute");
  return made;
}

/// Each heuristic's share of `limit`, in the order of the queries. PyTorch uses A and the fallback.
struct Source {
  cudnnBackendHeurMode_t mode;
  const char* name;
};
constexpr std::array kSources = {Source{CUDNN_HEUR_MODE_A, "A"}, Source{CUDNN_HEUR_MODE_B, "B"},
                                 Source{CUDNN_HEUR_MODE_FALLBACK, "fallback"}};

}  // namespace

CudnnPlans find_cudnn_plans(const CudnnTarget& target, const CudnnProblem& problem, int limit) {
  const cudnnDataType_t bits16 = problem.statistics ? CUDNN_DATA_HALF : CUDNN_DATA_BFLOAT16;
  const cudnnDataType_t type = problem.precision == Precision::kBF16 ? bits16 : CUDNN_DATA_FLOAT;
  const OperationGraph graph = make_graph(target, problem, type);
  CudnnPlans found;
  for (const Source& source : kSources) {
    std::vector<CudnnDescriptor> configurations;
    try {
      configurations = propose(target, graph, source.mode, 64);
    } catch (const Error& error) {
      found.last_failure = error.what();
      continue;
    }
    int taken = 0;
    for (const CudnnDescriptor& configuration : configurations) {
      if (std::cmp_greater_equal(found.plans.size(), limit) || 2 * taken >= limit) break;
      try {
        const EngineFacts facts = facts_of(configuration);
        if (!suits(facts, problem.precision)) {
          ++found.refused;
          continue;
        }
        CudnnPlan plan = make_plan(target, configuration);
        plan.engine = facts.index;
        plan.deterministic = !facts.has(CUDNN_NUMERICAL_NOTE_NONDETERMINISTIC);
        plan.heuristic = source.name;
        found.plans.push_back(std::move(plan));
        ++taken;
      } catch (const Error& error) {
        ++found.failed;
        found.last_failure = error.what();
      }
    }
  }
  return found;
}

CudnnDescriptor make_variant_pack(const ConvolutionBuffers& buffers, void* workspace) {
  std::vector<std::int64_t> ids = {kCudnnX, kCudnnWeight, kCudnnY};
  std::vector<void*> pointers = {buffers.x, buffers.weight, buffers.y};
  if (buffers.sums) {
    ids.insert(ids.end(), {kCudnnSums, kCudnnSquareSums});
    pointers.insert(pointers.end(), {buffers.sums, buffers.square_sums});
  }
  CudnnDescriptor pack = make_descriptor(CUDNN_BACKEND_VARIANT_PACK_DESCRIPTOR);
  set<std::int64_t>(pack, CUDNN_ATTR_VARIANT_PACK_UNIQUE_IDS, CUDNN_TYPE_INT64, ids);
  set<void*>(pack, CUDNN_ATTR_VARIANT_PACK_DATA_POINTERS, CUDNN_TYPE_VOID_PTR, pointers);
  set(pack, CUDNN_ATTR_VARIANT_PACK_WORKSPACE, CUDNN_TYPE_VOID_PTR, workspace);
  finalize(pack);
  return pack;
}

}  // namespace gradamp::bench

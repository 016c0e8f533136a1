// SPDX-License-Identifier: MIT
// Convolution by Winograd's algorithm or by oneDNN; the rule is in kernels/cpu/convolution_shape.h. Images are NHWC in
// both. Filters are (K, R, S, C) in the arena. For oneDNN, filters are reordered to and from the blocked layout of its
// kernels. A reorder costs one pass over the filter.
#include <algorithm>
#include <memory>
#include <unordered_map>
#include <utility>

#include "gradamp/kernels/cpu/cpu_backend.h"
#include "gradamp/kernels/cpu/onednn.h"
#include "gradamp/kernels/cpu/winograd.h"

namespace gradamp {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

memory::desc describe(const memory::dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

/// oneDNN's description of the (K, R, S, C) filter. Its logical dimensions are K, C, R, S.
memory::desc arena_filter(const ConvolutionShape& s) {
  return describe({s.out_channels, s.in_channels, s.kernel_h, s.kernel_w}, Tag::ohwi);
}

/// The number of zeros at the bottom or right edge that the last window needs.
std::int64_t far_padding(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding) {
  return std::max<std::int64_t>(0, (out - 1) * stride + kernel - in - padding);
}

ConvolutionShape shape_of(const Shape& x, const Shape& filter, const Shape& y, const Conv2dParams& params) {
  return {x[0], x[1], x[2], x[3], y[1], y[2], y[3], filter[1], filter[2], params.stride, params.padding};
}

/// All arguments of a convolution's primitive descriptor.
struct Descriptors {
  memory::desc src, filter, bias, dst;
  memory::dims strides, near, far;
};

Descriptors describe(const ConvolutionShape& s) {
  return {describe({s.batch, s.in_channels, s.height, s.width}, Tag::nhwc),
          describe({s.out_channels, s.in_channels, s.kernel_h, s.kernel_w}, Tag::any),
          describe({s.out_channels}, Tag::x),
          describe({s.batch, s.out_channels, s.out_height, s.out_width}, Tag::nhwc),
          {s.stride, s.stride},
          {s.padding, s.padding},
          {far_padding(s.height, s.out_height, s.kernel_h, s.stride, s.padding),
           far_padding(s.width, s.out_width, s.kernel_w, s.stride, s.padding)}};
}

// oneDNN 3 has no operation descriptors. There, primitive descriptors take the same arguments directly.
dnnl::convolution_forward::primitive_desc forward_descriptor(const dnnl::engine& engine, const Descriptors& d,
                                                             bool bias, const dnnl::primitive_attr& attr) {
  const auto kind = dnnl::prop_kind::forward_training;
  const auto algorithm = dnnl::algorithm::convolution_direct;
  const memory::desc bias_or_none = bias ? d.bias : memory::desc();
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kind, algorithm, d.src, d.filter, bias_or_none, d.dst, d.strides, d.near, d.far, attr};
#else
  return {{kind, algorithm, d.src, d.filter, bias_or_none, d.dst, d.strides, d.near, d.far}, attr, engine};
#endif
}

dnnl::convolution_backward_data::primitive_desc backward_input_descriptor(
    const dnnl::engine& engine, const Descriptors& d, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr) {
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, algorithm, d.src, d.filter, d.dst, d.strides, d.near, d.far, forward, attr};
#else
  return {{algorithm, d.src, d.filter, d.dst, d.strides, d.near, d.far}, attr, engine, forward};
#endif
}

dnnl::convolution_backward_weights::primitive_desc backward_filter_descriptor(
    const dnnl::engine& engine, const Descriptors& d, const dnnl::convolution_forward::primitive_desc& forward,
    const dnnl::primitive_attr& attr) {
  const auto algorithm = dnnl::algorithm::convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, algorithm, d.src, d.filter, d.dst, d.strides, d.near, d.far, forward, attr};
#else
  return {{algorithm, d.src, d.filter, d.dst, d.strides, d.near, d.far}, attr, engine, forward};
#endif
}

memory wrap(const OneDnn& onednn, const memory::desc& desc, const void* data) {
  return {desc, onednn.engine, const_cast<void*>(data)};
}

/// One execution of a convolution: its primitive, its working memory, and the filter's reorder to and from the arena.
class ConvolutionRun {
 public:
  ConvolutionRun(OneDnn& onednn, CachingAllocator& allocator, ConvolutionKind kind, const ConvolutionShape& shape)
      : onednn_(onednn),
        shape_(shape),
        images_(describe(shape)),
        convolution_(onednn.convolution(kind, shape)),
        scratchpad_(allocator.allocate(convolution_.scratchpad.get_size())),
        blocked_(convolution_.has_reorder ? allocator.allocate(convolution_.filter.get_size()) : nullptr) {}

  memory src(const Tensor& x) const { return wrap(onednn_, images_.src, x.raw_data()); }
  memory dst(const Tensor& y) const { return wrap(onednn_, images_.dst, y.raw_data()); }
  memory bias(const Tensor& bias) const { return wrap(onednn_, images_.bias, bias.raw_data()); }

  /// The weight in the layout that the primitive reads.
  memory load_filter(const Tensor& weight) const {
    const memory filter = blocked_filter(weight);
    if (convolution_.has_reorder)
      convolution_.reorder.execute(onednn_.stream, {{DNNL_ARG_FROM, in_arena(weight)}, {DNNL_ARG_TO, filter}});
    return filter;
  }
  /// Memory for the filter or its gradient in the primitive's layout. If that is the arena's layout, this is the
  /// memory of `weight` itself.
  memory blocked_filter(const Tensor& weight) const {
    return convolution_.has_reorder ? wrap(onednn_, convolution_.filter, blocked_.get()) : in_arena(weight);
  }
  void store_filter(const Tensor& weight) const {
    if (convolution_.has_reorder)
      convolution_.reorder.execute(onednn_.stream,
                                   {{DNNL_ARG_FROM, blocked_filter(weight)}, {DNNL_ARG_TO, in_arena(weight)}});
    onednn_.stream.wait();
  }

  void execute(std::unordered_map<int, memory> arguments) const {
    arguments.emplace(DNNL_ARG_SCRATCHPAD, wrap(onednn_, convolution_.scratchpad, scratchpad_.get()));
    convolution_.primitive.execute(onednn_.stream, arguments);
    onednn_.stream.wait();
  }

 private:
  memory in_arena(const Tensor& weight) const { return wrap(onednn_, arena_filter(shape_), weight.raw_data()); }

  OneDnn& onednn_;
  ConvolutionShape shape_;
  Descriptors images_;
  const ConvolutionPrimitive& convolution_;
  std::shared_ptr<void> scratchpad_, blocked_;
};

}  // namespace

ConvolutionPrimitive OneDnn::make_convolution(ConvolutionKind kind, const ConvolutionShape& shape) const {
  const Descriptors d = describe(shape);
  dnnl::primitive_attr attr;
  attr.set_scratchpad_mode(dnnl::scratchpad_mode::user);
  const auto forward = forward_descriptor(engine, d, kind == ConvolutionKind::kForwardBias, attr);
  ConvolutionPrimitive made;
  if (kind == ConvolutionKind::kBackwardInput) {
    const auto descriptor = backward_input_descriptor(engine, d, forward, attr);
    made = {
        dnnl::convolution_backward_data(descriptor), descriptor.weights_desc(), descriptor.scratchpad_desc(), {}, {}};
  } else if (kind == ConvolutionKind::kBackwardFilter) {
    const auto descriptor = backward_filter_descriptor(engine, d, forward, attr);
    made = {dnnl::convolution_backward_weights(descriptor),
            descriptor.diff_weights_desc(),
            descriptor.scratchpad_desc(),
            {},
            {}};
  } else {
    made = {dnnl::convolution_forward(forward), forward.weights_desc(), forward.scratchpad_desc(), {}, {}};
  }
  const memory::desc arena = arena_filter(shape);
  made.has_reorder = made.filter != arena;
  const bool to_arena = kind == ConvolutionKind::kBackwardFilter;
  if (made.has_reorder) {
    made.reorder = dnnl::reorder(
        dnnl::reorder::primitive_desc(engine, to_arena ? made.filter : arena, engine, to_arena ? arena : made.filter));
  }
  return made;
}

const ConvolutionPrimitive& OneDnn::convolution(ConvolutionKind kind, const ConvolutionShape& shape) {
  const auto key = std::make_tuple(kind, shape, omp_get_max_threads());
  const auto found = convolutions_.find(key);
  return found != convolutions_.end() ? found->second
                                      : convolutions_.emplace(key, make_convolution(kind, shape)).first->second;
}

void CpuBackend::conv2d_forward(const Conv2dForward& tensors, const Conv2dParams& params) {
  const Tensor &x = tensors.x, &weight = tensors.weight, &bias = tensors.bias, &y = tensors.y;
  const ConvolutionShape shape = shape_of(x.shape(), weight.shape(), y.shape(), params);
  if (uses_winograd(convolution_, ConvolutionPass::kForward, shape)) {
    GRADAMP_SIMD::winograd_forward(shape, x.data<float>(), weight.data<float>(),
                                   bias.defined() ? bias.data<float>() : nullptr, y.data<float>(),
                                   {threads_, allocator_});
    return;
  }
  with_onednn("conv2d_forward", threads_, [&] {
    const auto kind = bias.defined() ? ConvolutionKind::kForwardBias : ConvolutionKind::kForward;
    const ConvolutionRun run(*onednn_, allocator_, kind, shape);
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, run.src(x)}, {DNNL_ARG_WEIGHTS, run.load_filter(weight)}, {DNNL_ARG_DST, run.dst(y)}};
    if (bias.defined()) arguments.emplace(DNNL_ARG_BIAS, run.bias(bias));
    run.execute(std::move(arguments));
  });
}

void CpuBackend::conv2d_backward_input(const Tensor& grad_y, const Tensor& weight, const Conv2dParams& params,
                                       const Tensor& grad_x) {
  const ConvolutionShape shape = shape_of(grad_x.shape(), weight.shape(), grad_y.shape(), params);
  if (uses_winograd(convolution_, ConvolutionPass::kBackwardInput, shape)) {
    GRADAMP_SIMD::winograd_backward_input(shape, grad_y.data<float>(), weight.data<float>(), grad_x.data<float>(),
                                          {threads_, allocator_});
    return;
  }
  with_onednn("conv2d_backward_input", threads_, [&] {
    const ConvolutionRun run(*onednn_, allocator_, ConvolutionKind::kBackwardInput, shape);
    run.execute({{DNNL_ARG_DIFF_DST, run.dst(grad_y)},
                 {DNNL_ARG_WEIGHTS, run.load_filter(weight)},
                 {DNNL_ARG_DIFF_SRC, run.src(grad_x)}});
  });
}

void CpuBackend::conv2d_backward_filter(const Tensor& x, const Tensor& grad_y, const Conv2dParams& params,
                                        const Tensor& grad_weight) {
  const ConvolutionShape shape = shape_of(x.shape(), grad_weight.shape(), grad_y.shape(), params);
  if (uses_winograd(convolution_, ConvolutionPass::kBackwardFilter, shape)) {
    GRADAMP_SIMD::winograd_backward_filter(shape, x.data<float>(), grad_y.data<float>(), grad_weight.data<float>(),
                                           {threads_, allocator_});
    return;
  }
  with_onednn("conv2d_backward_filter", threads_, [&] {
    const ConvolutionRun run(*onednn_, allocator_, ConvolutionKind::kBackwardFilter, shape);
    run.execute({{DNNL_ARG_SRC, run.src(x)},
                 {DNNL_ARG_DIFF_DST, run.dst(grad_y)},
                 {DNNL_ARG_DIFF_WEIGHTS, run.blocked_filter(grad_weight)}});
    run.store_filter(grad_weight);
  });
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Convolution by oneDNN. Images stay NHWC; filters are (K, R, S, C) in the arena and are reordered to and from the
// blocked layout that oneDNN's kernels want, which costs one pass over the filter.
#include <algorithm>

#include <omp.h>

#include "kernels/cpu/cpu_backend.h"
#include "kernels/cpu/onednn.h"

namespace gradamp {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

memory::desc describe(const memory::dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

/// The (K, R, S, C) filter in oneDNN's words: logical dimensions K, C, R, S.
memory::desc arena_filter(const ConvolutionShape& s) {
  return describe({s.out_channels, s.in_channels, s.kernel_h, s.kernel_w}, Tag::ohwi);
}

/// Zeros needed at the far edge so that the last window fits.
std::int64_t far_padding(std::int64_t in, std::int64_t out, std::int64_t kernel, std::int64_t stride,
                         std::int64_t padding) {
  return std::max<std::int64_t>(0, (out - 1) * stride + kernel - in - padding);
}

ConvolutionShape shape_of(const Shape& x, const Shape& filter, const Shape& y, const Conv2dParams& params) {
  return {x[0], x[1], x[2], x[3], y[1], y[2], y[3], filter[1], filter[2], params.stride, params.padding};
}

/// Everything a convolution's descriptor is made of.
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

// oneDNN 3 took the operation descriptors away: primitive descriptors are made from the same arguments at once.
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
  const auto key = std::make_pair(kind, shape);
  const auto found = convolutions_.find(key);
  return found != convolutions_.end() ? found->second
                                      : convolutions_.emplace(key, make_convolution(kind, shape)).first->second;
}

void CpuBackend::conv2d_forward(const Tensor& x, const Tensor& weight, const Tensor& bias, const Conv2dParams& params,
                                const Tensor& y) {
  with_onednn("conv2d_forward", [&] {
    omp_set_num_threads(threads_);
    OneDnn& onednn = *onednn_;
    const ConvolutionShape shape = shape_of(x.shape(), weight.shape(), y.shape(), params);
    const Descriptors d = describe(shape);
    const ConvolutionPrimitive& convolution =
        onednn.convolution(bias.defined() ? ConvolutionKind::kForwardBias : ConvolutionKind::kForward, shape);
    const auto scratchpad = allocator_.allocate(convolution.scratchpad.get_size());
    const auto reordered = allocator_.allocate(convolution.has_reorder ? convolution.filter.get_size() : 0);
    memory filter = wrap(onednn, arena_filter(shape), weight.raw_data());
    if (convolution.has_reorder) {
      memory blocked = wrap(onednn, convolution.filter, reordered.get());
      convolution.reorder.execute(onednn.stream, {{DNNL_ARG_FROM, filter}, {DNNL_ARG_TO, blocked}});
      filter = blocked;
    }
    std::unordered_map<int, memory> arguments{
        {DNNL_ARG_SRC, wrap(onednn, d.src, x.raw_data())},
        {DNNL_ARG_WEIGHTS, filter},
        {DNNL_ARG_DST, wrap(onednn, d.dst, y.raw_data())},
        {DNNL_ARG_SCRATCHPAD, wrap(onednn, convolution.scratchpad, scratchpad.get())}};
    if (bias.defined()) arguments.emplace(DNNL_ARG_BIAS, wrap(onednn, d.bias, bias.raw_data()));
    convolution.primitive.execute(onednn.stream, arguments);
    onednn.stream.wait();
  });
}

void CpuBackend::conv2d_backward_input(const Tensor& grad_y, const Tensor& weight, const Conv2dParams& params,
                                       const Tensor& grad_x) {
  with_onednn("conv2d_backward_input", [&] {
    omp_set_num_threads(threads_);
    OneDnn& onednn = *onednn_;
    const ConvolutionShape shape = shape_of(grad_x.shape(), weight.shape(), grad_y.shape(), params);
    const Descriptors d = describe(shape);
    const ConvolutionPrimitive& convolution = onednn.convolution(ConvolutionKind::kBackwardInput, shape);
    const auto scratchpad = allocator_.allocate(convolution.scratchpad.get_size());
    const auto reordered = allocator_.allocate(convolution.has_reorder ? convolution.filter.get_size() : 0);
    memory filter = wrap(onednn, arena_filter(shape), weight.raw_data());
    if (convolution.has_reorder) {
      memory blocked = wrap(onednn, convolution.filter, reordered.get());
      convolution.reorder.execute(onednn.stream, {{DNNL_ARG_FROM, filter}, {DNNL_ARG_TO, blocked}});
      filter = blocked;
    }
    convolution.primitive.execute(onednn.stream,
                                  {{DNNL_ARG_DIFF_DST, wrap(onednn, d.dst, grad_y.raw_data())},
                                   {DNNL_ARG_WEIGHTS, filter},
                                   {DNNL_ARG_DIFF_SRC, wrap(onednn, d.src, grad_x.raw_data())},
                                   {DNNL_ARG_SCRATCHPAD, wrap(onednn, convolution.scratchpad, scratchpad.get())}});
    onednn.stream.wait();
  });
}

void CpuBackend::conv2d_backward_filter(const Tensor& x, const Tensor& grad_y, const Conv2dParams& params,
                                        const Tensor& grad_weight) {
  with_onednn("conv2d_backward_filter", [&] {
    omp_set_num_threads(threads_);
    OneDnn& onednn = *onednn_;
    const ConvolutionShape shape = shape_of(x.shape(), grad_weight.shape(), grad_y.shape(), params);
    const Descriptors d = describe(shape);
    const ConvolutionPrimitive& convolution = onednn.convolution(ConvolutionKind::kBackwardFilter, shape);
    const auto scratchpad = allocator_.allocate(convolution.scratchpad.get_size());
    const auto reordered = allocator_.allocate(convolution.has_reorder ? convolution.filter.get_size() : 0);
    const memory in_arena = wrap(onednn, arena_filter(shape), grad_weight.raw_data());
    const memory result = convolution.has_reorder ? wrap(onednn, convolution.filter, reordered.get()) : in_arena;
    convolution.primitive.execute(onednn.stream,
                                  {{DNNL_ARG_SRC, wrap(onednn, d.src, x.raw_data())},
                                   {DNNL_ARG_DIFF_DST, wrap(onednn, d.dst, grad_y.raw_data())},
                                   {DNNL_ARG_DIFF_WEIGHTS, result},
                                   {DNNL_ARG_SCRATCHPAD, wrap(onednn, convolution.scratchpad, scratchpad.get())}});
    if (convolution.has_reorder) {
      convolution.reorder.execute(onednn.stream, {{DNNL_ARG_FROM, result}, {DNNL_ARG_TO, in_arena}});
    }
    onednn.stream.wait();
  });
}

}  // namespace gradamp

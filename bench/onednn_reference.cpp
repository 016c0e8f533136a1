// SPDX-License-Identifier: MIT
// oneDNN's convolutions on the CPU, in f32, with images in NHWC and filters in (K, R, S, C) like ours. A call contains
// the reorder of the filter to or from the layout that oneDNN prefers.
#include <oneapi/dnnl/dnnl.hpp>
#include <unordered_map>

#include "gradamp/bench/convolution_reference.h"

namespace gradamp::bench {
namespace {

using dnnl::memory;
using Tag = memory::format_tag;

memory::desc describe(const memory::dims& dims, Tag tag) { return {dims, memory::data_type::f32, tag}; }

/// All arguments of a convolution's primitive descriptor.
struct Descriptors {
  memory::desc src, filter, arena_filter, dst;
  memory::dims strides, near, far;

  explicit Descriptors(const ConvolutionShape& s) {
    const std::int64_t n = s.batch, c = s.in_channels, k = s.out_channels, r = s.kernel, out = s.out_size();
    const std::int64_t stride = s.params.stride, padding = s.params.padding;
    // The number of zeros at the bottom and right edge that the last window needs.
    const std::int64_t end = std::max<std::int64_t>(0, (out - 1) * stride + r - s.size - padding);
    src = describe({n, c, s.size, s.size}, Tag::nhwc);
    filter = describe({k, c, r, r}, Tag::any);
    arena_filter = describe({k, c, r, r}, Tag::ohwi);
    dst = describe({n, k, out, out}, Tag::nhwc);
    strides = {stride, stride};
    near = {padding, padding};
    far = {end, end};
  }
};

constexpr auto kDirect = dnnl::algorithm::convolution_direct;

// oneDNN 3 has no operation descriptors. There, primitive descriptors take the same arguments directly.
dnnl::convolution_forward::primitive_desc forward_descriptor(const dnnl::engine& engine, const Descriptors& d) {
  const auto kind = dnnl::prop_kind::forward_training;
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kind, kDirect, d.src, d.filter, memory::desc(), d.dst, d.strides, d.near, d.far};
#else
  return {{kind, kDirect, d.src, d.filter, memory::desc(), d.dst, d.strides, d.near, d.far}, engine};
#endif
}

dnnl::convolution_backward_data::primitive_desc backward_input_descriptor(const dnnl::engine& engine,
                                                                          const Descriptors& d) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kDirect, d.src, d.filter, d.dst, d.strides, d.near, d.far, forward_descriptor(engine, d)};
#else
  return {{kDirect, d.src, d.filter, d.dst, d.strides, d.near, d.far}, engine, forward_descriptor(engine, d)};
#endif
}

dnnl::convolution_backward_weights::primitive_desc backward_filter_descriptor(const dnnl::engine& engine,
                                                                              const Descriptors& d) {
#if DNNL_VERSION_MAJOR >= 3
  return {engine, kDirect, d.src, d.filter, d.dst, d.strides, d.near, d.far, forward_descriptor(engine, d)};
#else
  return {{kDirect, d.src, d.filter, d.dst, d.strides, d.near, d.far}, engine, forward_descriptor(engine, d)};
#endif
}

/// One pass of a convolution.
struct Primitive {
  dnnl::primitive convolution;
  memory::desc filter;  // in the layout that oneDNN prefers
  std::string implementation;
};

Primitive make_primitive(const dnnl::engine& engine, ConvolutionPass pass, const Descriptors& d) {
  if (pass == ConvolutionPass::kForward) {
    const auto made = forward_descriptor(engine, d);
    return {dnnl::convolution_forward(made), made.weights_desc(), made.impl_info_str()};
  }
  if (pass == ConvolutionPass::kBackwardInput) {
    const auto made = backward_input_descriptor(engine, d);
    return {dnnl::convolution_backward_data(made), made.weights_desc(), made.impl_info_str()};
  }
  const auto made = backward_filter_descriptor(engine, d);
  return {dnnl::convolution_backward_weights(made), made.diff_weights_desc(), made.impl_info_str()};
}

/// The work itself: there is nothing to be gained by recording it.
class DirectRecording final : public Recording {
 public:
  explicit DirectRecording(std::function<void()> work) : work_(std::move(work)) {}
  void replay() override { work_(); }

 private:
  std::function<void()> work_;
};

class OneDnnReference final : public ConvolutionReference {
 public:
  OneDnnReference() : engine_(dnnl::engine::kind::cpu, 0), stream_(engine_) {}

  Result measure(const ConvolutionShape& shape, ConvolutionPass pass, Precision precision,
                 std::span<const ConvolutionBuffers> sets, const TimingOptions& options) override {
    if (precision != Precision::kF32) throw LeftOut("oneDNN is measured in f32 only");
    const Descriptors d(shape);
    const Primitive primitive = make_primitive(engine_, pass, d);
    const memory filter(primitive.filter, engine_);
    const WorkQueue queue{[](std::function<void()> work) { return std::make_unique<DirectRecording>(std::move(work)); },
                          [this] { stream_.wait(); }};
    const Timing timing = time_recorded(
        queue, static_cast<int>(sets.size()),
        [&](int set) { execute(primitive, pass, d, filter, sets[static_cast<std::size_t>(set)]); }, options);
    return {timing, primitive.implementation};
  }

 private:
  void execute(const Primitive& primitive, ConvolutionPass pass, const Descriptors& d, const memory& filter,
               const ConvolutionBuffers& set) {
    const memory x(d.src, engine_, set.x), y(d.dst, engine_, set.y), weight(d.arena_filter, engine_, set.weight);
    const auto reorder = [&](const memory& from, const memory& to) {
      dnnl::reorder(from, to).execute(stream_, {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, to}});
    };
    if (pass == ConvolutionPass::kForward) {
      reorder(weight, filter);
      run(primitive, {{DNNL_ARG_SRC, x}, {DNNL_ARG_WEIGHTS, filter}, {DNNL_ARG_DST, y}});
    } else if (pass == ConvolutionPass::kBackwardInput) {
      reorder(weight, filter);
      run(primitive, {{DNNL_ARG_DIFF_DST, y}, {DNNL_ARG_WEIGHTS, filter}, {DNNL_ARG_DIFF_SRC, x}});
    } else {
      run(primitive, {{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, y}, {DNNL_ARG_DIFF_WEIGHTS, filter}});
      reorder(filter, weight);
    }
  }
  void run(const Primitive& primitive, const std::unordered_map<int, memory>& arguments) {
    primitive.convolution.execute(stream_, arguments);
  }

  dnnl::engine engine_;
  dnnl::stream stream_;
};

}  // namespace

ConvolutionReferenceChoice make_onednn_reference() {
  const dnnl_version_t* const version = dnnl_version();
  return {std::make_unique<OneDnnReference>(),
          fmt::format("oneDNN {}.{}.{}", version->major, version->minor, version->patch)};
}

}  // namespace gradamp::bench

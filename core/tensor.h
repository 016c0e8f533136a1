// SPDX-License-Identifier: MIT
// Contiguous memory on a device, with a shape and an element type. A Tensor is a handle: copies share the memory.
// Threads: each thread needs a handle of its own, as with std::shared_ptr; the contents follow the rule of their
// Backend.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "gradamp/core/bf16.h"
#include "gradamp/core/dtype.h"
#include "gradamp/core/error.h"
#include "gradamp/core/shape.h"

namespace gradamp {

class Backend;

namespace detail {
template <typename T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType value = DType::kF32;
};
template <>
struct DTypeOf<Bf16> {
  static constexpr DType value = DType::kBF16;
};
template <>
struct DTypeOf<double> {
  static constexpr DType value = DType::kF64;
};
template <>
struct DTypeOf<std::int32_t> {
  static constexpr DType value = DType::kI32;
};
template <>
struct DTypeOf<std::int64_t> {
  static constexpr DType value = DType::kI64;
};
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType value = DType::kU8;
};
}  // namespace detail

class Tensor {
 public:
  /// An undefined tensor: defined() is false.
  Tensor() = default;

  /// Memory with unspecified contents.
  static Tensor empty(Backend& backend, const Shape& shape, DType dtype = DType::kF32);
  static Tensor zeros(Backend& backend, const Shape& shape, DType dtype = DType::kF32);
  /// A copy of `values` on the device; Error unless there are shape.count() of them.
  template <typename T>
  static Tensor from_host(Backend& backend, const Shape& shape, std::span<const T> values) {
    Tensor tensor = empty(backend, shape, detail::DTypeOf<T>::value);
    tensor.copy_from_host(values);
    return tensor;
  }
  template <typename T>
  static Tensor from_host(Backend& backend, const Shape& shape, const std::vector<T>& values) {
    return from_host(backend, shape, std::span<const T>(values));
  }

  bool defined() const { return storage_ != nullptr; }
  const Shape& shape() const { return shape_; }
  DType dtype() const { return dtype_; }
  std::int64_t count() const { return shape_.count(); }
  std::size_t bytes() const { return static_cast<std::size_t>(count()) * size_of(dtype_); }
  Backend& backend() const { return *backend_; }

  /// The device address of the first element. Error unless T is the element type.
  template <typename T>
  T* data() const {
    check(detail::DTypeOf<T>::value == dtype_, "expected a tensor of {}, got {}", name_of(detail::DTypeOf<T>::value),
          name_of(dtype_));
    return static_cast<T*>(raw_data());
  }
  void* raw_data() const { return static_cast<std::byte*>(storage_.get()) + offset_; }

  /// A view of shape.count() elements of the same memory, from element `first` on; Error if there are not enough.
  Tensor view(const Shape& shape, std::int64_t first = 0) const;
  /// Whether no other handle shares the memory, so that it may be overwritten.
  bool is_unique() const { return storage_.use_count() == 1; }

  template <typename T>
  void copy_from_host(std::span<const T> values) const {
    check(static_cast<std::int64_t>(values.size()) == count(), "expected {} values, got {}", count(), values.size());
    check(detail::DTypeOf<T>::value == dtype_, "expected values of {}, got {}", name_of(dtype_),
          name_of(detail::DTypeOf<T>::value));
    copy_bytes_from_host(std::as_bytes(values));
  }
  /// Waits for the device and copies the elements to the host.
  template <typename T>
  std::vector<T> to_host() const {
    check(detail::DTypeOf<T>::value == dtype_, "expected a tensor of {}, got {}", name_of(detail::DTypeOf<T>::value),
          name_of(dtype_));
    std::vector<T> values(static_cast<std::size_t>(count()));
    copy_bytes_to_host(std::as_writable_bytes(std::span<T>(values)));
    return values;
  }
  void copy_bytes_from_host(std::span<const std::byte> bytes) const;
  void copy_bytes_to_host(std::span<std::byte> bytes) const;
  void fill_zero() const;

 private:
  Backend* backend_ = nullptr;
  std::shared_ptr<void> storage_;
  std::size_t offset_ = 0;  // bytes
  Shape shape_;
  DType dtype_ = DType::kF32;
};

}  // namespace gradamp

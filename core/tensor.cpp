// SPDX-License-Identifier: MIT
#include "gradamp/core/tensor.h"

#include "gradamp/core/backend.h"

namespace gradamp {

Tensor Tensor::empty(Backend& backend, const Shape& shape, DType dtype) {
  Tensor tensor;
  tensor.backend_ = &backend;
  tensor.shape_ = shape;
  tensor.dtype_ = dtype;
  tensor.storage_ = backend.allocate(tensor.bytes());
  return tensor;
}

Tensor Tensor::zeros(Backend& backend, const Shape& shape, DType dtype) {
  Tensor tensor = empty(backend, shape, dtype);
  tensor.fill_zero();
  return tensor;
}

Tensor Tensor::view(const Shape& shape, std::int64_t first) const {
  check(first >= 0 && first + shape.count() <= count(), "expected a view inside {} elements, got {} from {} on",
        count(), shape.count(), first);
  Tensor tensor = *this;
  tensor.offset_ += static_cast<std::size_t>(first) * size_of(dtype_);
  tensor.shape_ = shape;
  return tensor;
}

void Tensor::copy_bytes_from_host(std::span<const std::byte> source) const {
  check(source.size() == bytes(), "expected {} bytes, got {}", bytes(), source.size());
  backend_->copy_to_device(raw_data(), source.data(), source.size());
}

void Tensor::copy_bytes_to_host(std::span<std::byte> destination) const {
  check(destination.size() == bytes(), "expected room for {} bytes, got {}", bytes(), destination.size());
  backend_->copy_to_host(destination.data(), raw_data(), destination.size());
}

void Tensor::fill_zero() const { backend_->fill_zero(raw_data(), bytes()); }

}  // namespace gradamp

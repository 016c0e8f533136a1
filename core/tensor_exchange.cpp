// SPDX-License-Identifier: MIT
#include "gradamp/core/tensor_exchange.h"

#include <cstddef>
#include <vector>

namespace gradamp {
namespace {

std::span<std::byte> bytes_of(const Tensor& tensor) {
  if (!tensor.defined()) return {};
  return {static_cast<std::byte*>(tensor.raw_data()), tensor.bytes()};
}

}  // namespace

void HostTensorExchange::exchange(std::span<const Tensor> send, std::span<const Tensor> receive) {
  std::vector<std::span<const std::byte>> sent;
  std::vector<std::span<std::byte>> received;
  for (const Tensor& tensor : send) sent.push_back(bytes_of(tensor));
  for (const Tensor& tensor : receive) received.push_back(bytes_of(tensor));
  ranks_.exchange(sent, received);
}

}  // namespace gradamp

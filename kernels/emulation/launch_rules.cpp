// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/launch_rules.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace gradamp::emulation {
namespace {

constexpr unsigned kWarpSize = 32;
constexpr int kRegisterUnit = 256;  // a warp's registers are allocated in this unit (since compute capability 3.0)

std::uint64_t count_of(const emulated::dim3& shape) { return std::uint64_t{shape.x} * shape.y * shape.z; }

template <typename... Arguments>
Refusal refuse(emulated::cudaError_t error, fmt::format_string<Arguments...> format, Arguments&&... arguments) {
  return {error, fmt::format(format, std::forward<Arguments>(arguments)...)};
}

}  // namespace

std::optional<Refusal> refusal(const DeviceLimits& limits, const KernelFacts& kernel, const LaunchShape& shape) {
  const emulated::dim3 &grid = shape.grid, &block = shape.block;
  if (count_of(grid) == 0 || grid.x > limits.max_grid_x || grid.y > limits.max_grid_yz || grid.z > limits.max_grid_yz)
    return refuse(emulated::cudaErrorInvalidConfiguration,
                  "the grid is ({},{},{}) blocks; the device takes from 1 to ({},{},{})", grid.x, grid.y, grid.z,
                  limits.max_grid_x, limits.max_grid_yz, limits.max_grid_yz);
  const std::uint64_t threads = count_of(block);
  if (threads == 0 || threads > limits.max_threads || block.z > limits.max_block_z)
    return refuse(emulated::cudaErrorInvalidConfiguration,
                  "the block is ({},{},{}) threads; the device takes from 1 to {}, and {} in z", block.x, block.y,
                  block.z, limits.max_threads, limits.max_block_z);
  if (kernel.max_threads > 0 && threads > kernel.max_threads)
    return refuse(emulated::cudaErrorInvalidValue,
                  "the block is ({},{},{}) threads; the kernel's __launch_bounds__ allows {}", block.x, block.y,
                  block.z, kernel.max_threads);
  const auto warps = static_cast<int>((threads + kWarpSize - 1) / kWarpSize);
  const int of_warp =
      (kernel.registers * static_cast<int>(kWarpSize) + kRegisterUnit - 1) / kRegisterUnit * kRegisterUnit;
  if (warps * of_warp > limits.registers_per_block)
    return refuse(emulated::cudaErrorLaunchOutOfResources,
                  "{} threads of {} registers take {} registers; a block has {}", threads, kernel.registers,
                  warps * of_warp, limits.registers_per_block);
  return shared_memory_refusal(limits, kernel, shape.dynamic_shared);
}

std::optional<Refusal> shared_memory_refusal(const DeviceLimits& limits, const KernelFacts& kernel,
                                             std::size_t dynamic_shared) {
  if (kernel.static_shared > limits.shared_default)
    return refuse(emulated::cudaErrorInvalidValue, "{} bytes of static shared memory; a kernel may have {}",
                  kernel.static_shared, limits.shared_default);
  if (kernel.static_shared + dynamic_shared > limits.shared_opt_in)
    return refuse(emulated::cudaErrorInvalidValue,
                  "{} bytes of static and {} of dynamic shared memory; a block has at most {}", kernel.static_shared,
                  dynamic_shared, limits.shared_opt_in);
  if (kernel.allowed_dynamic > 0 && dynamic_shared > kernel.allowed_dynamic)
    return refuse(emulated::cudaErrorInvalidValue,
                  "{} bytes of dynamic shared memory; cudaFuncSetAttribute asked for {}", dynamic_shared,
                  kernel.allowed_dynamic);
  if (kernel.allowed_dynamic == 0 && kernel.static_shared + dynamic_shared > limits.shared_default)
    return refuse(emulated::cudaErrorInvalidValue,
                  "{} bytes of static and {} of dynamic shared memory; a block has {} in all unless "
                  "cudaFuncSetAttribute asks for more dynamic memory",
                  kernel.static_shared, dynamic_shared, limits.shared_default);
  return std::nullopt;
}

std::optional<Refusal> allowance_refusal(const DeviceLimits& limits, const KernelFacts& kernel, int bytes) {
  if (bytes >= 0 && kernel.static_shared + static_cast<std::size_t>(bytes) <= limits.shared_opt_in) return std::nullopt;
  return refuse(emulated::cudaErrorInvalidValue,
                "{} bytes of dynamic shared memory were asked for beside {} of static; a block has at most {}", bytes,
                kernel.static_shared, limits.shared_opt_in);
}

}  // namespace gradamp::emulation

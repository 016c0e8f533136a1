// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/grid.h"

#include <omp.h>

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/config.h"
#include "gradamp/kernels/emulation/counters.h"
#include "gradamp/kernels/emulation/device_access.h"
#include "gradamp/kernels/emulation/device_memory.h"
#include "gradamp/kernels/emulation/fault_handler.h"
#include "gradamp/kernels/emulation/kernel_table.h"
#include "gradamp/kernels/emulation/shared_memory.h"

namespace gradamp::emulation {
namespace {

std::uint64_t count_of(const emulated::dim3& shape) { return std::uint64_t{shape.x} * shape.y * shape.z; }

int os_threads_for(std::uint64_t blocks) {
  if (access_observer) return 1;
  const int wanted = config().os_threads > 0 ? config().os_threads : omp_get_max_threads();
  return static_cast<int>(std::min<std::uint64_t>(blocks, static_cast<std::uint64_t>(wanted)));
}

// The index of the block that runs at position `turn` of `count`.
std::uint64_t block_at(std::uint64_t turn, std::uint64_t count) {
  switch (config().thread_order) {
    case ThreadOrder::kForward: return turn;
    case ThreadOrder::kReverse: return count - 1 - turn;
    case ThreadOrder::kShuffled: break;
  }
  constexpr std::uint64_t kPrime = 2654435761;  // multiplication by it is a permutation unless it divides `count`
  return count % kPrime == 0 ? turn : (turn * kPrime + config().seed) % count;
}

void run_blocks(const GridShape& shape, const KernelCall& kernel) {
  const std::uint64_t count = count_of(shape.grid);
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
#pragma omp parallel num_threads(os_threads_for(count))
  {
    BlockRunner& runner = BlockRunner::local();
    watch_for_faults();
    const DeviceAccess access;
    runner.prepare(shape.grid, shape.block, shape.dynamic_shared_bytes, shape.facts);
#pragma omp for schedule(dynamic)
    for (std::uint64_t turn = 0; turn < count; ++turn) {
      if (failed.load(std::memory_order_relaxed)) continue;
      const std::uint64_t block = block_at(turn, count);
      try {
        runner.run(
            {static_cast<unsigned>(block % shape.grid.x), static_cast<unsigned>(block / shape.grid.x % shape.grid.y),
             static_cast<unsigned>(block / shape.grid.x / shape.grid.y)},
            kernel);
      } catch (...) {
        if (!failed.exchange(true)) failure = std::current_exception();
      }
    }
    if (shape.kernel) learn_static_shared(shape.kernel, runner.shared().static_bytes());
  }
  if (failure) std::rethrow_exception(failure);
}

}  // namespace

void check_shape(const GridShape& shape) {
  const LaunchShape launch{shape.grid, shape.block, shape.dynamic_shared_bytes};
  if (const auto refused = refusal(config().limits, shape.facts, launch))
    fail("kernel launched at {}: {}", to_string(shape.location), refused->reason);
}

void run_grid(const GridShape& shape, const KernelCall& kernel) {
  try {
    if (access_observer) access_observer->launch_begins();
    run_blocks(shape, kernel);
    if (access_observer) access_observer->launch_ends();
    DeviceMemory::instance().check_surroundings();
  } catch (const std::exception& error) {
    fail("kernel launched at {}: {}", to_string(shape.location), error.what());
  }
  count_launch(count_of(shape.grid));
}

}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/grid.h"

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>

#include <fmt/format.h>

#include "gradamp/core/error.h"
#include "gradamp/core/processors.h"
#include "gradamp/core/thread_pool.h"
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
  static const int usual = default_threads();  // a launch has no time to read files
  const int wanted = config().os_threads > 0 ? config().os_threads : usual;
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
  std::atomic<std::uint64_t> next = 0;
  std::exception_ptr failure;
  std::atomic<bool> failed = false;
  run_on_threads(os_threads_for(count), [&](int) {
    if (next.load(std::memory_order_relaxed) >= count) return;  // this thread came too late
    BlockRunner& runner = BlockRunner::local();
    watch_for_faults();
    const DeviceAccess access;
    runner.prepare(shape.grid, shape.block, shape.dynamic_shared_bytes, shape.facts);
    for (std::uint64_t turn = next++; turn < count && !failed.load(std::memory_order_relaxed); turn = next++) {
      const std::uint64_t block = block_at(turn, count);
      count_progress();  // a launch can take minutes
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
  });
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

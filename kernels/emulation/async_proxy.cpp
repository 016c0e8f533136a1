// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/async_proxy.h"

#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/scheduler.h"
#include "gradamp/kernels/emulation/shared_intrinsics.h"

namespace gradamp::emulation {
namespace {

struct Elect {
  static constexpr const char* kName = "elect.sync";
  static constexpr bool kAligned = true;

  static void run(Elect* const*, std::uint32_t) {}
};

}  // namespace

bool elect_lane(const SourceLocation& location) {
  Elect payload;
  join_warp_operation(~std::uint32_t{0}, payload, location);
  return lane() == 0;
}

void fence_proxy_async() {
  AsyncProxy& proxy = running_block->async_proxy();
  proxy.view().fence();
  proxy.mbarriers().fence(running_thread->rank);
}

void* dynamic_shared_1024() {
  running_block->async_proxy().view().align_to_1024();
  return dynamic_shared();
}

std::uint32_t shared_window_address(const void* pointer) {
  return running_block->async_proxy().view().address_of(pointer);
}

}  // namespace gradamp::emulation

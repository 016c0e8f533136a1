// SPDX-License-Identifier: MIT
// What a multiprocessor of compute capability 9.0 does beside its threads: mbarriers, tensor loads (TMA) and the
// products of warpgroups (wgmma). kernels/cuda/ptx_hopper.h documents the instructions.
#pragma once

#include <cstddef>
#include <string>

#include "gradamp/kernels/emulation/mbarrier.h"
#include "gradamp/kernels/emulation/shared_view.h"
#include "gradamp/kernels/emulation/tensor_load.h"
#include "gradamp/kernels/emulation/wgmma.h"

namespace gradamp::emulation {

/// What works beside the threads of the block that a BlockRunner runs.
class AsyncProxy {
 public:
  void begin_block(char* dynamic_shared, std::size_t bytes, std::size_t warps) {
    view_.begin_block(dynamic_shared, bytes);
    mbarriers_.begin_block();
    loads_.begin_block();
    products_.begin_block(warps);
  }
  /// Completes a tensor load that a thread waits for; false if there is none. For when no thread can run.
  bool make_progress() { return loads_.land_one(view_, mbarriers_); }
  /// Describes work that was pending when the block ended; "" if there is none.
  std::string leftover() const {
    const std::string load = loads_.leftover();
    return load.empty() ? products_.leftover() : load;
  }

  SharedView& view() { return view_; }
  const SharedView& view() const { return view_; }
  Mbarriers& mbarriers() { return mbarriers_; }
  TensorLoads& loads() { return loads_; }
  WgmmaProducts& products() { return products_; }
  const WgmmaProducts& products() const { return products_; }

 private:
  SharedView view_;
  Mbarriers mbarriers_;
  TensorLoads loads_;
  WgmmaProducts products_;
};

}  // namespace gradamp::emulation

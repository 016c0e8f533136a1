// SPDX-License-Identifier: MIT
#include "gradamp/kernels/emulation/tensor_load.h"

#include <algorithm>

#include <fmt/format.h>

#include "gradamp/kernels/emulation/access_observer.h"
#include "gradamp/kernels/emulation/block_runner.h"
#include "gradamp/kernels/emulation/device_memory.h"

namespace gradamp::emulation {
namespace {

constexpr std::uint32_t kTargetAlignment = 8 * kSwizzleBytes;  // the swizzle repeats after as many bytes

template <typename Describe>
[[noreturn]] void fail_load(const SourceLocation& location, const Describe& describe) {
  fail_thread([&] { return fmt::format("tensor load at {}: {}", to_string(location), describe()); });
}

void check_map(const TensorMap& map, int rank, bool im2col, const TensorLoad& load) {
  if (map.mode == TensorMapMode::kNone) fail_load(load.location, [] { return "the tensor map was not encoded"; });
  if (im2col != (map.mode == TensorMapMode::kIm2col))
    fail_load(load.location,
              [&] { return fmt::format("the tensor map is for {} loads", im2col ? "tiled" : "im2col"); });
  if (map.rank != rank)
    fail_load(load.location,
              [&] { return fmt::format("the tensor map has {} dimensions, the instruction {}", map.rank, rank); });
  const DeviceMemory& memory = DeviceMemory::instance();
  const std::uint64_t bytes = map.tensor_bytes();
  bool found = false;
  for (const MemoryKind kind : {MemoryKind::kDevice, MemoryKind::kPinned, MemoryKind::kManaged})
    found = found || memory.contains(map.base, bytes, kind);
  if (!found)
    fail_load(load.location, [&] {
      return fmt::format("the tensor of {} bytes at {} is not in memory that cudaMalloc gave or still gives", bytes,
                         map.base);
    });
  if (im2col && !first_pixel_problem(map, load.coordinates).empty())
    fail_load(load.location, [&] { return first_pixel_problem(map, load.coordinates); });
}

}  // namespace

void TensorLoads::check_target(const TensorLoad& load) const {
  const AsyncProxy& proxy = running_block->async_proxy();
  const std::uint32_t end = load.begin + load.bytes;
  if (load.begin % kTargetAlignment != 0)
    fail_load(load.location, [&] {
      return fmt::format("the target is at {:#x} of shared memory, expected a multiple of {}", load.begin,
                         kTargetAlignment);
    });
  if (end > proxy.view().end())
    fail_load(load.location, [] { return "it writes past the end of the dynamic shared memory"; });
  if (const SourceLocation* reader = proxy.products().reader_of(load.begin, end))
    fail_load(load.location, [&] {
      return fmt::format("it overwrites what the wgmma at {} reads, for which there was no wgmma.wait_group",
                         to_string(*reader));
    });
  for (const TensorLoad& other : pending_)
    if (load.begin < other.begin + other.bytes && other.begin < end)
      fail_load(load.location, [&] {
        return fmt::format("the load at {} to the same memory has not arrived", to_string(other.location));
      });
}

void TensorLoads::issue(TensorLoad load, void* target, const TensorMap& map, const std::uint64_t* barrier, int rank,
                        bool im2col) {
  AsyncProxy& proxy = running_block->async_proxy();
  load.barrier = proxy.mbarriers().index_for_copy(barrier, load.location);
  check_map(map, rank, im2col, load);
  load.map = map;
  load.begin = proxy.view().address_of(target);
  load.bytes = map.load_bytes();
  check_target(load);
  if (access_observer) access_observer->copy_begins(*load.thread, target, load.bytes, load.code);
  proxy.view().use();
  proxy.view().fill_with_nan(load.begin, load.bytes);
  pending_.push_back(load);
}

bool TensorLoads::land_one(SharedView& view, Mbarriers& mbarriers) {
  const auto load = std::find_if(pending_.begin(), pending_.end(),
                                 [&](const TensorLoad& each) { return mbarriers.is_awaited(each.barrier); });
  if (load == pending_.end()) return false;
  bytes_.resize(load->bytes);
  gather_box(load->map, load->coordinates, load->offsets, bytes_.data());
  if (access_observer) access_observer->copy_lands(*load->thread, view.memory(load->begin), load->bytes, load->code);
  for (std::uint32_t i = 0; i < load->bytes; i += 16) view.write(swizzled(load->begin + i), &bytes_[i], 16);
  const std::size_t barrier = load->barrier;
  const std::uint32_t bytes = load->bytes;
  pending_.erase(load);
  mbarriers.copied(barrier, bytes);
  return true;
}

std::string TensorLoads::leftover() const {
  if (pending_.empty()) return "";
  return fmt::format("the tensor load at {} had not arrived when the block ended: no thread waited for it",
                     to_string(pending_[0].location));
}

void load_tensor(void* target, const TensorMap* map, std::uint64_t* barrier, std::span<const int> coordinates,
                 const std::uint16_t* offsets, const SourceLocation& location) {
  TensorLoad load{};
  std::copy(coordinates.begin(), coordinates.end(), load.coordinates);
  if (offsets) std::copy_n(offsets, coordinates.size() - 2, load.offsets);
  load.location = location;
  load.thread = running_thread;
  load.code = __builtin_return_address(0);
  running_block->async_proxy().loads().issue(load, target, *map, barrier, static_cast<int>(coordinates.size()),
                                             offsets != nullptr);
}

}  // namespace gradamp::emulation

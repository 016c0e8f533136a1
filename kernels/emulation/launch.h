// SPDX-License-Identifier: MIT
// Turns a kernel and its arguments into work on a stream.
#pragma once

#include <string>
#include <tuple>
#include <type_traits>

#include "gradamp/kernels/emulation/grid.h"
#include "gradamp/kernels/emulation/kernel_table.h"
#include "gradamp/kernels/emulation/work.h"

namespace gradamp::emulation {

/// The launch at `location` fails if argument `position` points to memory that is not the device's.
void check_pointer_argument(const void* argument, int position, const SourceLocation& location);

/// "argument 2 of the kernel launched at gather.cu:70"
std::string name_of_argument(int position, const SourceLocation& location);

/// Copies the arguments, as CUDA does: a graph replays the launch with these values.
template <typename... P>
void launch_kernel(void (*kernel)(P...), GridShape shape, Stream* stream, const std::tuple<P...>& arguments) {
  static_assert((std::is_trivially_copyable_v<P> && ...), "a kernel's arguments are copied to the device as bytes");
  struct Call {
    void (*kernel)(P...);
    std::tuple<P...> arguments;
  };
  shape.kernel = reinterpret_cast<const void*>(kernel);
  shape.facts = facts_of(shape.kernel);
  check_shape(shape);
  if (const auto graph = graph_of_capture(stream)) {
    int position = 0;
    const auto name_argument = [&]<typename T>(const T& argument) {
      name_memory(*graph, &argument, sizeof argument, name_of_argument(++position, shape.location));
    };
    std::apply([&](const auto&... argument) { (name_argument(argument), ...); }, arguments);
  }
  enqueue(stream, [call = Call{kernel, arguments}, shape] {
    int position = 0;
    const auto check_argument = [&]<typename T>(const T& argument) {
      ++position;
      if constexpr (std::is_pointer_v<T>) check_pointer_argument(argument, position, shape.location);
    };
    std::apply([&](const auto&... argument) { (check_argument(argument), ...); }, call.arguments);
    run_grid(shape, {[](const void* data) {
                       const auto& the_call = *static_cast<const Call*>(data);
                       std::apply(the_call.kernel, the_call.arguments);
                     },
                     &call});
  });
}

}  // namespace gradamp::emulation

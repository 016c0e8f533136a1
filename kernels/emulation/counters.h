// SPDX-License-Identifier: MIT
// Increments the counts that config.h's statistics() reads.
#pragma once

#include <cstdint>

namespace gradamp::emulation {

void count_launch(std::uint64_t blocks);
void count_wait();
void count_graph_launch();

}  // namespace gradamp::emulation

// SPDX-License-Identifier: MIT
// The sums in a GPU's memory. kernels/cuda/cuda.h says for which of the two devices this is compiled.
#pragma once

#include <memory>

#include "gradamp/kernels/cuda/cuda.h"
#include "gradamp/kernels/statistics/statistics_device.h"

namespace gradamp::GRADAMP_GPU {

/// On the CUDA device of this number. The plan must outlive it. Error if there is no usable GPU or
/// too little memory.
std::unique_ptr<StatisticsDevice> make_gpu_statistics(const StatisticsPlan& plan, int device);

}  // namespace gradamp::GRADAMP_GPU

// SPDX-License-Identifier: MIT
// The one door to the backends: nothing outside kernels/ includes a header of one of them.
#pragma once

#include <memory>

#include "core/backend.h"

namespace gradamp {

struct BackendOptions {
  /// CPU threads; 0: what OpenMP chooses (OMP_NUM_THREADS, else every core).
  int threads = 0;
};

/// A backend for `device`; Error where this build or this machine has none.
std::unique_ptr<Backend> make_backend(const Device& device, const BackendOptions& options = {});

}  // namespace gradamp

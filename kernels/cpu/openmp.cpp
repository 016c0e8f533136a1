// SPDX-License-Identifier: MIT
#include "gradamp/kernels/cpu/openmp.h"

#include <cstdlib>
#include <mutex>
#include <semaphore>
#include <thread>

namespace gradamp {

OpenMpTeam::OpenMpTeam(int threads) : dynamic_(omp_get_dynamic()), threads_(omp_get_max_threads()) {
  omp_set_dynamic(0);
  int team = 1;
#pragma omp parallel num_threads(threads)
#pragma omp single
  team = omp_get_num_threads();
  omp_set_num_threads(team);
}

void limit_spinning() {
  static std::once_flag once;
  std::call_once(once, [] {
    if (std::getenv("GOMP_SPINCOUNT") || std::getenv("OMP_WAIT_POLICY")) return;
    std::binary_semaphore exists(0);
    std::thread([&exists] {
#pragma omp parallel num_threads(2)
      {}
      exists.release();
      std::binary_semaphore(0).acquire();
    }).detach();
    exists.acquire();
  });
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
// Settings of OpenMP. The CPU backend shares OpenMP with the program that contains it, and the processor with other
// programs.
#pragma once

#include <omp.h>

namespace gradamp {

/// During its lifetime, OpenMP's number of threads is the size of the team that a parallel region really gets. That is
/// up to `threads`, but fewer under OMP_THREAD_LIMIT or OMP_MAX_ACTIVE_LEVELS, and one inside a parallel region.
///
/// oneDNN needs this. It divides the work among omp_get_max_threads() threads when a primitive is made. With a smaller
/// team, parts of the result would not be computed, or its barriers would wait forever.
class OpenMpTeam {
 public:
  explicit OpenMpTeam(int threads);
  ~OpenMpTeam() {
    omp_set_num_threads(threads_);
    omp_set_dynamic(dynamic_);
  }
  OpenMpTeam(const OpenMpTeam&) = delete;
  OpenMpTeam& operator=(const OpenMpTeam&) = delete;

  int size() const { return omp_get_max_threads(); }

 private:
  int dynamic_, threads_;  // the caller's settings
};

/// Makes OpenMP's threads sleep soon after a parallel region. Acts once per process. By default, GCC's libgomp
/// spin-waits for milliseconds, which costs most of the speed if other programs need the processor. It spins for only
/// 1000 rounds if it has more threads than there are processors. So this function creates one more team, which then
/// sleeps until the process ends. (libgomp/config/linux/wait.h: gomp_throttled_spin_count_var.) No effect if
/// GOMP_SPINCOUNT or OMP_WAIT_POLICY is set, or with another runtime library.
void limit_spinning();

}  // namespace gradamp

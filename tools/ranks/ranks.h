// SPDX-License-Identifier: MIT
// Ranks as processes that MPI has started: `mpirun -n 4 gradamp train --shards 8`. MPI is in a library of its own,
// which is loaded only then, so the program runs without it.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "gradamp/core/communicator.h"

namespace gradamp {

/// One of the processes of a run.
class RankProcess : public Communicator {
 public:
  /// The number of ranks on this host.
  virtual int local_size() const = 0;
  /// This rank's number among them, from 0 on.
  virtual int local_rank() const = 0;
  /// For a rank other than 0 that cannot go on: tells rank 0 why, whose next exchange throws that as an Error, and
  /// waits to be ended. Returns if that does not happen in time, on rank 1 first.
  virtual void report_failure(const std::string& message) = 0;
  /// Ends all ranks at once; the launcher's exit code is `exit_code`.
  [[noreturn]] virtual void abort(int exit_code) = 0;
};

/// What the launcher (mpirun of Open MPI or MPICH, srun) says in the environment.
struct Launch {
  int size = 1;  // ranks; 1 without a launcher
  int rank = 0;
};
Launch launch_of(const std::function<const char*(const char* name)>& environment);
/// Of this process.
Launch started_ranks();

/// Error if gradamp was built without MPI, which several ranks need.
void check_mpi_is_built();
/// Connects this process with the others that were started with it. A rank that does not answer for `timeout` seconds
/// is an Error on the others. Error if the library of MPI is not there.
std::unique_ptr<RankProcess> connect_ranks(double timeout);

}  // namespace gradamp

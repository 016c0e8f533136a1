// SPDX-License-Identifier: MIT
#include "gradamp/tools/ranks/ranks.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <string_view>
#include <system_error>

#include <dlfcn.h>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

constexpr const char* kLibrary = "libgradamp_mpi.so";

int number_in(const char* text) {
  int number = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), number);
  return number;
}

/// The library of MPI: beside the program in the build, below the prefix when installed.
std::filesystem::path find_library() {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::filesystem::path places[] = {folder / kLibrary,
                                          folder.parent_path() / GRADAMP_LIBRARY_FOLDER / "gradamp" / kLibrary};
  for (const std::filesystem::path& place : places)
    if (std::filesystem::exists(place, error)) return place;
  fail(
      "several ranks need {}, which is neither {} nor {}: this build has no MPI; install it (libopenmpi-dev) and build "
      "again, or start one process, which computes all shards",
      kLibrary, places[0].string(), places[1].string());
}

}  // namespace

Launch launch_of(const std::function<const char*(const char* name)>& environment) {
  struct Launcher {
    const char *size, *rank;
  };
  // Open MPI's mpirun; MPICH's mpiexec and srun with PMI-2; srun with PMIx.
  for (const auto& [size, rank] : {Launcher{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},
                                   Launcher{"PMI_SIZE", "PMI_RANK"}, Launcher{"SLURM_STEP_NUM_TASKS", "PMIX_RANK"}}) {
    if (environment(rank) == nullptr) continue;
    if (const int count = number_in(environment(size)); count > 1) return {count, number_in(environment(rank))};
  }
  return {};
}

Launch started_ranks() {
  return launch_of([](const char* name) -> const char* { return std::getenv(name); });
}

std::unique_ptr<RankProcess> connect_ranks(double timeout) {
  const std::filesystem::path path = find_library();
  // Never closed: MPI's own libraries cannot be unloaded.
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | RTLD_GLOBAL);
  check(library != nullptr, "cannot load {}: {}", path.string(), library == nullptr ? ::dlerror() : "");
  using Connect = RankProcess*(double timeout);
  void* const function = ::dlsym(library, "gradamp_connect_mpi");
  check(function != nullptr, "{} is of another version: it lacks gradamp_connect_mpi", path.string());
  return std::unique_ptr<RankProcess>(reinterpret_cast<Connect*>(function)(timeout));
}

}  // namespace gradamp

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

constexpr std::string_view kMpi = GRADAMP_MPI_LIBRARY;  // "libmpi.so.40"; empty: built without MPI
constexpr const char* kLibrary = "libgradamp_mpi.so";   // ours

int number_in(const char* text) {
  int number = 0;
  if (text != nullptr) std::from_chars(text, text + std::strlen(text), number);
  return number;
}

/// Our library: beside the program in the build, below the prefix when installed.
std::filesystem::path find_library() {
  std::error_code error;
  const std::filesystem::path folder = std::filesystem::read_symlink("/proc/self/exe", error).parent_path();
  const std::filesystem::path places[] = {folder / kLibrary,
                                          folder.parent_path() / GRADAMP_LIBRARY_FOLDER / "gradamp" / kLibrary};
  for (const std::filesystem::path& place : places)
    if (std::filesystem::exists(place, error)) return place;
  fail("several ranks need {}, which is neither {} nor {}", kLibrary, places[0].string(), places[1].string());
}

void* loaded(const std::filesystem::path& path, int flags) {
  // Never closed: MPI's own libraries cannot be unloaded.
  void* const library = ::dlopen(path.c_str(), RTLD_NOW | flags);
  check(library != nullptr, "several ranks need {}, which cannot be loaded: {}", path.string(),
        library == nullptr ? ::dlerror() : "");
  return library;
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

void check_mpi_is_built() {
  check(
      !kMpi.empty(),
      "several ranks need MPI, without which gradamp was built: install it (libopenmpi-dev) and build again, or start "
      "one process, which computes all shards");
}

std::unique_ptr<RankProcess> connect_ranks(double timeout) {
  check_mpi_is_built();
  const std::filesystem::path path = find_library();
  loaded(kMpi, RTLD_GLOBAL);  // whose functions our library finds
  void* const function = ::dlsym(loaded(path, RTLD_LOCAL), "gradamp_connect_mpi");
  check(function != nullptr, "{} is of another version: it lacks gradamp_connect_mpi", path.string());
  using Connect = RankProcess*(double timeout);
  return std::unique_ptr<RankProcess>(reinterpret_cast<Connect*>(function)(timeout));
}

}  // namespace gradamp

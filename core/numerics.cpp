// SPDX-License-Identifier: MIT
#include "gradamp/core/numerics.h"

#include "gradamp/core/error.h"
#include "gradamp/core/version.h"

namespace gradamp {
namespace {

struct PastVersion {
  DeviceKind kind;
  int version;
  const char* last_release;
};
/// One line per past version of a release: the last release that had it, and what changed then ("Bits" in
/// CHANGELOG.md). Version 2 of the GPU devices was in no release.
constexpr PastVersion kPast[] = {
    {DeviceKind::kCpu, 1, "0.1.0"},       // every convolution by oneDNN
    {DeviceKind::kCuda, 1, "0.1.0"},      // small linear layers by cuBLAS
    {DeviceKind::kEmulated, 1, "0.1.0"},  // the same, and kernels compiled with contraction
};

/// "release 0.1.0".
std::string release_with(DeviceKind kind, int version) {
  for (const PastVersion& past : kPast)
    if (past.kind == kind && past.version == version) return std::string("release ") + past.last_release;
  return "the release that began it";
}

}  // namespace

void check_numerics(const std::string& what, DeviceKind kind, int version) {
  const int ours = numerics_version(kind);
  if (version == ours) return;
  fail(
      "{} has numerics version {} of the device {}, this program ({}) has {}, so the bits would differ; resume it with "
      "{}, "
      "or begin it anew",
      what, version, name_of(kind), GRADAMP_VERSION, ours, release_with(kind, version));
}

}  // namespace gradamp

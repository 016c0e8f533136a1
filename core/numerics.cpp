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
/// A line for each version that was left, with what CHANGELOG.md says of bits.
constexpr PastVersion kPast[] = {
    {DeviceKind::kCuda, 1, "0.1.0"},      // small linear layers by cuBLAS
    {DeviceKind::kEmulated, 1, "0.1.0"},  // the same, and kernels compiled with contraction
};

}  // namespace

std::string last_release_with(DeviceKind kind, int version) {
  for (const PastVersion& past : kPast)
    if (past.kind == kind && past.version == version) return past.last_release;
  return {};
}

void check_numerics(const std::string& what, DeviceKind kind, int version) {
  const int ours = numerics_version(kind);
  if (version == ours) return;
  const std::string release = last_release_with(kind, version);
  fail(
      "{} has numerics version {} of the device {}, this program ({}) has {}, so it would not be the same to the bit; "
      "go on with it by {}, or begin it anew",
      what, version, name_of(kind), GRADAMP_VERSION, ours,
      release.empty() ? "the release that began it" : "release " + release);
}

}  // namespace gradamp

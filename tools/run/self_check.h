// SPDX-License-Identifier: MIT
// The program's self-check of a GPU. It runs before the first run with a GPU, and again whenever the GPU, its driver or
// the build changes.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/core/device.h"
#include "gradamp/core/dtype.h"
#include "gradamp/kernels/self_check.h"

namespace gradamp {

/// What a recorded success applies to.
struct SelfCheckSubject {
  DeviceFacts device;
  std::string build;  // build_identity()
};

/// The version of this program and its build id, which the linker computes from all its code and data. If there is no
/// build id, the size and the time of the program's file replace it.
std::string build_identity();

/// The path in `folder` of the file that records a success for `subject`: JSON with the subject's strings.
std::filesystem::path remembered_success(const std::filesystem::path& folder, const SelfCheckSubject& subject);

/// Runs `check` unless `folder` records that it passed for `subject`. Records a success there if everything agreed, and
/// creates `folder` if it is missing.
///
/// Returns lines for the user, with labels like the first lines of `train`. There is no line if the success was already
/// recorded. Otherwise a line says that the check ran, and why its success cannot be recorded, if it cannot; the check
/// then runs every time. If something disagreed that `precision` does not depend on, a line says so, and nothing is
/// recorded. If `precision` depends on it, the Error says what disagreed and what to try.
std::vector<std::string> require_self_check(const SelfCheckSubject& subject, Precision precision,
                                            const std::filesystem::path& folder,
                                            const std::function<SelfCheckReport()>& check);

/// Does this for `device` and this program, with the user's cache folder. Does nothing for a device other than cuda.
std::vector<std::string> require_self_check(const Device& device, Precision precision);

/// One line that says what disagreed in `report` and what to try. Empty if everything agreed.
std::string disagreement_message(const DeviceFacts& device, const SelfCheckReport& report);

}  // namespace gradamp

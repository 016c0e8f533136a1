// SPDX-License-Identifier: MIT
// The self-check of a GPU as the program uses it: before the first run on a GPU with a driver and a build, and again
// whenever one of the three changes.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "gradamp/core/device.h"
#include "gradamp/core/dtype.h"
#include "gradamp/kernels/self_check.h"

namespace gradamp {

/// What a remembered success holds for.
struct SelfCheckSubject {
  DeviceFacts device;
  std::string build;  // build_identity()
};

/// The version of this program and its build id, which the linker makes of all its code and data; the size and the time
/// of its file if it has none.
std::string build_identity();

/// The file of `folder` in which a success for `subject` is remembered: JSON with the subject's strings.
std::filesystem::path remembered_success(const std::filesystem::path& folder, const SelfCheckSubject& subject);

/// Runs `check` unless `folder` remembers that it passed for `subject`, and remembers it there if everything agreed.
/// Returns lines for the user, labeled as those that `train` begins with: none for a remembered success; else that the
/// check ran, with the reason if it cannot be remembered and will run again each time. A disagreement that `precision`
/// does not depend on is such a line, too, and is not remembered. Error, which says what disagreed and what to try, if
/// `precision` depends on it. `folder` is made if it is missing.
std::vector<std::string> require_self_check(const SelfCheckSubject& subject, Precision precision,
                                            const std::filesystem::path& folder,
                                            const std::function<SelfCheckReport()>& check);

/// The same for `device` and this program, with the user's cache folder. Does nothing for a device other than cuda.
std::vector<std::string> require_self_check(const Device& device, Precision precision);

/// What disagreed in `report` and what to try, in one line; empty if nothing did.
std::string disagreement_message(const DeviceFacts& device, const SelfCheckReport& report);

}  // namespace gradamp

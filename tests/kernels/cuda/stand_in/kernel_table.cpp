// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/kernel_table.h"

#include <algorithm>
#include <map>

#include <fmt/format.h>

#include "gradamp/tests/kernels/cuda/stand_in/settings.h"

namespace gradamp::stand_in {
namespace {

std::map<const void*, Kernel>& kernels() {
  static auto* const kernels = new std::map<const void*, Kernel>;  // filled before main, read even after it
  return *kernels;
}

std::string name_of(const Image& image) {
  return fmt::format("{}_{}", image.is_ptx ? "compute" : "sm", image.architecture);
}

Module images_of_settings(const Module& module) {
  if (!settings().images) return module;
  Module images;
  for (const Image& image : module)
    if (std::ranges::count(*settings().images, name_of(image)) > 0) images.push_back(image);
  return images;
}

/// For PTX that a driver would compile, the resources are those of the newest binary, which is the closest one.
const Image* binary_for_facts(const Module& module, const Image& image) {
  if (!image.is_ptx) return &image;
  const Image* newest = nullptr;
  for (const Image& each : module)
    if (!each.is_ptx && (!newest || each.architecture > newest->architecture)) newest = &each;
  return newest;
}

void resolve(Kernel& kernel) {
  kernel.name = readable_name(kernel.mangled_name);
  const Module images = images_of_settings(*kernel.module);
  const Image* image = image_for(images, settings().device->architecture());
  if (image == nullptr) return;
  kernel.image = name_of(*image);
  kernel.binary_version = image->is_ptx ? settings().device->architecture() : image->architecture;
  kernel.ptx_version = image->architecture;
  if (const Image* binary = binary_for_facts(*kernel.module, *image))
    kernel.facts = kernel_facts(*binary, kernel.mangled_name);
  kernel.code = find_ptx_kernel(settings().code, kernel.name);
}

}  // namespace

void register_kernel(const void* function, const char* mangled_name, const Module* module) {
  Kernel& kernel = kernels()[function];
  kernel.mangled_name = mangled_name;
  kernel.module = module;
}

Kernel* find_kernel(const void* function) {
  const auto found = kernels().find(function);
  if (found == kernels().end()) return nullptr;
  if (found->second.name.empty()) resolve(found->second);
  return &found->second;
}

}  // namespace gradamp::stand_in

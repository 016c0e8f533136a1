// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/ptx_kernels.h"

#include <cxxabi.h>

#include <cstdlib>
#include <map>
#include <memory>
#include <utility>

namespace gradamp::stand_in {
namespace {

using Kernels = std::map<std::pair<std::string, std::string>, PtxKernel>;  // by variant and name

Kernels& ptx_kernels() {
  static auto* const kernels = new Kernels;  // filled before main, read until after it
  return *kernels;
}

void remove_all(std::string& text, const std::string& part) {
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos;) text.erase(at, part.size());
}

/// Removes the parameter list: the last parenthesis that opens at depth 0.
void remove_parameters(std::string& text) {
  int depth = 0;
  for (std::size_t at = text.size(); at-- > 0;) {
    if (text[at] == ')') ++depth;
    if (text[at] == '(' && --depth == 0) {
      text.erase(at);
      return;
    }
  }
}

}  // namespace

bool add_ptx_kernel(const char* variant, const char* mangled_name, PtxKernel kernel) {
  return ptx_kernels().insert_or_assign({variant, readable_name(mangled_name)}, std::move(kernel)).second;
}

const PtxKernel* find_ptx_kernel(std::span<const std::string> variants, const std::string& name) {
  for (const std::string& variant : variants) {
    const auto found = ptx_kernels().find({variant, name});
    if (found != ptx_kernels().end()) return &found->second;
  }
  return nullptr;
}

std::string readable_name(const std::string& mangled_name) {
  int status = 0;
  const std::unique_ptr<char, decltype(&std::free)> demangled(
      abi::__cxa_demangle(mangled_name.c_str(), nullptr, nullptr, &status), &std::free);
  if (!demangled) return mangled_name;
  std::string text = demangled.get();
  remove_all(text, "gradamp::cuda::");
  remove_all(text, "(anonymous namespace)::");
  remove_parameters(text);
  if (text.starts_with("void ")) text.erase(0, 5);
  return text;
}

}  // namespace gradamp::stand_in

// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/nvcc_options.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

// The value follows `=`, is the next word, or (-arch=sm_80, -gencode arch=...) either.
constexpr std::string_view kIgnoredWithValue[] = {"-arch",
                                                  "--gpu-architecture",
                                                  "-gencode",
                                                  "--generate-code",
                                                  "-code",
                                                  "--gpu-code",
                                                  "-std",
                                                  "--std",
                                                  "-maxrregcount",
                                                  "--maxrregcount",
                                                  "-Xptxas",
                                                  "--ptxas-options",
                                                  "-Xnvlink",
                                                  "-ccbin",
                                                  "--compiler-bindir",
                                                  "-cudart",
                                                  "--cudart",
                                                  "-rdc",
                                                  "--relocatable-device-code",
                                                  "-ftz",
                                                  "--ftz",
                                                  "-prec-div",
                                                  "--prec-div",
                                                  "-prec-sqrt",
                                                  "--prec-sqrt",
                                                  "-fmad",
                                                  "--fmad",
                                                  "-default-stream",
                                                  "--default-stream",
                                                  "-t",
                                                  "--threads",
                                                  "-m",
                                                  "--machine",
                                                  "-diag-suppress",
                                                  "--diag-suppress",
                                                  "-x",
                                                  "--x",
                                                  "-split-compile",
                                                  "--split-compile",
                                                  "--optimize"};
constexpr std::string_view kIgnored[] = {"-O",
                                         "-O0",
                                         "-O1",
                                         "-O2",
                                         "-O3",
                                         "-lineinfo",
                                         "--generate-line-info",
                                         "-g",
                                         "--debug-info",
                                         "-use_fast_math",
                                         "--use_fast_math",
                                         "-m64",
                                         "-w",
                                         "-v",
                                         "--verbose",
                                         "-Wno-deprecated-gpu-targets",
                                         "-expt-relaxed-constexpr",
                                         "--expt-relaxed-constexpr",
                                         "-expt-extended-lambda",
                                         "--expt-extended-lambda",
                                         "-extended-lambda",
                                         "--extended-lambda",
                                         "-restrict",
                                         "--restrict",
                                         "-time",
                                         "-keep",
                                         "--keep",
                                         "-run",
                                         "--run",
                                         "-res-usage",
                                         "--resource-usage",
                                         "-dlto",
                                         "-forward-unknown-to-host-compiler",
                                         "-Xptxas=-v",
                                         "-lcudart",
                                         "-lcudart_static",
                                         "-lcudadevrt",
                                         "-lcuda",
                                         "-lm",
                                         "-lpthread",
                                         "-ldl",
                                         "-lrt",
                                         "-lstdc++"};
// They ask for a file that is no program.
constexpr std::string_view kOtherResults[] = {"-c",   "--compile", "-dc",    "--device-c", "-dlink",  "--device-link",
                                              "-ptx", "--ptx",     "-cubin", "--cubin",    "-fatbin", "--fatbin",
                                              "-E",   "-S",        "-lib",   "--lib",      "-shared", "--shared",
                                              "-dw",  "-M",        "-MM",    "-cuda"};
constexpr std::pair<std::string_view, std::string_view> kLibraries[] = {
    {"cublas", "cuBLAS"},     {"curand", "cuRAND"}, {"cufft", "cuFFT"},     {"cusparse", "cuSPARSE"},
    {"cusolver", "cuSOLVER"}, {"cudnn", "cuDNN"},   {"nccl", "NCCL"},       {"npp", "NPP"},
    {"nvrtc", "NVRTC"},       {"nvjpeg", "nvJPEG"}, {"nvgraph", "nvGRAPH"}, {"nvToolsExt", "NVTX"}};

template <typename List>
bool contains(const List& list, std::string_view word) {
  return std::find(std::begin(list), std::end(list), word) != std::end(list);
}

void append_parts(std::vector<std::string>& to, std::string_view list) {  // separated by commas
  while (!list.empty()) {
    const std::size_t end = std::min(list.find(','), list.size());
    to.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

void refuse(std::string_view word) {
  if (contains(kOtherResults, word))
    fail("{}: gradamp emulate makes a whole program: give it all files at once, without {}; -o FILE keeps the program",
         word, word);
  if (!word.starts_with("-l")) return;
  for (const auto& [beginning, name] : kLibraries)
    if (word.substr(2).starts_with(beginning))
      fail(
          "{}: the emulator leaves out NVIDIA's library {}: put a kernel or host code of your own in place of its "
          "calls, for example under #ifdef",
          word, name);
}

}  // namespace

NvccOptions take_nvcc_options(const std::vector<std::string>& words) {
  NvccOptions options;
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string& word = words[i];
    const std::size_t equals = word.find('=');
    const std::string name = word.substr(0, equals);
    // The value of an option, which may be the next word.
    const auto value = [&] {
      if (equals != std::string::npos) return word.substr(equals + 1);
      if (i + 1 == words.size()) fail("{}: expected a value behind it", word);
      return words[++i];
    };
    if (word == "-o" || word == "-I" || word == "-D") {
      options.others.push_back(word);
      if (i + 1 < words.size()) options.others.push_back(words[++i]);
      continue;
    }
    refuse(word);
    if (contains(kIgnored, word)) {
      options.ignored.push_back(word);
    } else if (contains(kIgnoredWithValue, name)) {
      const std::string all = equals == std::string::npos ? word + ' ' + value() : word;
      options.ignored.push_back(all);
    } else if (word == "-G" || word == "--device-debug") {
      options.debug = true;
    } else if (name == "-Xcompiler" || name == "--compiler-options") {
      append_parts(options.compile_options, value());
    } else if (name == "-Xlinker" || name == "--linker-options") {
      std::vector<std::string> parts;
      append_parts(parts, value());
      for (const std::string& part : parts) options.link_options.insert(options.link_options.end(), {"-Xlinker", part});
    } else if (word == "-L" || word == "-l") {
      const std::string all = word + value();
      refuse(all);
      options.link_options.push_back(all);
    } else if (word.starts_with("-L") || word.starts_with("-l")) {
      options.link_options.push_back(word);
    } else if (word == "-isystem" || word == "-include" || word == "-U") {
      options.compile_options.insert(options.compile_options.end(), {word, value()});
    } else if (word.starts_with("-U") || word.starts_with("-W")) {
      options.compile_options.push_back(word);
    } else {
      options.others.push_back(word);
    }
  }
  // A host library that the compiler's option asks for, such as OpenMP's, is also linked.
  if (contains(options.compile_options, "-fopenmp")) options.link_options.emplace_back("-fopenmp");
  return options;
}

}  // namespace gradamp

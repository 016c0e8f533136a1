// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/missing_names.h"

#include <algorithm>
#include <cctype>
#include <fstream>
#include <iterator>
#include <regex>
#include <set>
#include <utility>

#include <fmt/ranges.h>

#include "gradamp/core/error.h"
#include "gradamp/tools/emulate/tokens.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

enum class NameKind { kRuntime, kIntrinsic, kHeader, kOther };

bool begins_with_upper(std::string_view name, std::string_view prefix) {
  return name.size() > prefix.size() && name.starts_with(prefix) &&
         std::isupper(static_cast<unsigned char>(name[prefix.size()])) != 0;
}

NameKind kind_of(std::string_view name) {
  if (name.ends_with(".h") || name.find('/') != std::string_view::npos) return NameKind::kHeader;
  if (begins_with_upper(name, "cuda")) return NameKind::kRuntime;
  const bool reserved = name.size() > 3 && name.starts_with("__") && std::islower(static_cast<unsigned char>(name[2]));
  if (reserved || begins_with_upper(name, "atomic")) return NameKind::kIntrinsic;
  return NameKind::kOther;
}

/// What a name belongs to that the emulator leaves out as a whole; "" for other names.
std::string_view left_out(std::string_view name) {
  static constexpr std::pair<std::string_view, std::string_view> kLeftOut[] = {
      {"cublas", "NVIDIA's library cuBLAS"},
      {"curand", "NVIDIA's library cuRAND"},
      {"cufft", "NVIDIA's library cuFFT"},
      {"cusparse", "NVIDIA's library cuSPARSE"},
      {"cudnn", "NVIDIA's library cuDNN"},
      {"cusolver", "NVIDIA's library cuSOLVER"},
      {"thrust", "NVIDIA's library Thrust"},
      {"cub", "NVIDIA's library CUB"},
      {"nccl", "NVIDIA's library NCCL"},
      {"tex", "textures"},
      {"surf", "surfaces"},
      {"grid_group", "groups of more than one block"},
      {"this_grid", "groups of more than one block"},
      {"cluster_group", "groups of more than one block"},
      {"this_cluster", "groups of more than one block"}};
  for (const auto& [beginning, what] : kLeftOut)
    if (name.starts_with(beginning)) return what;
  return "";
}

/// Other headers are the program's own.
bool is_cudas_header(std::string_view name) {
  static constexpr std::string_view kBeginnings[] = {
      "cuda",  "cu",     "thrust/", "cub/",   "nv",      "cooperative_groups",
      "mma.h", "helper", "sm_",     "device", "texture", "surface"};
  return std::any_of(std::begin(kBeginnings), std::end(kBeginnings),
                     [&](std::string_view beginning) { return name.starts_with(beginning); });
}

/// The functions and types of a kind that the emulator's headers have, and constants that begin as `missing` does.
std::set<std::string> names_of(NameKind kind, std::string_view missing, const fs::path& header_folder) {
  static constexpr std::string_view kCompilersNames[] = {"__builtin", "__attribute", "__asan", "__sanitizer",
                                                         "__start",   "__stop",      "__has",  "__tsan"};
  const std::string_view constants = missing.substr(0, 9);  // cudaError, cudaDevAt
  const fs::path emulation = header_folder / "gradamp/kernels/emulation", plain = emulation / "plain";
  std::set<std::string> names;
  for (const fs::path& folder : {emulation, plain}) {
    if (!fs::is_directory(folder)) continue;
    for (const fs::directory_entry& entry : fs::recursive_directory_iterator(folder)) {
      if (entry.path().extension() != ".h") continue;
      if (kind == NameKind::kHeader) {
        const std::string name = entry.path().lexically_relative(plain).generic_string();
        if (is_cudas_header(name)) names.insert(name);
        continue;
      }
      std::ifstream file(entry.path(), std::ios::binary);
      const std::string text{std::istreambuf_iterator<char>(file), {}};
      const std::vector<Token> tokens = tokens_of(text);
      for (std::size_t i = 0; i < tokens.size(); ++i) {
        const std::string_view name = tokens[i].text;
        const bool is_function = i + 1 < tokens.size() && tokens[i + 1].text == "(";
        if (tokens[i].kind != TokenKind::kName || kind_of(name) != kind) continue;
        if (!is_function && !name.ends_with("_t") && !name.starts_with(constants)) continue;
        if (std::any_of(std::begin(kCompilersNames), std::end(kCompilersNames),
                        [&](std::string_view beginning) { return name.starts_with(beginning); }))
          continue;
        names.emplace(name);
      }
    }
  }
  return names;
}

/// The number of letters at the beginning that both have.
std::size_t common_beginning(std::string_view a, std::string_view b) {
  return static_cast<std::size_t>(std::mismatch(a.begin(), a.end(), b.begin(), b.end()).first - a.begin());
}

/// The list in lines of up to 100 characters.
std::string as_lines(const std::vector<std::string>& names) {
  std::string text, line = "   ";
  for (const std::string& name : names) {
    if (line.size() + name.size() > 100) {
      text += line + "\n";
      line = "   ";
    }
    line += " " + name;
  }
  return text + line + "\n";
}

}  // namespace

std::vector<std::string> missing_names(std::string_view errors) {
  // GCC: 'x' was not declared in this scope; 'x' does not name a type; 'x' has not been declared; 'x' is not a member
  // of ...; Clang: use of undeclared identifier 'x'; unknown type name 'x'; no member named 'x'; both for headers.
  static const std::regex kPattern(
      "(?:undeclared identifier|unknown type name|no type named|no member named) ['‘]?(\\w+)"
      "|['‘]*(\\w+)['’]* (?:was not declared|does not name a type|has not been declared|is not a member of)"
      "|fatal error: '?([\\w./]+)'?(?:: No such file| file not found)");
  std::vector<std::string> names;
  const std::string text(errors);
  for (std::sregex_iterator match(text.begin(), text.end(), kPattern), end; match != end; ++match) {
    std::string name;
    for (std::size_t group = 1; group < match->size(); ++group)
      if ((*match)[group].matched) name = (*match)[group].str();
    const NameKind kind = kind_of(name);
    const bool ours =
        kind == NameKind::kHeader ? is_cudas_header(name) : kind != NameKind::kOther || !left_out(name).empty();
    if (ours && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  }
  return names;
}

std::string explain_missing_names(std::string_view errors, const fs::path& header_folder) {
  std::string text;
  std::set<NameKind> listed;
  for (const std::string& name : missing_names(errors)) {
    const NameKind kind = kind_of(name);
    if (kind == NameKind::kOther) {
      text += fmt::format("gradamp emulate: the emulator does not have {}: it leaves out {}\n", name, left_out(name));
      continue;
    }
    const std::set<std::string> all = names_of(kind, name, header_folder);
    std::vector<std::string> names(all.begin(), all.end());
    std::stable_sort(names.begin(), names.end(), [&](const std::string& a, const std::string& b) {
      return common_beginning(a, name) > common_beginning(b, name);
    });
    text += fmt::format("gradamp emulate: the emulator does not have {}", name);
    if (!listed.insert(kind).second) {
      text += "\n";
      continue;
    }
    const char* what = kind == NameKind::kHeader    ? "these headers of CUDA"
                       : kind == NameKind::kRuntime ? "these names of CUDA's runtime"
                                                    : "these intrinsics";
    text += fmt::format("; it has {}, the nearest first:\n{}", what, as_lines(names));
  }
  return text;
}

}  // namespace gradamp

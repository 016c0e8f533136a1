// SPDX-License-Identifier: MIT
#include "gradamp/tools/emulate/program_sources.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <string_view>

#include "gradamp/core/error.h"
#include "gradamp/tools/emulate/translation.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;

std::string read_source(const fs::path& path) {
  errno = 0;
  std::ifstream file(path, std::ios::binary);
  check(static_cast<bool>(file) && !fs::is_directory(path), "{}: cannot be read: {}", path.string(),
        std::strerror(errno != 0 ? errno : EISDIR));
  std::string text{std::istreambuf_iterator<char>(file), {}};
  constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
  if (text.starts_with(kByteOrderMark)) text.erase(0, kByteOrderMark.size());
  return text;
}

/// Whether the position is in an #include.
bool is_in_include(const std::string& text, std::size_t at) {
  const std::size_t line = text.rfind('\n', at) + 1, hash = text.find_first_not_of(" \t", line);
  return text[hash] == '#' && text.find("include", hash) < at;
}

}  // namespace

void ProgramSources::add(const fs::path& path) {
  const fs::path file = fs::weakly_canonical(path);
  if (texts_.contains(file)) return;
  const std::string& text = texts_[file] = read_source(path);
  templates_.merge(kernel_templates(text));
  for (const std::string& include : quoted_includes(text))
    if (const fs::path header = find(file.parent_path(), include); !header.empty()) {
      includes_[file][include] = fs::weakly_canonical(header);
      add(header);
    }
}

std::vector<fs::path> ProgramSources::files() const {
  std::vector<fs::path> files;
  for (const auto& [file, text] : texts_) files.push_back(file);
  return files;
}

std::map<fs::path, fs::path> ProgramSources::translate_into(const fs::path& folder) const {
  std::map<fs::path, fs::path> written;
  for (const auto& [file, text] : texts_) {  // with their own names, which debuggers and addr2line may show
    const fs::path own_folder = folder / std::to_string(written.size());
    fs::create_directory(own_folder);
    written[file] = own_folder / file.filename();
  }
  for (const auto& [file, text] : texts_) {
    std::string all = translate_cuda({file.string(), text}, templates_);
    if (const auto own = includes_.find(file); own != includes_.end())
      for (const auto& [include, header] : own->second) {
        const std::string quoted = '"' + include + '"', with = '"' + written[header].string() + '"';
        for (std::size_t at = all.find(quoted); at != std::string::npos; at = all.find(quoted, at + 1))
          if (is_in_include(all, at)) all.replace(at, quoted.size(), with);
      }
    std::ofstream stream(written[file], std::ios::binary);
    stream << "#line 1 \"" << file.string() << "\"\n" << all;
    check(static_cast<bool>(stream.flush()), "{}: cannot be written", written[file].string());
  }
  return written;
}

fs::path ProgramSources::find(const fs::path& folder, const std::string& include) const {
  if (fs::is_regular_file(folder / include)) return folder / include;
  for (const std::string& other : include_folders_)
    if (fs::is_regular_file(fs::path(other) / include)) return fs::path(other) / include;
  return {};
}

}  // namespace gradamp

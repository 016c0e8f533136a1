// SPDX-License-Identifier: MIT
#include "gradamp/data/files/archive_reader.h"

#include <utility>

#include "gradamp/core/error.h"

namespace gradamp {
namespace {

ArchiveReader& reader_of_process() {
  static ArchiveReader reader;
  return reader;
}

}  // namespace

void set_archive_reader(ArchiveReader reader) { reader_of_process() = std::move(reader); }

std::map<std::string, std::vector<std::uint8_t>> read_with_archive_reader(const std::filesystem::path& archive,
                                                                          const MemberLimit& wanted,
                                                                          FileSystem& file_system) {
  check(reader_of_process() != nullptr,
        "{}: expected a folder, since this program reads no archives; unpack it with tar -xzf", archive.string());
  return reader_of_process()(archive, wanted, file_system);
}

}  // namespace gradamp

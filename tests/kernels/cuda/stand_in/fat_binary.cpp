// SPDX-License-Identifier: MIT
#include "gradamp/tests/kernels/cuda/stand_in/fat_binary.h"

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <functional>

#include "gradamp/core/error.h"
#include "gradamp/tests/kernels/cuda/stand_in/devices.h"

namespace gradamp::stand_in {
namespace {

// No manual documents the layouts of a fat binary; cuobjdump --dump-elf agrees with the results of these functions.
constexpr std::uint32_t kFatMagic = 0xBA55ED50;
constexpr std::uint16_t kPtx = 1, kElf = 2;  // FatEntry::kind

struct FatWrapper {
  std::uint32_t magic, version;
  const char* data;
  const void* file;
};

struct FatHeader {
  std::uint32_t magic;
  std::uint16_t version, header_bytes;
  std::uint64_t bytes;
};

struct FatEntry {
  std::uint16_t kind, unused_1;
  std::uint32_t header_bytes;
  std::uint64_t bytes;
  std::uint32_t compressed_bytes, unused_2;
  std::uint16_t minor, major;
  std::uint32_t architecture;
};

// Attributes of a kernel in a binary's .nv.info sections: records of a format, an attribute, and a value or a size.
constexpr unsigned char kValueFormat = 4, kMaxThreads = 0x05, kRegisterCount = 0x2F;

class ElfFile {
 public:
  explicit ElfFile(const char* data)
      : data_(data), header_(at<Elf64_Ehdr>(0)), sections_(at<Elf64_Shdr>(header_->e_shoff)) {}

  const Elf64_Shdr* find(const std::string& name) const {
    const char* names = data_ + sections_[header_->e_shstrndx].sh_offset;
    for (int i = 0; i < header_->e_shnum; ++i)
      if (name == names + sections_[i].sh_name) return &sections_[i];
    return nullptr;
  }
  const char* bytes(const Elf64_Shdr& section) const { return data_ + section.sh_offset; }
  std::string symbol(std::uint32_t index) const {
    for (int i = 0; i < header_->e_shnum; ++i) {
      if (sections_[i].sh_type != SHT_SYMTAB) continue;
      const auto* symbols = at<Elf64_Sym>(sections_[i].sh_offset);
      return bytes(sections_[sections_[i].sh_link]) + symbols[index].st_name;
    }
    return {};
  }

 private:
  template <typename T>
  const T* at(std::uint64_t offset) const {
    return reinterpret_cast<const T*>(data_ + offset);
  }

  const char* data_;
  const Elf64_Ehdr* header_;
  const Elf64_Shdr* sections_;
};

using OnAttribute = std::function<void(unsigned char attribute, const std::uint32_t* words)>;

/// Calls `on_attribute` for each record with its own value.
void for_each_attribute(const ElfFile& file, const Elf64_Shdr* section, const OnAttribute& on_attribute) {
  if (section == nullptr) return;
  const char* record = file.bytes(*section);
  for (const char* end = record + section->sh_size; record + 4 <= end;) {
    const auto format = static_cast<unsigned char>(record[0]), attribute = static_cast<unsigned char>(record[1]);
    std::uint16_t size;
    std::memcpy(&size, record + 2, sizeof size);
    std::uint32_t words[2] = {};
    if (format == kValueFormat) {
      std::memcpy(words, record + 4, std::min<std::size_t>(size, sizeof words));
      on_attribute(attribute, words);
      record += size;
    }
    record += 4;
  }
}

}  // namespace

Module read_fat_binary(const void* wrapper) {
  const char* data = static_cast<const FatWrapper*>(wrapper)->data;
  const auto* header = reinterpret_cast<const FatHeader*>(data);
  check(header->magic == kFatMagic, "stand-in: expected a fat binary (magic {:#x}), found {:#x}", kFatMagic,
        header->magic);
  Module module;
  const char* at = data + header->header_bytes;
  for (const char* end = at + header->bytes; at < end;) {
    const auto* entry = reinterpret_cast<const FatEntry*>(at);
    if (entry->kind == kPtx || entry->kind == kElf)
      module.push_back({entry->kind == kPtx, static_cast<int>(entry->architecture), at + entry->header_bytes});
    at += entry->header_bytes + entry->bytes;
  }
  return module;
}

const Image* image_for(const Module& module, int architecture) {
  const Image* best = nullptr;
  const auto consider = [&](const Image& image) {
    if (image.architecture <= architecture && (!best || image.architecture > best->architecture)) best = &image;
  };
  for (const Image& image : module)
    if (!image.is_ptx && image.architecture / 10 == architecture / 10) consider(image);
  if (best) return best;
  for (const Image& image : module)
    if (image.is_ptx) consider(image);
  return best;
}

emulation::KernelFacts kernel_facts(const Image& binary, const std::string& kernel) {
  const ElfFile file(binary.data);
  check(file.find(".text." + kernel), "stand-in: the binary for sm_{} has no kernel {}", binary.architecture, kernel);
  emulation::KernelFacts facts;
  if (const Elf64_Shdr* shared = file.find(".nv.shared." + kernel)) {
    // From 9.0 on the section includes the driver's part.
    const std::size_t reserved = binary.architecture >= 90 ? kReservedSharedBytes : 0;
    facts.static_shared = shared->sh_size - std::min<std::size_t>(shared->sh_size, reserved);
  }
  for_each_attribute(file, file.find(".nv.info"), [&](unsigned char attribute, const std::uint32_t* words) {
    if (attribute == kRegisterCount && file.symbol(words[0]) == kernel) facts.registers = static_cast<int>(words[1]);
  });
  for_each_attribute(file, file.find(".nv.info." + kernel), [&](unsigned char attribute, const std::uint32_t* words) {
    if (attribute == kMaxThreads) facts.max_threads = words[0];  // the x extent; our blocks are one-dimensional
  });
  return facts;
}

}  // namespace gradamp::stand_in

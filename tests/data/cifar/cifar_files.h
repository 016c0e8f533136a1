// SPDX-License-Identifier: MIT
// Tiny CIFAR files for tests, made by a formula and not by the code under test.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include <fmt/format.h>

#include "gradamp/tests/data/download/archive_files.h"

namespace gradamp {

/// Contents by file name.
using Files = std::map<std::string, std::string>;

constexpr int kTinyTrain = 3;  // records per training file
constexpr int kTinyTest = 2;

/// The level of a pixel of record `record` of file `file` (the test file is number 6).
inline int tiny_level(int file, int record, int channel, int y, int x) {
  return (file * 37 + record * 91 + channel * 59 + y * 32 + x * 5) % 256;
}
inline int tiny_label(int file, int record) { return (file * 3 + record * 7) % 10; }
inline int tiny_fine(int file, int record) { return (file * 31 + record * 17) % 100; }
inline int tiny_coarse(int fine) { return (fine * 7 + 3) % 20; }

inline std::string tiny_planes(int file, int record) {
  std::string planes;
  for (int c = 0; c < 3; ++c) {
    for (int y = 0; y < 32; ++y) {
      for (int x = 0; x < 32; ++x) planes += static_cast<char>(tiny_level(file, record, c, y, x));
    }
  }
  return planes;
}

inline std::string numbered(const std::string& stem, int count) {
  std::string names;
  for (int i = 0; i < count; ++i) names += fmt::format("{}{}\n", stem, i);
  return names;
}

inline Files tiny_cifar10_binary() {
  const auto batch = [](int file, int records) {
    std::string bytes;
    for (int i = 0; i < records; ++i) bytes += static_cast<char>(tiny_label(file, i)) + tiny_planes(file, i);
    return bytes;
  };
  Files files;
  for (int file = 1; file <= 5; ++file) files[fmt::format("data_batch_{}.bin", file)] = batch(file, kTinyTrain);
  files["test_batch.bin"] = batch(6, kTinyTest);
  files["batches.meta.txt"] = numbered("class", 10) + "\n";  // the official one ends with an empty line, too
  return files;
}

inline Files tiny_cifar100_binary() {
  const auto batch = [](int file, int records) {
    std::string bytes;
    for (int i = 0; i < records; ++i) {
      const int fine = tiny_fine(file, i);
      bytes += std::string{static_cast<char>(tiny_coarse(fine)), static_cast<char>(fine)} + tiny_planes(file, i);
    }
    return bytes;
  };
  return {{"train.bin", batch(1, kTinyTrain)},
          {"test.bin", batch(6, kTinyTest)},
          {"fine_label_names.txt", numbered("fine", 100)},
          {"coarse_label_names.txt", numbered("coarse", 20)}};
}

/// Writes pickles, instruction by instruction, as Python 2's cPickle and numpy did for the official files (protocol 2),
/// or as Python 3 and numpy 2 do with the same protocol.
class PickleWriter {
 public:
  explicit PickleWriter(bool python3) : python3_(python3), out_("\x80\x02}q\x01(") {}

  void text(const std::string& value) {
    if (python3_) {
      out_ += 'X' + little_endian(value.size(), 4) + value;
    } else {
      out_ += 'U' + little_endian(value.size(), 1) + value;
    }
    memo();
  }
  void number(std::int64_t value) {
    if (value >= 0 && value < 256)
      out_ += 'K' + little_endian(static_cast<std::uint64_t>(value), 1);
    else if (value >= 0 && value < 65536)
      out_ += 'M' + little_endian(static_cast<std::uint64_t>(value), 2);
    else
      out_ += 'J' + little_endian(static_cast<std::uint64_t>(value), 4);
  }
  void numbers(const std::vector<std::int64_t>& values) {
    out_ += ']';
    memo();
    out_ += '(';
    for (const std::int64_t value : values) number(value);
    out_ += 'e';
  }
  void texts(const std::vector<std::string>& values) {
    out_ += ']';
    memo();
    out_ += '(';
    for (const std::string& value : values) text(value);
    out_ += 'e';
  }
  /// A (rows, columns) array of bytes.
  void array(std::int64_t rows, std::int64_t columns, const std::string& bytes, bool column_major = false) {
    out_ += python3_ ? "cnumpy._core.multiarray\n_reconstruct\n" : "cnumpy.core.multiarray\n_reconstruct\n";
    memo();
    out_ += "cnumpy\nndarray\n";
    memo();
    out_ += "K";
    out_ += "\0\x85"s;
    memo();
    python3_ ? latin1("b") : text("b");
    out_ += '\x87';
    memo();
    out_ += 'R';
    memo();
    out_ += "(K\x01";
    number(rows);
    number(columns);
    out_ += '\x86';
    memo();
    out_ += "cnumpy\ndtype\n";
    memo();
    text("u1");
    out_ += python3_ ? "\x89\x88\x87"s : "K\0K\1\x87"s;
    memo();
    out_ += "R";
    memo();
    out_ += "(K\x03";
    text("|");
    out_ += "NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0tb"s;
    out_ += column_major ? '\x88' : '\x89';
    if (python3_) {
      latin1(bytes);
    } else {
      out_ += 'T' + little_endian(bytes.size(), 4) + bytes;
      memo();
    }
    out_ += "tb";
  }
  /// Appends instructions unchanged.
  void raw(const std::string& bytes) { out_ += bytes; }
  std::string finish() const { return out_ + "u."; }

 private:
  static std::string little_endian(std::uint64_t value, int bytes) {
    std::string text;
    for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> (8 * i));
    return text;
  }
  void memo() {
    ++memo_;
    out_ += memo_ < 256 ? 'q' + little_endian(memo_, 1) : 'r' + little_endian(memo_, 4);
  }
  /// Bytes as Python 3 writes them with protocol 2: _codecs.encode(text, 'latin1').
  void latin1(const std::string& bytes) {
    out_ += "c_codecs\nencode\n";
    memo();
    std::string utf8;
    for (const char byte : bytes) {
      const auto code = static_cast<unsigned char>(byte);
      if (code < 0x80) {
        utf8 += byte;
      } else {
        utf8 += static_cast<char>(0xC0 | (code >> 6));
        utf8 += static_cast<char>(0x80 | (code & 0x3F));
      }
    }
    text(utf8);
    text("latin1");
    out_ += '\x86';
    memo();
    out_ += 'R';
    memo();
  }

  bool python3_;
  std::string out_;
  std::uint64_t memo_ = 1;
};

inline std::string tiny_names_pickle(bool python3, const std::map<std::string, std::vector<std::string>>& lists) {
  PickleWriter pickle(python3);
  for (const auto& [key, names] : lists) {
    pickle.text(key);
    pickle.texts(names);
  }
  pickle.text("num_vis");
  pickle.number(3072);
  return pickle.finish();
}

/// One file of the Python version: CIFAR-10's with "labels", CIFAR-100's with both other lists.
inline std::string tiny_batch_pickle(bool python3, int file, int records, bool cifar100, bool column_major = false) {
  std::vector<std::int64_t> labels, fine, coarse;
  std::vector<std::string> names;
  std::string data;
  for (int i = 0; i < records; ++i) {
    labels.push_back(tiny_label(file, i));
    fine.push_back(tiny_fine(file, i));
    coarse.push_back(tiny_coarse(tiny_fine(file, i)));
    names.push_back(fmt::format("image_s_{:06}.png", i));
    data += tiny_planes(file, i);
  }
  if (column_major) {
    std::string columns(data.size(), '\0');
    const auto rows = static_cast<std::size_t>(records);
    for (std::size_t i = 0; i < data.size(); ++i) columns[i % 3072 * rows + i / 3072] = data[i];
    data = columns;
  }
  PickleWriter pickle(python3);
  pickle.text("batch_label");
  pickle.text(fmt::format("training batch {} of 5", file));
  if (cifar100) {
    pickle.text("fine_labels");
    pickle.numbers(fine);
    pickle.text("coarse_labels");
    pickle.numbers(coarse);
  } else {
    pickle.text("labels");
    pickle.numbers(labels);
  }
  pickle.text("data");
  pickle.array(records, 3072, data, column_major);
  pickle.text("filenames");
  pickle.texts(names);
  return pickle.finish();
}

inline std::vector<std::string> name_list(const std::string& stem, int count) {
  std::vector<std::string> names;
  for (int i = 0; i < count; ++i) names.push_back(fmt::format("{}{}", stem, i));
  return names;
}

inline Files tiny_cifar10_python(bool python3) {
  Files files;
  for (int file = 1; file <= 5; ++file) {
    files[fmt::format("data_batch_{}", file)] = tiny_batch_pickle(python3, file, kTinyTrain, false);
  }
  files["test_batch"] = tiny_batch_pickle(python3, 6, kTinyTest, false);
  files["batches.meta"] = tiny_names_pickle(python3, {{"label_names", name_list("class", 10)}});
  return files;
}

inline Files tiny_cifar100_python(bool python3) {
  return {{"train", tiny_batch_pickle(python3, 1, kTinyTrain, true)},
          {"test", tiny_batch_pickle(python3, 6, kTinyTest, true)},
          {"meta", tiny_names_pickle(python3, {{"fine_label_names", name_list("fine", 100)},
                                               {"coarse_label_names", name_list("coarse", 20)}})}};
}

inline void write_files(const std::filesystem::path& folder, const Files& files) {
  for (const auto& [name, content] : files) write_text(folder / name, content);
}

/// A .tar.gz archive of a folder with the files.
inline std::string archive_of_files(const std::string& folder, const Files& files) {
  std::vector<TarEntry> entries{{folder + "/", "", '5', ""}};
  for (const auto& [name, content] : files) entries.push_back({folder + "/" + name, content, '0', ""});
  return make_gzip(make_tar(entries));
}

}  // namespace gradamp

// SPDX-License-Identifier: MIT
#include "gradamp/data/cifar/cifar.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <fmt/ranges.h>

#include "gradamp/core/command_name.h"
#include "gradamp/core/error.h"
#include "gradamp/data/cifar/pickle.h"
#include "gradamp/data/files/archive_reader.h"
#include "gradamp/data/files/durable_file.h"
#include "gradamp/data/files/partial_folder.h"
#include "gradamp/data/files/paths.h"

namespace gradamp {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::uint8_t>;

constexpr std::int64_t kPlane = kImageSide * kImageSide;
constexpr std::int64_t kMaxNamesBytes = 1 << 16;

/// The files of one version of one dataset.
struct Version {
  std::string folder;
  bool python = false;
  std::vector<std::string> train;
  std::string test;
  std::string names;         // of the classes
  std::string coarse_names;  // CIFAR-100's superclasses; the Python version keeps both in one file

  std::vector<std::string> files(const std::string& split) const {
    return split == "train" ? train : std::vector<std::string>{test};
  }
};

struct Family {
  std::string title;
  std::string fetch_name;   // as the command `data fetch` calls it
  std::int64_t labels = 1;  // per record
  std::array<Version, 2> versions;

  /// Whether `file` is the name of one of the files.
  bool has_file(const std::string& file) const {
    return std::any_of(versions.begin(), versions.end(), [&](const Version& version) {
      return file == version.test || file == version.names || file == version.coarse_names ||
             std::find(version.train.begin(), version.train.end(), file) != version.train.end();
    });
  }
};

Family cifar10_family() {
  Version binary{"cifar-10-batches-bin", false, {}, "test_batch.bin", "batches.meta.txt", ""};
  Version python{"cifar-10-batches-py", true, {}, "test_batch", "batches.meta", ""};
  for (int part = 1; part <= 5; ++part) {
    binary.train.push_back(fmt::format("data_batch_{}.bin", part));
    python.train.push_back(fmt::format("data_batch_{}", part));
  }
  return {"CIFAR-10", "cifar10", 1, {binary, python}};
}

Family cifar100_family() {
  return {
      "CIFAR-100",
      "cifar100",
      2,
      {Version{"cifar-100-binary", false, {"train.bin"}, "test.bin", "fine_label_names.txt", "coarse_label_names.txt"},
       Version{"cifar-100-python", true, {"train"}, "test", "meta", "meta"}}};
}

/// Bounds the size of a file before it is read: at most twice as long as it should be, and Python files of any
/// protocol.
std::int64_t max_bytes(const Family& family, const Version& version, const std::string& file, const CifarLayout& layout,
                       std::int64_t python_bytes_per_pixel) {
  if (file == version.names || file == version.coarse_names) return kMaxNamesBytes;
  const std::int64_t records = file == version.test ? layout.test_records : layout.train_records;
  if (!version.python) return 2 * records * (family.labels + kImageBytes) + 4096;
  constexpr std::int64_t kPerRecord = 1024, kPerFile = 1 << 20;  // labels and the images' names
  return records * (python_bytes_per_pixel * kImageBytes + kPerRecord) + kPerFile;
}

/// The source of the files: a folder, or an archive in memory.
struct Source {
  Version version;
  std::string where;
  std::function<std::optional<Bytes>(const std::string&)> find;  // nothing if the file is missing

  std::string name_of(const std::string& file) const { return (fs::path(where) / file).string(); }
  Bytes read(const std::string& file) const {
    std::optional<Bytes> bytes = find(file);
    check(bytes.has_value(), "{}: missing; a whole {} has {} and {}", name_of(file), version.folder,
          fmt::join(version.train, ", "), version.test);
    return std::move(*bytes);
  }
};

std::optional<Bytes> read_file(const fs::path& path, std::int64_t max_bytes, FileSystem& file_system) {
  std::optional<FileReader> file = FileReader::if_exists(path, file_system);
  if (!file) return std::nullopt;
  file->check_size(max_bytes);
  Bytes bytes(static_cast<std::size_t>(file->size()));
  file->read(std::as_writable_bytes(std::span(bytes)), 0);
  file->close();
  return bytes;
}

std::optional<Source> folder_source(const Family& family, const fs::path& path, const CifarLayout& layout,
                                    FileSystem& file_system) {
  constexpr std::int64_t kBytesPerPixel = 6;  // protocol 0 writes \u0000 for a zero
  for (const Version& version : family.versions) {
    for (const fs::path& folder : {path, path / version.folder}) {
      std::vector<std::string> files = version.train;
      files.push_back(version.test);
      const bool found = std::any_of(files.begin(), files.end(), [&](const std::string& file) {
        const std::optional<FileStatus> status = status_of(folder / file, file_system);
        return status && status->kind != FileKind::kFolder;
      });
      if (!found) continue;
      return Source{version, folder.string(), [=, &file_system](const std::string& file) {
                      return read_file(folder / file, max_bytes(family, version, file, layout, kBytesPerPixel),
                                       file_system);
                    }};
    }
  }
  return std::nullopt;
}

/// Reads the files that the split needs from an archive, whichever version it has.
std::optional<Source> archive_source(const Family& family, const fs::path& path, const std::string& split,
                                     const CifarLayout& layout, FileSystem& file_system) {
  constexpr std::int64_t kBytesPerPixel = 2;  // all files of a split are in memory at once
  const auto needs = [&](const Version& version, const std::string& file) {
    const std::vector<std::string> files = version.files(split);
    return file == version.names || file == version.coarse_names ||
           std::find(files.begin(), files.end(), file) != files.end();
  };
  const auto wanted = [&](const std::string& entry) -> std::optional<std::int64_t> {
    const std::string file = fs::path(entry).filename().string();
    for (const Version& version : family.versions) {
      if (needs(version, file)) return max_bytes(family, version, file, layout, kBytesPerPixel);
    }
    return std::nullopt;
  };
  std::map<std::string, Bytes> entries = read_with_archive_reader(path, wanted, file_system);
  auto files = std::make_shared<std::map<std::string, Bytes>>();
  for (auto& [entry, bytes] : entries) {
    const std::string file = fs::path(entry).filename().string();
    check(files->emplace(file, std::move(bytes)).second, "{}: holds {} in more than one folder", path.string(), file);
  }
  for (const Version& version : family.versions) {
    const std::vector<std::string> files_of_split = version.files(split);
    const bool found = std::any_of(files_of_split.begin(), files_of_split.end(),
                                   [&](const auto& file) { return files->contains(file); });
    if (!found) continue;
    return Source{version, path.string(), [files](const std::string& file) -> std::optional<Bytes> {
                    const auto entry = files->find(file);
                    if (entry == files->end()) return std::nullopt;
                    return std::move(entry->second);  // moved, since each file is read once
                  }};
  }
  return std::nullopt;
}

Source open_source(const Family& family, const fs::path& path, const std::string& split, const CifarLayout& layout,
                   FileSystem& file_system) {
  check(split == "train" || split == "test", "{}: expected the split train or test, got '{}'", family.title, split);
  const std::optional<FileStatus> status = status_of(path, file_system);
  check(status.has_value(), "{}: no such folder or archive{}; `{} data fetch --dataset {}` downloads {}", path.string(),
        path.string().starts_with("~") ? " (the shell replaces ~ only if it is not quoted)" : "", typed_command(),
        family.fetch_name, family.title);
  const bool is_folder = status->kind == FileKind::kFolder;
  const std::string file = path.filename().string();
  check(is_folder || (!family.has_file(file) && path.extension() != ".bin"),
        "{}: is a single file of {}; expected the folder that has all its files, or an archive of it", path.string(),
        family.title);
  std::optional<Source> source = is_folder ? folder_source(family, path, layout, file_system)
                                           : archive_source(family, path, split, layout, file_system);
  check(source.has_value(), "{}: no {} in it; expected {} or {} there; `{} data fetch --dataset {}` downloads it",
        path.string(), family.title, family.versions[0].files(split)[0], family.versions[1].files(split)[0],
        typed_command(), family.fetch_name);
  return std::move(*source);
}

/// The content of one file of either version: labels[k][i] is the k-th label of record i.
struct Records {
  std::vector<std::vector<std::int64_t>> labels;
  Bytes planes;  // (records, 3, 32, 32)
  std::int64_t count() const { return static_cast<std::int64_t>(labels[0].size()); }
};

/// The expected content of one file.
struct Expected {
  std::int64_t records = 0;
  bool allow_fewer = false;
  std::vector<int> classes;                // per label of a record
  std::vector<const char*> python_labels;  // their names in the Python version
};

Records read_binary(const Bytes& bytes, const std::string& name, const Expected& expected) {
  const auto labels = static_cast<std::int64_t>(expected.classes.size());
  const std::int64_t length = labels + kImageBytes;
  const auto size = static_cast<std::int64_t>(bytes.size());
  const std::int64_t records = size / length;
  const bool fits = records == expected.records || (expected.allow_fewer && records > 0 && records < expected.records);
  check(fits && size % length == 0, "{}: expected {}{} bytes ({} records of {}), got {} ({} whole records{})", name,
        expected.allow_fewer ? "at most " : "", expected.records * length, expected.records, length, size, records,
        size % length == 0 ? "" : fmt::format(" and {} bytes", size % length));
  Records result;
  result.labels.assign(expected.classes.size(), std::vector<std::int64_t>(static_cast<std::size_t>(records)));
  result.planes.resize(static_cast<std::size_t>(records * kImageBytes));
  for (std::int64_t i = 0; i < records; ++i) {
    const std::uint8_t* record = bytes.data() + i * length;
    for (auto& column : result.labels) column[static_cast<std::size_t>(i)] = *record++;
    std::copy_n(record, kImageBytes, result.planes.begin() + i * kImageBytes);
  }
  return result;
}

template <typename T>
const T* entry_at(const PickledDict& dict, const std::string& key) {
  const auto entry = dict.find(key);
  const auto* value = entry == dict.end() ? nullptr : std::get_if<std::shared_ptr<const T>>(&entry->second);
  return value == nullptr ? nullptr : value->get();
}

/// The integers in a list or an array for a key of a pickled dictionary.
std::vector<std::int64_t> integers_at(const PickledDict& dict, const std::string& key, const std::string& name) {
  std::vector<std::int64_t> integers;
  if (const auto* array = entry_at<PickledArray>(dict, key)) {
    const bool is_column = array->shape.size() == 2 && array->shape[1] == 1;
    check(array->shape.size() == 1 || is_column, "{}: expected '{}' of one dimension, got the shape ({})", name, key,
          fmt::join(array->shape, ", "));
    for (std::size_t i = 0; i < array->count(); ++i) integers.push_back(array->at(i));
    return integers;
  }
  const auto* list = entry_at<PickledList>(dict, key);
  check(list != nullptr, "{}: expected a list named '{}' in it, found none", name, key);
  for (const PickledScalar& label : *list) {
    const auto* number = std::get_if<std::int64_t>(&label);
    check(number != nullptr, "{}: expected numbers in '{}', got something else", name, key);
    integers.push_back(*number);
  }
  return integers;
}

Records read_python(const Bytes& bytes, const std::string& name, const Expected& expected) {
  const PickledDict dict = read_pickle(bytes, name);
  const auto* array = entry_at<PickledArray>(dict, "data");
  check(array != nullptr, "{}: expected an array named 'data' in it, found none", name);
  check(array->type.bytes == 1 && !array->type.is_signed,
        "{}: expected 'data' of unsigned bytes, got {}-byte integers{}", name, array->type.bytes,
        array->type.is_signed ? " with a sign" : "");
  const std::int64_t records = array->shape.empty() ? 0 : array->shape[0];
  const bool fits =
      array->shape.size() == 2 && array->shape[1] == kImageBytes &&
      (records == expected.records || (expected.allow_fewer && records > 0 && records < expected.records));
  check(fits, "{}: expected 'data' of {}{} records of {} bytes, got the shape ({})", name,
        expected.allow_fewer ? "at most " : "", expected.records, kImageBytes, fmt::join(array->shape, ", "));
  Records result;
  result.planes = array->bytes;
  for (const char* key : expected.python_labels) {
    const std::vector<std::int64_t>& column = result.labels.emplace_back(integers_at(dict, key, name));
    check(static_cast<std::int64_t>(column.size()) == records, "{}: expected {} numbers in '{}', got {}", name, records,
          key, column.size());
  }
  return result;
}

/// Error if a label is out of range, or a class has two different superclasses.
void check_labels(const Records& records, const std::string& name, const std::vector<int>& classes) {
  for (std::size_t k = 0; k < classes.size(); ++k) {
    for (std::size_t i = 0; i < records.labels[k].size(); ++i) {
      check(records.labels[k][i] >= 0 && records.labels[k][i] < classes[k],
            "{}: record {} has the {}label {}, expected 0 to {}; the file is damaged or of another format", name, i,
            classes.size() == 1 ? "" : (k == 0 ? "coarse " : "fine "), records.labels[k][i], classes[k] - 1);
    }
  }
  if (classes.size() < 2) return;
  std::vector<std::int64_t> coarse_of(static_cast<std::size_t>(classes[1]), -1);
  for (std::size_t i = 0; i < records.labels[1].size(); ++i) {
    std::int64_t& coarse = coarse_of[static_cast<std::size_t>(records.labels[1][i])];
    if (coarse < 0) coarse = records.labels[0][i];
    check(
        coarse == records.labels[0][i],
        "{}: record {} gives the fine label {} the coarse label {}, records before it gave it {}; the file is damaged",
        name, i, records.labels[1][i], records.labels[0][i], coarse);
  }
}

std::vector<std::string> read_class_names(const Source& source, const std::string& file, const std::string& key,
                                          int classes) {
  const std::optional<Bytes> found = source.find(file);
  check(found.has_value(), "{}: missing; it has the names of the {} classes", source.name_of(file), classes);
  const Bytes& bytes = *found;
  std::vector<std::string> names;
  if (source.version.python) {
    const PickledDict dict = read_pickle(bytes, source.name_of(file));
    const auto* list = entry_at<PickledList>(dict, key);
    check(list != nullptr, "{}: expected a list named '{}' in it, found none", source.name_of(file), key);
    for (const PickledScalar& entry : *list) {
      const auto* name = std::get_if<PickledText>(&entry);
      check(name != nullptr, "{}: expected names in '{}', got something else", source.name_of(file), key);
      names.push_back(**name);
    }
  } else {
    std::string name;
    for (const std::uint8_t byte : bytes) {
      if (byte != '\n') {
        if (byte != '\r') name += static_cast<char>(byte);
        continue;
      }
      if (!name.empty()) names.push_back(std::exchange(name, {}));
    }
    if (!name.empty()) names.push_back(name);
  }
  check(static_cast<int>(names.size()) == classes, "{}: expected the names of {} classes, got {}", source.name_of(file),
        classes, names.size());
  return names;
}

/// Appends records with their label `which` to a dataset; planes become interleaved pixels.
void append_records(Dataset& dataset, const Records& records, std::size_t which) {
  const std::size_t begin = dataset.images.size();
  dataset.images.resize(begin + records.planes.size());
  for (std::int64_t i = 0; i < records.count(); ++i) {
    const std::uint8_t* planes = records.planes.data() + i * kImageBytes;
    std::uint8_t* image = dataset.images.data() + begin + i * kImageBytes;
    for (std::int64_t pixel = 0; pixel < kPlane; ++pixel) {
      for (std::int64_t c = 0; c < kImageChannels; ++c) *image++ = planes[c * kPlane + pixel];
    }
  }
  for (const std::int64_t label : records.labels[which]) dataset.labels.push_back(static_cast<std::int32_t>(label));
  dataset.count += records.count();
}

/// Reads one file, if it exists, into the dataset.
bool append_file(Dataset& dataset, const Source& source, const std::string& file, const Expected& expected,
                 std::size_t which, bool may_be_missing) {
  std::optional<Bytes> bytes = may_be_missing ? source.find(file) : source.read(file);
  if (!bytes) return false;
  const std::string name = source.name_of(file);
  const Records records =
      source.version.python ? read_python(*bytes, name, expected) : read_binary(*bytes, name, expected);
  check_labels(records, name, expected.classes);
  append_records(dataset, records, which);
  return true;
}

/// Writes bytes by write_durably.
void write_file(const fs::path& path, std::span<const std::uint8_t> bytes) {
  const std::span<const std::byte> part = std::as_bytes(bytes);
  write_durably(path, {&part, 1}, Keep::kNothing);
}

/// Images [begin, begin + count) of a dataset as records of CIFAR-10's binary version.
Bytes cifar10_records(const Dataset& dataset, std::int64_t begin, std::int64_t count) {
  Bytes bytes;
  bytes.reserve(static_cast<std::size_t>(count * (1 + kImageBytes)));
  for (std::int64_t i = begin; i < begin + count; ++i) {
    bytes.push_back(static_cast<std::uint8_t>(dataset.labels[static_cast<std::size_t>(i)]));
    const std::uint8_t* image = dataset.images.data() + i * kImageBytes;
    for (std::int64_t c = 0; c < kImageChannels; ++c) {
      for (std::int64_t pixel = 0; pixel < kPlane; ++pixel) bytes.push_back(image[pixel * kImageChannels + c]);
    }
  }
  return bytes;
}

void write_cifar10_files(const fs::path& folder, const Dataset& train, const Dataset& test) {
  const Version version = cifar10_family().versions[0];
  const std::int64_t per_file = train.count / 5;
  for (std::int64_t part = 0; part < 5; ++part) {
    write_file(folder / version.train[static_cast<std::size_t>(part)],
               cifar10_records(train, part * per_file, per_file));
  }
  write_file(folder / version.test, cifar10_records(test, 0, test.count));
  const std::string names = fmt::format("{}\n", fmt::join(train.class_names, "\n"));
  write_file(folder / version.names, {reinterpret_cast<const std::uint8_t*>(names.data()), names.size()});
}

}  // namespace

Dataset load_cifar10(const fs::path& path, const std::string& split, const Cifar10Options& options,
                     FileSystem& file_system) {
  const Source source = open_source(cifar10_family(), path, split, options.layout, file_system);
  Dataset dataset;
  dataset.name = "cifar10";
  dataset.split = split;
  dataset.classes = 10;
  dataset.class_names = read_class_names(source, source.version.names, "label_names", 10);
  const bool train = split == "train";
  const Expected expected{
      train ? options.layout.train_records : options.layout.test_records, options.allow_partial, {10}, {"labels"}};
  const std::vector<std::string> files = source.version.files(split);
  for (const std::string& file : files) {
    append_file(dataset, source, file, expected, 0, options.allow_partial && file != files[0]);
  }
  return dataset;
}

Dataset load_cifar100(const fs::path& path, const std::string& split, const Cifar100Options& options,
                      FileSystem& file_system) {
  const Source source = open_source(cifar100_family(), path, split, options.layout, file_system);
  Dataset dataset;
  dataset.name = options.coarse ? "cifar100-coarse" : "cifar100";
  dataset.split = split;
  dataset.classes = options.coarse ? 20 : 100;
  dataset.class_names = read_class_names(source, options.coarse ? source.version.coarse_names : source.version.names,
                                         options.coarse ? "coarse_label_names" : "fine_label_names", dataset.classes);
  const bool train = split == "train";
  const Expected expected{train ? options.layout.train_records : options.layout.test_records,
                          options.allow_partial,
                          {20, 100},
                          {"coarse_labels", "fine_labels"}};
  append_file(dataset, source, source.version.files(split)[0], expected, options.coarse ? 0 : 1, false);
  return dataset;
}

void for_each_cifar_file(const fs::path& path, const std::string& dataset, const CifarFileUse& use,
                         FileSystem& file_system) {
  check(dataset == "cifar10" || dataset == "cifar100", "expected the dataset cifar10 or cifar100, got '{}'", dataset);
  const bool is_ten = dataset == "cifar10";
  const Family family = is_ten ? cifar10_family() : cifar100_family();
  for (const char* split : {"train", "test"}) {
    const Source source = open_source(family, path, split, is_ten ? kCifar10Layout : kCifar100Layout, file_system);
    std::vector<std::string> files = source.version.files(split);
    if (split == std::string("test")) {
      files.push_back(source.version.names);
      const std::string& coarse = source.version.coarse_names;
      if (!coarse.empty() && coarse != source.version.names) files.push_back(coarse);
    }
    for (const std::string& file : files)
      if (const std::optional<Bytes> content = source.find(file)) use(file, source.name_of(file), *content);
  }
}

void write_cifar10_layout(const fs::path& folder, const Dataset& train, const Dataset& test) {
  check_dataset(train);
  check_dataset(test);
  check(train.classes == 10 && test.class_names == train.class_names,
        "CIFAR-10's layout: expected the same 10 classes in both splits, got {} and {}", train.classes, test.classes);
  check_splits_agree(train, test);
  check(train.shape() == Shape{train.count, kImageSide, kImageSide, kImageChannels} && train.pixel_type() == DType::kU8,
        "CIFAR-10's layout: expected images of 32x32x3 u8, got {}x{}x{} {}", train.height, train.width, train.channels,
        name_of(train.pixel_type()));
  check(train.count > 0 && train.count % 5 == 0 && test.count > 0,
        "CIFAR-10's layout: expected a multiple of 5 training images and some test images, got {} and {}", train.count,
        test.count);
  check(is_free(folder), "{}: already there and not an empty folder; name another or remove it", folder.string());
  const fs::path target = folder.has_filename() ? folder : folder.parent_path();  // "shapes/" is "shapes"
  PartialFolder partial(target);
  write_cifar10_files(partial.path(), train, test);
  partial.rename_to_target();
}

}  // namespace gradamp

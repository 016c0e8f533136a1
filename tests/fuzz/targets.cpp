// SPDX-License-Identifier: MIT
#include "gradamp/tests/fuzz/targets.h"

#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <sstream>

#include "gradamp/data/cifar/cifar.h"
#include "gradamp/data/cifar/pickle.h"
#include "gradamp/data/download/archive.h"
#include "gradamp/data/files/event_file.h"
#include "gradamp/data/files/safetensors.h"
#include "gradamp/kernels/backends.h"
#include "gradamp/layers/layers.h"
#include "gradamp/optim/strategy.h"
#include "gradamp/optim/training/checkpoint.h"
#include "gradamp/tools/run/run_folder.h"
#include "gradamp/tools/settings/config_file.h"
#include "gradamp/tools/sweep/sweep.h"

namespace gradamp::test {
namespace {

namespace fs = std::filesystem;

void expect(bool holds, const char* what) {
  if (!holds) throw Contradiction(what);
}

/// Calls body(), which may end with an Error.
template <typename Body>
void read(const Body& body) {
  try {
    body();
  } catch (const Error&) {
  }
}

std::string text_of(FuzzInput input) { return {reinterpret_cast<const char*>(input.data()), input.size()}; }

/// A folder of this process, in memory where there is one, that is removed at the end.
class InputFolder {
 public:
  InputFolder() {
    const fs::path memory = "/dev/shm";
    std::error_code ignored;
    path_ = (fs::is_directory(memory, ignored) ? memory : fs::temp_directory_path()) /
            ("gradamp-fuzz-" + std::to_string(getpid()) + "-" + std::to_string(++count_));
    fs::create_directories(path_);
  }
  ~InputFolder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  InputFolder(const InputFolder&) = delete;
  InputFolder& operator=(const InputFolder&) = delete;

  fs::path operator/(const std::string& name) const { return path_ / name; }
  const fs::path& path() const { return path_; }
  fs::path write(const std::string& name, const std::string& text) const {
    fs::create_directories((path_ / name).parent_path());
    std::ofstream(path_ / name, std::ios::binary) << text;
    return path_ / name;
  }

 private:
  static inline int count_ = 0;
  fs::path path_;
};

void check_sizes(const TensorFile& file) {
  for (const TensorView& tensor : file.tensors())
    expect(static_cast<std::size_t>(tensor.shape.count()) * size_of(tensor.dtype) == tensor.bytes.size(),
           "a tensor has other bytes than its shape");
}

/// The whole file. What can be read can be written, and is then the same.
void safetensors(FuzzInput input) {
  static const InputFolder folder;
  const fs::path path = folder.write("file", text_of(input));
  read([&] {
    const TensorFile file = read_safetensors(path);
    check_sizes(file);
    try {
      write_safetensors(folder / "copy", file.tensors(), file.metadata(), Keep::kNothing);
    } catch (const Error&) {
      return;  // text that is not UTF-8, or a key that is ours
    }
    const TensorFile copy = read_safetensors(folder / "copy");
    expect(copy.metadata() == file.metadata() && copy.tensors().size() == file.tensors().size(),
           "a copy of the file differs");
  });
}

/// The header alone, behind a byte: the number of bytes of tensors.
void safetensors_header(FuzzInput input) {
  static const InputFolder folder;
  if (input.empty()) return;
  const std::string header = text_of(input.subspan(1));
  const std::uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  const fs::path path = folder.write("file", file + header + std::string(input[0], '\0'));
  read([&] { check_sizes(read_safetensors(path)); });
}

/// A small network with its optimizer, whose checkpoint has every kind of tensor.
struct SmallRun {
  std::unique_ptr<Backend> backend = make_backend({});
  StepState state = make_step_state(*backend, 1);
  Linear network{*backend, 3, 2};
  Optimizer optimizer{network, state, options()};

  CheckpointState checkpoint_state() { return {network, optimizer, state}; }
  static OptimizerOptions options() {
    OptimizerOptions options;
    options.strategy = parse_strategy("1:0.1, 3:0.1:2");
    return options;
  }
};

/// The metadata of a checkpoint, one value a line, with right checksums.
void checkpoint(FuzzInput input) {
  static const InputFolder folder;
  static SmallRun run;
  static const TensorFile good = [] {
    save_checkpoint(folder / "good", run.checkpoint_state(), true, "settings", real_file_system());
    return read_safetensors(folder / "good");
  }();
  std::map<std::string, std::string> metadata = good.metadata();
  std::istringstream lines(text_of(input));
  for (auto& [key, value] : metadata)
    if (std::string line; std::getline(lines, line) && line != "=") value = line;
  read([&] { write_safetensors(folder / "changed", good.tensors(), metadata, Keep::kNothing); });
  read([&] { CheckpointFile(folder / "changed", real_file_system()).restore(run.checkpoint_state()); });
  read([&] { CheckpointFile(folder / "changed", real_file_system()).restore_beginning(run.checkpoint_state()); });
}

/// A weights file of a network with a layer of 3 inputs and 2 outputs.
void weights(FuzzInput input) {
  static const InputFolder folder;
  static SmallRun run;
  const fs::path path = folder.write("weights", text_of(input));
  read([&] { load_weights(path, run.network); });
}

std::string lines_of_names(int count) {
  std::string text;
  for (int i = 0; i < count; ++i) text += "name" + std::to_string(i) + "\n";
  return text;
}

/// The first byte chooses the layout and the split.
void cifar(FuzzInput input) {
  static const InputFolder folder;
  if (input.empty()) return;
  const int choice = input[0] & 7;
  const std::string text = text_of(input.subspan(1)), half = text.substr(0, text.size() / 2);
  const std::string split = choice & 1 ? "train" : "test";
  Cifar10Options ten;
  ten.layout = {1, 1};
  ten.allow_partial = true;
  Cifar100Options hundred;
  hundred.layout = {1, 1};
  hundred.allow_partial = choice & 1;
  hundred.coarse = choice & 2;
  switch (choice >> 1) {
    case 0:
      folder.write("ten/batches.meta.txt", lines_of_names(10));
      folder.write("ten/data_batch_1.bin", half);
      folder.write("ten/test_batch.bin", text.substr(half.size()));
      return read([&] { load_cifar10(folder / "ten", split, ten); });
    case 1:
      folder.write("hundred/fine_label_names.txt", lines_of_names(100));
      folder.write("hundred/coarse_label_names.txt", lines_of_names(20));
      folder.write("hundred/train.bin", half);
      folder.write("hundred/test.bin", text.substr(half.size()));
      return read([&] { load_cifar100(folder / "hundred", split, hundred); });
    case 2:
      for (const char* name : {"data_batch_1", "test_batch", "batches.meta"})
        folder.write("python-ten/" + std::string(name), text);
      return read([&] { load_cifar10(folder / "python-ten", split, ten); });
    default:
      for (const char* name : {"train", "test", "meta"}) folder.write("python-hundred/" + std::string(name), text);
      return read([&] { load_cifar100(folder / "python-hundred", split, hundred); });
  }
}

void pickle(FuzzInput input) {
  read([&] { read_pickle(input, "input"); });
}

/// An archive of any kind. Nothing may be written outside the folder, and no more than the limit be kept.
void archive(FuzzInput input) {
  constexpr std::int64_t kLimit = 1 << 20;
  static const InputFolder folder;
  const fs::path path = folder.write("archive", text_of(input));
  read([&] {
    std::size_t total = 0;
    for (const auto& [name, bytes] : read_archive(
             path, [](const std::string&) { return true; }, kLimit)) {
      expect(!name.starts_with("/") && !name.starts_with(".."), "a member is outside the archive's folder");
      total += bytes.size();
    }
    expect(total <= kLimit, "more was read than the limit allows");
  });
  fs::create_directories(folder / "around/inside");
  read([&] { extract_archive(path, folder / "around/inside", kLimit); });
  const auto entries = fs::directory_iterator(folder / "around");
  expect(std::distance(begin(entries), end(entries)) == 1, "a file was written outside the folder");
  fs::remove_all(folder / "around");
}

void config(FuzzInput input) {
  const std::string text = text_of(input);
  for (const KeyScope scope : {KeyScope::kFile, KeyScope::kHeading}) {
    read([&] {
      std::istringstream file(text);
      for (const ConfigEntry& entry : read_config(file, "input", {"training", "data"}, scope).entries)
        expect(!entry.key.empty(), "an entry has no key");
    });
  }
}

void sweep(FuzzInput input) {
  read([&] {
    std::istringstream file(text_of(input));
    const std::vector<SweepCell> cells = read_sweep(file, "input");
    expect(!cells.empty(), "a sweep has no cells");
    shared_beginnings(cells);
  });
}

/// Behind the number of epochs to scale to and of epochs between two selections, 4 bytes each.
void strategy(FuzzInput input) {
  if (input.size() < 8) return;
  std::int32_t scaled_to = 0, reselect = 0;
  std::memcpy(&scaled_to, input.data(), 4);
  std::memcpy(&reselect, input.data() + 4, 4);
  read([&] {
    Strategy parsed = parse_strategy(text_of(input.subspan(8)));
    parsed.reselect_every = reselect;
    parsed.validate();
    expect(parse_strategy(to_string(parsed)).phases == parsed.phases, "a strategy's text has other phases");
    for (const int epoch : {1, parsed.epochs() / 2 + 1, parsed.epochs()}) parsed.plan(epoch);
    const Strategy scaled = parsed.scale_to(scaled_to);
    scaled.validate();
    expect(scaled.epochs() == scaled_to, "a scaled strategy has another number of epochs");
    scaled.plan(scaled_to);
  });
}

/// The first byte chooses one of a run's files, which gets the rest.
void run_folder(FuzzInput input) {
  static const char* const kFiles[] = {"config.json", "metrics.jsonl", "layers.jsonl", "summary.json",
                                       "measures.jsonl"};
  static const InputFolder folder;
  static const auto good = [] {
    RunSettings settings;
    settings.network = "resnet8";
    settings.device = "cpu";
    settings.epochs = 3;
    const RunFolder run = RunFolder::create(folder / "run", settings, "cpu", real_file_system());
    EpochSummary epoch;
    epoch.epoch = 1;
    epoch.epochs = 3;
    run.append(epoch);
    run.append(SelectionSummary{});
    run.append(MeasureSummary{1, 1, 0.5, {{}}});
    run.write_summary(run.read_outcome());
    std::map<std::string, std::string> texts;
    for (const char* name : kFiles) {
      std::ifstream file(folder / "run" / name);
      texts[name] = {std::istreambuf_iterator<char>(file), {}};
    }
    return texts;
  }();
  if (input.empty()) return;
  const std::string chosen = kFiles[input[0] % std::size(kFiles)];
  for (const auto& [name, text] : good) folder.write("run/" + name, name == chosen ? text_of(input.subspan(1)) : text);
  read([&] {
    const RunFolder run = RunFolder::open(folder / "run", real_file_system());
    read([&] { run.settings().validate(); });
    read([&] { run.read_outcome(); });
    read([&] { run.summarized_epochs(); });
    read([&] { run.trim_logs(2, 2); });
  });
}

/// An event file behind a byte: the last step to keep. If the byte is odd, the input is records with a length of one
/// byte, to which right checksums are added.
void event_file(FuzzInput input) {
  static const InputFolder folder;
  if (input.empty()) return;
  const int last_step = input[0] / 16;
  std::string text = text_of(input.subspan(1));
  if (input[0] & 1) {
    std::string records;
    const auto append = [&](const std::string& bytes) {
      const std::uint32_t sum = masked_crc32c(std::as_bytes(std::span(bytes)));
      records += bytes;
      records.append(reinterpret_cast<const char*>(&sum), sizeof(sum));
    };
    for (std::size_t at = 0; at < text.size();) {
      const std::uint64_t length = std::min<std::size_t>(static_cast<std::uint8_t>(text[at]), text.size() - at - 1);
      append({reinterpret_cast<const char*>(&length), sizeof(length)});
      append(text.substr(at + 1, length));
      at += 1 + length;
    }
    text = records;
  }
  const fs::path path = folder.write("events", text);
  read([&] { EventFile::trim(path, last_step); });
  read([&] {
    const Scalar scalar{"loss", 1.5};
    EventFile::append(path, 3, 1.0, {&scalar, 1});
  });
}

}  // namespace

const std::vector<FuzzTarget>& fuzz_targets() {
  static const std::vector<FuzzTarget> targets = {{"archive", archive},
                                                  {"checkpoint", checkpoint},
                                                  {"cifar", cifar},
                                                  {"config", config},
                                                  {"event_file", event_file},
                                                  {"pickle", pickle},
                                                  {"run_folder", run_folder},
                                                  {"safetensors", safetensors},
                                                  {"safetensors_header", safetensors_header},
                                                  {"strategy", strategy},
                                                  {"sweep", sweep},
                                                  {"weights", weights}};
  return targets;
}

}  // namespace gradamp::test

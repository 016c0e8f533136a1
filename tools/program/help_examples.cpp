// SPDX-License-Identifier: MIT
#include "gradamp/tools/program/help_examples.h"

#include <string>
#include <utility>
#include <vector>

#include "gradamp/core/command_name.h"

namespace gradamp {
namespace {

/// The words of a command, and examples without the program's name. {program} stands for that name.
using Examples = std::vector<std::string>;
const std::vector<std::pair<std::string, Examples>>& all_examples() {
  static const std::vector<std::pair<std::string, Examples>> kExamples = {
      {"",
       {"train --network resnet8", "data fetch --dataset cifar10", "sweep cifar10-small --jobs 2",
        "report sweeps/cifar10-small"}},
      {"train",
       {"train --network resnet8 --epochs 10", "train --dataset cifar10 --strategy params_1",
        "train --strategy '5:0.1, 12:0.1:2, 15:0.01' --threshold 1.3", "train --config run.toml --seed 2",
        "train --resume last", "train --resume runs/mine --epochs 20",
        "train --slurm --ranks 4 --shards 8 --run-folder runs/mine"}},
      {"evaluate",
       {"evaluate --run runs/mine", "evaluate --run runs/mine --best",
        "evaluate --weights model.safetensors --network resnet20"}},
      {"predict", {"predict runs/mine cat.png dog.jpg", "predict runs/mine --json cat.png"}},
      {"sweep",
       {"sweep cifar10-small --dry-run", "sweep cifar10-small --jobs 2 --keep weights",
        "sweep cifar10-small --print > own.toml", "sweep own.toml --status", "sweep own.toml -- mpirun -n 2"}},
      {"report", {"report sweeps/cifar10-small", "report runs/one runs/other --out compared"}},
      {"runs", {"runs", "runs sweeps/cifar10-small --json", "runs compare runs/one runs/other"}},
      {"runs compare", {"runs compare runs/one runs/other"}},
      {"runs rm", {"runs rm runs/one runs/other"}},
      {"data", {"data fetch --dataset cifar10", "data verify cifar-10-binary.tar.gz"}},
      {"data fetch", {"data fetch --dataset cifar100", "data fetch --dest data --kind python"}},
      {"data make", {"data make --dest shapes --seed 2"}},
      {"data verify", {"data verify cifar-100-binary --dataset cifar100"}},
      {"info", {"info", "info --check", "info --settings"}},
      {"emulate", {"emulate program.cu", "emulate --race program.cu -- argument"}},
      {"completion", {"completion bash > ~/.local/share/bash-completion/completions/{program}"}},
      {"help", {"help train", "help data fetch"}},
  };
  return kExamples;
}

void add_to(CLI::App& command, const std::string& words) {
  for (const auto& [name, examples] : all_examples()) {
    if (name != words) continue;
    std::string text = command.get_footer();
    text += text.empty() ? "Examples:" : "\n\nExamples:";
    for (const std::string& example : examples) text += "\n  " + typed_command() + " " + with_command_name(example);
    command.footer(text);
  }
  for (CLI::App* below : command.get_subcommands({}))
    add_to(*below, words.empty() ? below->get_name() : words + " " + below->get_name());
}

}  // namespace

void add_examples(CLI::App& app) { add_to(app, ""); }

}  // namespace gradamp

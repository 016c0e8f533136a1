#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh clone to a first experiment: installs missing packages (Debian, Ubuntu), builds the program (about three
# minutes on 2 cores, two more with the CUDA toolkit), and trains resnet8 on the synthetic dataset, with and without
# gradient amplification from one beginning, with three seeds (quickstart.toml; about two minutes on 2 cores).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/packages.sh"
case ${1:-} in -h | --help) print_header "$0" && exit ;; esac

install_packages $packages
build_gradamp "$root/build" gradamp -DCMAKE_BUILD_TYPE=Release
cd "$root"

folder="sweeps/quickstart-$(date +%Y%m%d-%H%M%S)"
echo "Training resnet8 with and without gradient amplification, three seeds each (tools/quickstart.toml):"
jobs=$(nproc)
build/gradamp sweep tools/quickstart.toml --folder "$folder" --jobs $((jobs < 6 ? jobs : 6))

# The answer: the report prints it in a sentence per dataset.
echo
build/gradamp report "$folder" ||
  echo "There is no report, for the reason above; the runs are there, and \`build/gradamp report $folder\` can be repeated."

cat <<TEXT

What was done: in an analyzed epoch G' measures, per layer, how steadily each weight's gradient keeps its sign (0: it
oscillates; 1: it never changes). Then the updates of the layers with the highest G' were doubled ("amplified").

What to run next, from $root:
  build/gradamp runs $folder
                                  # every run: recipe, epochs, accuracy
  build/gradamp data fetch --dataset cifar10
                                  # the real CIFAR-10 (170 MB), then the same question in earnest, about an hour:
  build/gradamp sweep cifar10-small --jobs 2 && build/gradamp report sweeps/cifar10-small
  build/gradamp help train        # every setting, its default and unit
  tools/examples/own_network      # your own network in the whole program: sweeps, resumption and reports
TEXT

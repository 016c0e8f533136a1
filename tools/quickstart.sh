#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# From a fresh clone to a trained network: installs missing packages (Debian, Ubuntu), builds the program (about three
# minutes on 2 cores, two more with the CUDA toolkit), and trains resnet8 on the synthetic dataset with a short
# amplification strategy (about one minute).
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/packages.sh"
case ${1:-} in -h | --help) print_header "$0" && exit ;; esac

install_packages $packages
build_gradamp "$root/build" gradamp -DCMAKE_BUILD_TYPE=Release
gradamp="$root/build/gradamp"

run="$root/runs/quickstart-$(date +%Y%m%d-%H%M%S)"
"$gradamp" train --network resnet8 --dataset synthetic --strategy params_1 --epochs 16 \
  --measure g-prime --case 1 --threshold 1.0 --run-folder "$run"

cat <<TEXT

What to run next, from $root:
  build/gradamp info                                          # networks, devices, versions
  build/gradamp train --help                                  # every setting, its default and unit
  build/gradamp train --network resnet20 --epochs 10          # a network without amplification, on the synthetic dataset
  build/gradamp data fetch --dataset cifar10                  # the real CIFAR-10 (170 MB), then:
  build/gradamp train --network resnet20 --dataset cifar10 --strategy params_1 --epochs 15
The run is in ${run#"$root"/}: metrics.jsonl (a line an epoch), layers.jsonl (G, G' and selection of every layer),
checkpoint.safetensors (PyTorch's names and layouts).
TEXT

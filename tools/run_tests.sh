#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs what is missing (Debian, Ubuntu), builds, and runs every test. A second run builds only what changed.
#   tools/run_tests.sh                 the release build, in build/
#   tools/run_tests.sh --sanitize      with AddressSanitizer and UndefinedBehaviorSanitizer, in build-sanitize/
#   tools/run_tests.sh --race          the CUDA kernels under the emulator's race checker, in build-race/
# Further arguments go to ctest: tools/run_tests.sh -R 'Conformance.*emulated'
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/packages.sh"
case ${1:-} in -h | --help) print_header "$0" && exit ;; esac

folder="$root/build"
options=(-DCMAKE_BUILD_TYPE=Release)
selection=()
if [ "${1:-}" = --sanitize ]; then
  shift
  folder="$root/build-sanitize"
  options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DGRADAMP_SANITIZE=address,undefined -DGRADAMP_CUDA=OFF -DGRADAMP_BENCH=OFF)
  # oneDNN's generated code and OpenMP's threads outlive main; leaks of ours are still told by the exact frees.
  export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=0} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
elif [ "${1:-}" = --race ]; then
  shift
  folder="$root/build-race"
  options=(-DCMAKE_BUILD_TYPE=Release -DGRADAMP_RACE_CHECK=ON -DGRADAMP_CUDA=OFF -DGRADAMP_BENCH=OFF)
  selection=(-R 'emulated|[Rr]ace')
fi
install_packages $packages $test_packages
build_gradamp "$folder" all "${options[@]}"
ctest --test-dir "$folder" --output-on-failure --no-tests=error "${selection[@]}" "$@"

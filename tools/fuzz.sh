#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fuzzes the readers of files and texts (tests/fuzz/targets.h) with libFuzzer, AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer. Needs clang with its runtime (Debian: clang and libclang-rt-14-dev).
#   tools/fuzz.sh                        every target for a minute, in build-fuzz/
#   tools/fuzz.sh [--minutes N] [--inputs N] [TARGET ...]    no longer than this time and number of inputs per target
# An input may take 10 seconds, of the sweep a minute: 100,000 cells, the most, take 40 seconds under the sanitizers.
# A finding ends its target; the input is in build-fuzz/findings/. Inputs that reached new code are kept in
# build-fuzz/corpus/ for the next time. Ends with 1 if there was a finding.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/packages.sh"

minutes=1
inputs=0 # no limit
while :; do
  case ${1:-} in
    -h | --help) print_header "$0" && exit ;;
    --minutes | --inputs)
      [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || { echo "$1: expected a whole number from 1, got '${2:-}'" >&2 && exit 2; }
      printf -v "${1#--}" %s "$2"
      shift 2
      ;;
    *) break ;;
  esac
done

install_packages $packages
install_packages clang libclang-rt-14-dev || echo "Could not install clang" >&2
folder="$root/build-fuzz"
build_gradamp "$folder" all -DCMAKE_BUILD_TYPE=RelWithDebInfo -DCMAKE_CXX_COMPILER="${CXX:-clang++}" -DGRADAMP_FUZZ=ON \
  -DGRADAMP_SANITIZE=fuzzer-no-link,address,undefined -DGRADAMP_CUDA=OFF -DGRADAMP_TESTS=OFF -DGRADAMP_BENCH=OFF
targets=("$@")
[ $# -gt 0 ] || targets=($(ls "$root/tests/fuzz/corpus"))
mkdir -p "$folder/findings"
found=0
for target in "${targets[@]}"; do
  mkdir -p "$folder/corpus/$target"
  echo "$target"
  seconds=$([ "$target" = sweep ] && echo 60 || echo 10)
  "$folder/tests/fuzz/libfuzzer/fuzz_$target" -max_total_time=$((60 * minutes)) \
    $([ "$inputs" = 0 ] || echo "-runs=$inputs") -timeout=$seconds -rss_limit_mb=1024 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="$folder/findings/$target-" "$folder/corpus/$target" \
    "$root/tests/fuzz/corpus/$target" > "$folder/$target.log" 2>&1 || { found=1 && tail -30 "$folder/$target.log"; }
  grep -E "stat::number_of_executed_units|stat::peak_rss_mb" "$folder/$target.log" || true
  grep -oE "cov: [0-9]+" "$folder/$target.log" | tail -1 || true
done
exit $found

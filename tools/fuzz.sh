#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Fuzzes the readers of files and texts (tests/fuzz/targets.h) with libFuzzer, AddressSanitizer, LeakSanitizer and
# UndefinedBehaviorSanitizer. Needs clang with its runtime (Debian: clang and libclang-rt-14-dev).
#   tools/fuzz.sh                        every target for a minute, in build-fuzz/
#   tools/fuzz.sh --minutes N [TARGET ...]
# A finding ends its target; the input is in build-fuzz/findings/. Inputs that reached new code are kept in
# build-fuzz/corpus/ for the next time. Ends with 1 if there was a finding.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/packages.sh"

minutes=1
case ${1:-} in
  -h | --help) print_header "$0" && exit ;;
  --minutes) minutes=${2:-} && shift 2 ;;
esac
[[ $minutes =~ ^[1-9][0-9]*$ ]] || { echo "--minutes: expected a whole number from 1, got '$minutes'" >&2 && exit 2; }

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
  "$folder/tests/fuzz/libfuzzer/fuzz_$target" -max_total_time=$((60 * minutes)) -timeout=10 -rss_limit_mb=1024 \
    -max_len=65536 -print_final_stats=1 -artifact_prefix="$folder/findings/$target-" "$folder/corpus/$target" \
    "$root/tests/fuzz/corpus/$target" > "$folder/$target.log" 2>&1 || { found=1 && tail -30 "$folder/$target.log"; }
  grep -E "stat::number_of_executed_units|stat::peak_rss_mb" "$folder/$target.log" || true
  grep -oE "cov: [0-9]+" "$folder/$target.log" | tail -1 || true
done
exit $found

#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Checks and measures everything on a machine with a GPU, and writes a report.
#   tools/gpu_check.sh                          every part
#   tools/gpu_check.sh tests sanitize           these parts; others are left in the report as they were
# Parts, each within 8 minutes on 16 cores:
#   build         for the GPUs of this machine
#   tests         every test on the device cuda
#   sanitize      compute-sanitizer's memcheck, racecheck, initcheck and synccheck over the kernels' small cases
#   convolutions  ours beside cuDNN at every layer shape of ResNet-18, ResNet-50 and VGG-19
#   kernels       what lies between the convolutions, and the optimizer, beside a copy
#   step          whole training steps, plain and analysed
#   training      a short training of each network, and the same one twice
#   pytorch       training throughput beside PyTorch, where it is there
# Options:
#   --report FOLDER     for report.md, report.json, logs and data; default: gpu-report in the build folder
#   --build FOLDER      default: build
#   --data PATH         a copy of CIFAR-10 to train on; without it, the made dataset
#   --jobs N            processes at once; default: the number of cores
#   --limit SECONDS     of a part; default: 480
#   --device emulated   goes through everything without a GPU on tiny sizes, to see that the script works
# From the environment: GPU_CHECK_FILTER narrows tests and sanitize to names (as --gtest_filter), GRADAMP_PYTHON is the
# Python that has PyTorch, GRADAMP_COMPUTE_SANITIZER another sanitizer, GRADAMP_COMMIT what the report calls the commit.
# Exits with 1 where a check fails or could not be run.
set -euo pipefail
self=$(cd "$(dirname "$0")" && pwd)/$(basename "$0")
root=$(cd "$(dirname "$self")/.." && pwd)
all_parts="build tests sanitize convolutions kernels step training pytorch"

# Settings are in the environment, so that a part, which runs in a process of its own, has them too.
export GPU_CHECK_DEVICE=${GPU_CHECK_DEVICE:-cuda} GPU_CHECK_BUILD=${GPU_CHECK_BUILD:-$root/build}
export GPU_CHECK_REPORT=${GPU_CHECK_REPORT:-} GPU_CHECK_DATA=${GPU_CHECK_DATA:-}
export GPU_CHECK_JOBS=${GPU_CHECK_JOBS:-$(nproc)} GPU_CHECK_LIMIT=${GPU_CHECK_LIMIT:-480}
cuda_bin=${CUDA_PATH:-/usr/local/cuda}/bin
sanitizer=${GRADAMP_COMPUTE_SANITIZER:-compute-sanitizer}
command -v "$sanitizer" >/dev/null || [ ! -x "$cuda_bin/$sanitizer" ] || sanitizer=$cuda_bin/$sanitizer
python=${GRADAMP_PYTHON:-python3}

usage() { sed -n '3,/^set /{/^set /d;s/^# \{0,1\}//;p}' "$self"; }
wrong_usage() {
  echo "gpu_check.sh: $1 (--help shows what there is)" >&2
  exit 2
}

# ---- Checks ----

# record NAME STATUS SECONDS MESSAGE: a line of the report. STATUS is passed, failed or skipped.
record() {
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$(printf '%s' "$4" | tr '\t\n' '  ' | cut -c1-300)" >>"$checks"
  printf '  %-8s %s (%s s)%s\n' "$2" "$1" "$3" "${4:+: $4}"
}

# reason CODE LIMIT LOG: why a command failed.
reason() {
  case $1 in
    124 | 137) echo "took longer than $2 s, or was killed" ;;
    *) echo "exit code $1: $(grep -v '^\s*$' "$3" | tail -n 1 | cut -c1-200)" ;;
  esac
}

# seconds_left LIMIT: LIMIT, or what is left of the part's time where that is less.
seconds_left() {
  local left=$((GPU_CHECK_LIMIT - SECONDS)) # which counts from the start of this process, the part's
  [ "$left" -ge 1 ] || left=1
  echo $((left < $1 ? left : $1))
}

step_output=
# step NAME LIMIT COMMAND...: a check that passes where the command exits with 0 within LIMIT seconds. Its output goes
# to a log of its own; the file step_output, where it is set, gets its standard output.
step() {
  local name=$1 limit start=$SECONDS code=0
  limit=$(seconds_left "$2")
  local log=$logs/$part-${name//[^A-Za-z0-9_.-]/-}.log
  shift 2
  printf '%q ' "$@" >"$log"
  echo >>"$log"
  if [ -n "$step_output" ]; then
    timeout --kill-after=10 "$limit" "$@" >"$step_output" 2>>"$log" || code=$?
  else
    timeout --kill-after=10 "$limit" "$@" >>"$log" 2>&1 || code=$?
  fi
  if [ "$code" = 0 ]; then
    record "$name" passed $((SECONDS - start)) ""
  else
    record "$name" failed $((SECONDS - start)) "$(reason "$code" "$limit" "$log")"
    tail -n 15 "$log" | sed 's/^/    | /'
    return 1
  fi
}

# tests_in PROGRAM FILTER: how many tests there are.
tests_in() { "$1" --gtest_list_tests --gtest_filter="$2" 2>/dev/null | grep -c '^  ' || true; }

# sharded NAME LIMIT SHARDS PROGRAM FILTER [WRAPPER...]: a check that PROGRAM's tests pass, run by several processes.
sharded() {
  local name=$1 limit shards=$3 program=$4 filter=$5 start=$SECONDS count i code=0 failed="" passed skipped
  limit=$(seconds_left "$2")
  shift 5
  count=$(tests_in "$program" "$filter")
  [ "$shards" -le "$count" ] || shards=$count
  local pids=()
  for ((i = 0; i < shards; ++i)); do
    GTEST_TOTAL_SHARDS=$shards GTEST_SHARD_INDEX=$i OMP_NUM_THREADS=2 OMP_WAIT_POLICY=passive \
      timeout --kill-after=10 "$limit" "$@" "$program" --gtest_filter="$filter" >"$logs/$part-$name-$i.log" 2>&1 &
    pids+=($!)
  done
  for ((i = 0; i < shards; ++i)); do
    code=0
    wait "${pids[$i]}" || code=$?
    [ "$code" = 0 ] || failed+="${failed:+; }shard $i: $(reason "$code" "$limit" "$logs/$part-$name-$i.log")"
  done
  passed=$(cat "$logs/$part-$name"-[0-9]*.log 2>/dev/null | grep -c '^\[       OK \].* ms)' || true)
  skipped=$(cat "$logs/$part-$name"-[0-9]*.log 2>/dev/null | grep -c '^\[  SKIPPED \].* ms)' || true)
  if [ -z "$failed" ] && [ $((passed + skipped)) != "$count" ]; then failed="the others did not end"; fi
  if [ -z "$failed" ] && [ "$passed" = 0 ]; then failed="none ran"; fi
  if [ -n "$failed" ]; then
    record "$name" failed $((SECONDS - start)) "$passed of $count tests passed; $failed"
    grep -hE '^\[  FAILED  \]|^=========.*(ERROR|Error|hazard)' "$logs/$part-$name"-[0-9]*.log |
      sort | uniq -c | sed -n '1,20s/^/    |/p' || true
  else
    record "$name" passed $((SECONDS - start)) "$passed tests$([ "$skipped" = 0 ] || echo ", $skipped do not apply")"
  fi
  sharded_tests=$((sharded_tests + passed))
}
sharded_tests=0

# program NAME: of the build; a failed check where it is not there.
program() {
  [ -x "$GPU_CHECK_BUILD/$1" ] && return
  record "$1" failed 0 "not in $GPU_CHECK_BUILD: run the part build first, or name its folder with --build"
  return 1
}

is_dry() { [ "$GPU_CHECK_DEVICE" != cuda ]; }

# ---- Parts ----

part_build() {
  local options=(-DCMAKE_BUILD_TYPE=Release)
  if ! is_dry; then
    if ! command -v nvcc >/dev/null && ! [ -x "$cuda_bin/nvcc" ]; then
      record nvcc failed 0 "not on PATH, nor below CUDA_PATH or /usr/local/cuda: install the CUDA toolkit"
      return 0
    fi
    options+=(-DGRADAMP_CUDA=ON)
  fi
  # Where packages cannot be installed, the build may find what it needs all the same, or say what it lacks.
  timeout 40 bash -c '. "$0/tools/packages.sh"; install_packages $packages' "$root" ||
    echo "  (packages could not be installed; trying without)"
  step configure 120 cmake -G Ninja -S "$root" -B "$GPU_CHECK_BUILD" "${options[@]}"
  step compile "$GPU_CHECK_LIMIT" cmake --build "$GPU_CHECK_BUILD" -j "$GPU_CHECK_JOBS"
}

part_tests() {
  local programs=() each filter=${GPU_CHECK_FILTER:-*$GPU_CHECK_DEVICE*}
  mapfile -t programs < <(find "$GPU_CHECK_BUILD" -maxdepth 3 -name '*_tests' -type f -perm -u+x | sort)
  for each in "${programs[@]}"; do
    [ "$(tests_in "$each" "$filter")" = 0 ] ||
      sharded "$(basename "$each")" "$GPU_CHECK_LIMIT" "$GPU_CHECK_JOBS" "$each" "$filter"
  done
  [ "$sharded_tests" -gt 0 ] ||
    record tests failed 0 "no test passed on the device $GPU_CHECK_DEVICE: was it built, and can it be used?"
}

part_sanitize() {
  program tests/kernels_tests || return 0
  if ! command -v "$sanitizer" >/dev/null; then
    record compute-sanitizer failed 0 "not on PATH, nor in $cuda_bin: it comes with the CUDA toolkit"
    return 0
  fi
  local filter=${GPU_CHECK_FILTER:-*Conformance.*$GPU_CHECK_DEVICE*} tool pids=() shards=$(((GPU_CHECK_JOBS + 3) / 4))
  for tool in memcheck racecheck initcheck synccheck; do
    sharded "$tool" "$GPU_CHECK_LIMIT" "$shards" "$GPU_CHECK_BUILD/tests/kernels_tests" "$filter" \
      "$sanitizer" --tool "$tool" --error-exitcode 99 --print-limit 20 &
    pids+=($!)
  done
  wait "${pids[@]}"
}

# benchmark NAME LIMIT PROGRAM OPTION...: its results go to data/NAME.json.
benchmark() {
  local name=$1 limit=$2 file=$3
  shift 3
  program "bench/$file" || return 0
  is_dry && set -- "$@" --quick
  rm -f "$data/$name.json"
  step "$name" "$limit" "$GPU_CHECK_BUILD/bench/$file" --device "$GPU_CHECK_DEVICE" "$@" \
    --benchmark_out="$data/$name.json" --benchmark_out_format=json || true
}

part_convolutions() {
  if is_dry; then
    benchmark convolution-bf16 100 convolution_bench --precision bf16 --networks resnet8 --batch 1
    return
  fi
  benchmark convolution-bf16 "$GPU_CHECK_LIMIT" convolution_bench --precision bf16
  benchmark convolution-tf32 "$GPU_CHECK_LIMIT" convolution_bench --precision tf32 --networks resnet18
  benchmark convolution-f32 "$GPU_CHECK_LIMIT" convolution_bench --precision f32 --networks resnet18
}

part_kernels() {
  local sizes=1e5,1e6,1e7,1e8,1e9 batch=128
  if is_dry; then sizes=1e5 batch=2; fi
  benchmark kernel-bf16 "$GPU_CHECK_LIMIT" kernel_bench --precision bf16 --batch "$batch"
  benchmark kernel-f32 "$GPU_CHECK_LIMIT" kernel_bench --precision f32 --batch "$batch"
  benchmark optimizer "$GPU_CHECK_LIMIT" optimizer_bench --precision bf16 --sizes "$sizes"
}

# whole_step NETWORK PRECISION [GRANULARITY]
whole_step() {
  local granularity=${3:-weight}
  local name=step-$1-$2-$granularity options=(--steps 200 --block 50 --warmup 50 --epoch-steps 391)
  if is_dry; then options=(--steps 2 --warmup 1 --epoch-steps 4 --batch-size 4); fi
  step_output=$data/$name.json
  step "$name" 200 "$GPU_CHECK_BUILD/bench/training_step" --device "$GPU_CHECK_DEVICE" --network "$1" --precision "$2" \
    --granularity "$granularity" --compare "${options[@]}" || rm -f "$data/$name.json"
  step_output=
}

part_step() {
  program bench/training_step || return 0
  rm -f "$data"/step-*.json
  if is_dry; then
    whole_step resnet8 bf16
    return
  fi
  local network precision
  for network in resnet18 resnet50 vgg19 resnet20; do whole_step "$network" bf16; done
  for precision in tf32 f32; do whole_step resnet18 "$precision"; done
  whole_step resnet18 bf16 neuron
}

# train RUN NETWORK PRECISION: two plain epochs, one analysed, one amplified.
train() {
  local options=(--dataset made)
  [ -z "$GPU_CHECK_DATA" ] || options=(--dataset cifar10 --data "$GPU_CHECK_DATA")
  if is_dry; then options=(--dataset made --train-images 32 --test-images 16 --batch-size 8); fi
  step "train-$1" 240 "$GPU_CHECK_BUILD/gradamp" train --device "$GPU_CHECK_DEVICE" --network "$2" --precision "$3" \
    --strategy '2:0.05, 4:0.05:2' --run-folder "$GPU_CHECK_REPORT/runs/$1" "${options[@]}" || return 0
  step "check-$1" 20 "$python" "$root/tools/gpu_report.py" check-run "$GPU_CHECK_REPORT/runs/$1" || true
  rm -f "$GPU_CHECK_REPORT/runs/$1"/checkpoint.safetensors*  # hundreds of megabytes
}

part_training() {
  program gradamp || return 0
  rm -rf "$GPU_CHECK_REPORT/runs"
  local network networks=(resnet8 resnet20 resnet32 resnet56 resnet110 resnet18 resnet34 resnet50 resnet101 vgg19)
  if is_dry; then networks=(resnet8); fi
  for network in "${networks[@]}"; do train "$network" "$network" bf16; done
  if ! is_dry; then
    train resnet18-f32 resnet18 f32
    train resnet18-tf32 resnet18 tf32
  fi
  network=${networks[0]}
  train "$network-again" "$network" bf16
  step same-twice 20 "$python" "$root/tools/gpu_report.py" same-runs "$GPU_CHECK_REPORT/runs/$network" \
    "$GPU_CHECK_REPORT/runs/$network-again" || true
}

part_pytorch() {
  program bench/training_step || return 0
  local usable='import numpy, safetensors, torch; assert torch.cuda.is_available(), "no GPU for PyTorch"' why
  local options=(--networks resnet18 --rounds 5)
  if is_dry; then
    usable='import numpy, safetensors, torch'
    options=(--networks resnet8 --batch-size 4 --rounds 1 --steps 2 --block 1 --warmup 1 --epoch-steps 4 --modes eager)
  fi
  if ! why=$("$python" -c "$usable" 2>&1); then
    record pytorch skipped 0 "left out, $(basename "$python") cannot use it: $(tail -n 1 <<<"$why")"
    return 0
  fi
  rm -f "$data/pytorch.json"
  step pytorch "$GPU_CHECK_LIMIT" "$python" "$root/bench/compare_pytorch.py" --device "$GPU_CHECK_DEVICE" \
    --program "$GPU_CHECK_BUILD/bench/training_step" --json "$data/pytorch.json" "${options[@]}" || true
}

# ---- The whole ----

commit_of_root() { git -C "$root" describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown; }

# What this machine is, for the report: lines of a key and a value.
write_facts() {
  {
    printf 'date\t%s\n' "$(date -u +%Y-%m-%d)"
    printf 'device\t%s\n' "$GPU_CHECK_DEVICE"
    printf 'commit\t%s\n' "${GRADAMP_COMMIT:-$(commit_of_root)}"
    printf 'machine\t%s cores, %s\n' "$(nproc)" "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1)"
    if ! is_dry; then
      nvidia-smi --query-gpu=name,driver_version,memory.total,compute_cap --format=csv,noheader |
        awk -F ', ' 'NR == 1 { printf "gpu\t%s\ndriver\t%s\nmemory\t%s\ncompute capability\t%s\n", $1, $2, $3, $4 }'
      printf 'cuda\t%s\n' "$({ nvcc --version || "$cuda_bin/nvcc" --version; } 2>/dev/null |
        sed -n 's/.*release \([0-9.]*\).*/\1/p' | head -n 1)"
    else
      printf 'gpu\t%s\n' "emulated"
    fi
  } >"$GPU_CHECK_REPORT/facts.tsv"
}

set_folders() {
  checks=$GPU_CHECK_REPORT/checks/$part.tsv logs=$GPU_CHECK_REPORT/logs data=$GPU_CHECK_REPORT/data
  mkdir -p "$GPU_CHECK_REPORT/checks" "$logs" "$data"
}

# run_part PART: in a process of its own, within its limit. What it began and did not end is ended with it.
run_part() {
  part=$1
  local start=$SECONDS code=0
  set_folders
  : >"$checks"
  rm -f "$logs/$part"*.log
  echo "== $part"
  timeout --kill-after=15 "$((GPU_CHECK_LIMIT + 15))" bash "$self" --inside "$part" 2>&1 | tee "$logs/$part.log" ||
    code=${PIPESTATUS[0]}
  case $code in
    0) ;;
    124 | 137) record "time limit" failed $((SECONDS - start)) "the part took longer than $GPU_CHECK_LIMIT s" ;;
    *) grep -q $'\tfailed\t' "$checks" || record "$part" failed $((SECONDS - start)) "ended with exit code $code" ;;
  esac
  [ -s "$checks" ] || record "$part" failed $((SECONDS - start)) "checked nothing"
  echo $((SECONDS - start)) >"${checks%.tsv}.seconds"
}

if [ "${1:-}" = --inside ]; then
  part=$2
  set_folders
  "part_$part"
  exit 0
fi

parts=()
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --report | --build | --data | --jobs | --limit | --device)
      [ $# -ge 2 ] || wrong_usage "$1 needs a value"
      name=${1#--}
      declare -x "GPU_CHECK_${name^^}=$2"
      shift 2
      ;;
    -*) wrong_usage "there is no option $1" ;;
    *)
      [[ " $all_parts " == *" $1 "* ]] || wrong_usage "there is no part $1; expected some of: $all_parts"
      parts+=("$1")
      shift
      ;;
  esac
done
[ ${#parts[@]} -gt 0 ] || read -ra parts <<<"$all_parts"
[ "$GPU_CHECK_DEVICE" = cuda ] || [ "$GPU_CHECK_DEVICE" = emulated ] || wrong_usage "--device is cuda or emulated"
[[ "$GPU_CHECK_JOBS:$GPU_CHECK_LIMIT" =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] || wrong_usage "--jobs and --limit are numbers"

has_gpu() { command -v nvidia-smi >/dev/null && nvidia-smi --list-gpus 2>/dev/null | grep '^GPU ' >/dev/null; }
if ! is_dry && ! has_gpu; then
  echo "gpu_check.sh: there is no GPU: nvidia-smi is not there or lists none; nothing was checked" >&2
  exit 1
fi
[ -z "$GPU_CHECK_DATA" ] || [ -e "$GPU_CHECK_DATA" ] || wrong_usage "--data: there is no $GPU_CHECK_DATA"
GPU_CHECK_REPORT=${GPU_CHECK_REPORT:-$GPU_CHECK_BUILD/gpu-report}
mkdir -p "$GPU_CHECK_REPORT" "$GPU_CHECK_BUILD"
GPU_CHECK_REPORT=$(cd "$GPU_CHECK_REPORT" && pwd)
GPU_CHECK_BUILD=$(cd "$GPU_CHECK_BUILD" && pwd)
export GPU_CHECK_REPORT GPU_CHECK_BUILD

# What another device left there is no part of this report.
if [ -f "$GPU_CHECK_REPORT/facts.tsv" ] && ! grep -qx "device.$GPU_CHECK_DEVICE" "$GPU_CHECK_REPORT/facts.tsv"; then
  rm -rf "$GPU_CHECK_REPORT"/{checks,data,logs,runs}
fi
write_facts
for each in "${parts[@]}"; do run_part "$each"; done
"$python" "$root/tools/gpu_report.py" write "$GPU_CHECK_REPORT" "${parts[@]}"

# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Sourced by tools/gpu_check.sh: its parts. Each is a function part_NAME and can run without the others.

cuda_bin=${CUDA_PATH:-/usr/local/cuda}/bin

toolkit_version() {
  local line
  { nvcc --version || "$cuda_bin/nvcc" --version; } 2>/dev/null | while IFS= read -r line; do
    [[ ! $line =~ release\ ([0-9.]+) ]] || echo "${BASH_REMATCH[1]}"
  done
}

# kind_of_facts FACTS: the device and the size of a run.
kind_of_facts() {
  local key value
  while IFS=$'\t' read -r key value; do
    [[ $key != device && $key != quick ]] || printf '%s ' "$key=$value"
  done <<<"$1"
}

# A pack can be in a folder that is not writable.
default_report() {
  if [ -w "$GPU_CHECK_BUILD" ] || [ ! -e "$GPU_CHECK_BUILD" ]; then
    echo "$GPU_CHECK_BUILD/gpu-report"
  else
    echo "$PWD/gpu-report"
  fi
}

# If packages cannot be installed, the build may still find what it needs, or report what is missing.
install_build_packages() {
  # shellcheck disable=SC2016
  timeout 40 bash -c '. "$0/tools/packages.sh"; install_packages $packages' "$root" ||
    echo "  (packages could not be installed; trying without)"
}

part_build() {
  local options=(-DCMAKE_BUILD_TYPE=Release)
  if ! is_emulated; then
    if ! command -v nvcc >/dev/null && ! [ -x "$cuda_bin/nvcc" ]; then
      record nvcc failed 0 "not on PATH, nor below CUDA_PATH or /usr/local/cuda: install the CUDA toolkit"
      return 0
    fi
    options+=(-DGRADAMP_CUDA=ON)
  fi
  install_build_packages
  step configure 120 cmake -G Ninja -S "$root" -B "$GPU_CHECK_BUILD" "${options[@]}"
  step compile "$GPU_CHECK_LIMIT" cmake --build "$GPU_CHECK_BUILD" -j "$(nproc)"
}

# The GPU's compute capability, "9.0"; nothing if it is not known.
compute_capability() {
  local key value
  while IFS=$'\t' read -r key value; do
    [ "$key" != "compute capability" ] || echo "$value"
  done <"$GPU_CHECK_REPORT/facts.tsv"
}

part_instructions() {
  local program=cuda_intrinsics_gpu_tests hopper=hopper_gpu_tests capability
  if is_emulated; then
    program=cuda_intrinsics_tests hopper=hopper_tests
  elif find_command gradamp; then
    step_note=yes
    step device 60 "$python" "$root/tools/gpu_check/machine.py" usable "${command[@]}" || true # explains later failures
    step_note=
  fi
  sharded "$program" "$GPU_CHECK_LIMIT" 1 "$program" '*'
  capability=$(compute_capability)
  if ! is_emulated && [ "$capability" != 9.0 ]; then
    record "$hopper" skipped 0 "left out: it is for compute capability 9.0, the GPU has ${capability:-an unknown one}"
    return 0
  fi
  sharded "$hopper" "$GPU_CHECK_LIMIT" 1 "$hopper" '*'
}

part_tests() {
  local each statistics=cuda_statistics_tests filter=${GPU_CHECK_FILTER:-*$GPU_CHECK_DEVICE*}
  # --quick leaves out the larger networks and the long resumption, which have smaller siblings.
  if is_quick && [ -z "${GPU_CHECK_FILTER:-}" ]; then
    filter+="-*/${GPU_CHECK_DEVICE}_resnet??_*:*/${GPU_CHECK_DEVICE}_resnet???_*:*/${GPU_CHECK_DEVICE}_vgg*"
    filter+=":*ResumedEqualsUnbroken/$GPU_CHECK_DEVICE"
  fi
  for each in $test_programs; do sharded "$each" "$GPU_CHECK_LIMIT" "$GPU_CHECK_JOBS" "$each" "$filter"; done
  ! is_emulated || statistics=gpu_statistics_tests
  sharded "$statistics" "$GPU_CHECK_LIMIT" 1 "$statistics" "${GPU_CHECK_FILTER:-*}" # all of its tests use the device
  [[ $(<"$checks") =~ (passed|failed) ]] || record tests failed 0 "the filter $filter leaves no test"
}

# one_step RUN DEVICE PRECISION: a run of one plain training step.
one_step() {
  step "$1" 200 "${command[@]}" train --device "$2" --network resnet8 --precision "$3" --dataset synthetic \
    --train-images 8 --test-images 8 --batch-size 8 --strategy 1:0.05 --run-folder "$GPU_CHECK_REPORT/compared/$1"
}

part_emulator() {
  local precision runs=$GPU_CHECK_REPORT/compared
  find_command gradamp || return 0
  rm -rf "$runs"
  for precision in f32 tf32 bf16; do
    one_step "reference-$precision" emulated "$precision" || continue
    one_step "device-$precision" "$GPU_CHECK_DEVICE" "$precision" || continue
    step_note=yes
    step "agrees-$precision" 60 "$python" "$root/tools/gpu_check/agreement.py" "$precision" \
      "$runs/reference-$precision" "$runs/device-$precision" || true
    step_note=
  done
}

# benchmark NAME LIMIT PROGRAM OPTION...: its results go to data/NAME.json.
benchmark() {
  local name=$1 limit=$2 program=$3
  shift 3
  find_command "$program" || return 0
  ! is_quick || set -- "$@" --quick
  rm -f "$data/$name.json"
  step "$name" "$limit" "${command[@]}" --device "$GPU_CHECK_DEVICE" "$@" \
    --benchmark_out="$data/$name.json" --benchmark_out_format=json || true
}

part_convolutions() {
  if is_quick; then
    benchmark convolution-bf16 "$GPU_CHECK_LIMIT" convolution_bench --precision bf16 --networks resnet8 --batch 1
    return
  fi
  benchmark convolution-bf16 "$GPU_CHECK_LIMIT" convolution_bench --precision bf16
  benchmark convolution-tf32 "$GPU_CHECK_LIMIT" convolution_bench --precision tf32 --networks resnet18
  benchmark convolution-f32 "$GPU_CHECK_LIMIT" convolution_bench --precision f32 --networks resnet18
}

part_kernels() {
  local sizes=1e5,1e6,1e7,1e8,1e9 batch=128
  if is_quick; then sizes=1e5 batch=2; fi
  benchmark kernel-bf16 "$GPU_CHECK_LIMIT" kernel_bench --precision bf16 --batch "$batch"
  benchmark kernel-f32 "$GPU_CHECK_LIMIT" kernel_bench --precision f32 --batch "$batch"
  benchmark optimizer "$GPU_CHECK_LIMIT" optimizer_bench --precision bf16 --sizes "$sizes"
}

# whole_step NETWORK PRECISION [GRANULARITY [CONVOLUTIONS]]
whole_step() {
  local granularity=${3:-weight} convolutions=${4:-auto}
  local name=step-$1-$2-$granularity options=(--steps 200 --block 50 --warmup 50 --epoch-steps 391)
  [ "$convolutions" = auto ] || name+=-$convolutions
  if is_quick; then options=(--steps 2 --warmup 1 --epoch-steps 4 --batch-size 4); fi
  step_output=$data/$name.json
  step "$name" 200 "${command[@]}" --device "$GPU_CHECK_DEVICE" --network "$1" --precision "$2" \
    --granularity "$granularity" --conv "$convolutions" --compare "${options[@]}" || rm -f "$data/$name.json"
  step_output=
}

part_step() {
  find_command training_step || return 0
  rm -f "$data"/step-*.json
  if is_quick; then
    whole_step resnet8 bf16
    return
  fi
  local network precision
  for network in resnet18 resnet50 vgg19 resnet20; do whole_step "$network" bf16; done
  for precision in tf32 f32; do whole_step resnet18 "$precision"; done
  whole_step resnet18 bf16 neuron
  whole_step resnet18 bf16 weight mma # beside the device's own choice
}

part_pytorch() {
  local usable='import numpy, safetensors, torch; assert torch.cuda.is_available(), "no GPU for PyTorch"' why program
  local options=(--networks resnet18 --rounds 5)
  # A pack's program sets its own library path, which PyTorch must not inherit.
  program=$(program_file training_step) || find_command training_step || return 0
  if is_quick; then
    options=(--networks resnet8 --batch-size 4 --rounds 1 --steps 2 --block 1 --warmup 1 --epoch-steps 4 --modes eager)
  fi
  ! is_emulated || usable='import numpy, safetensors, torch'
  if ! why=$("$python" -c "$usable" 2>&1); then
    record pytorch skipped 0 "left out, ${python##*/} cannot use it: $(last_line <<<"$why")"
    return 0
  fi
  rm -f "$data/pytorch.json"
  step pytorch "$GPU_CHECK_LIMIT" "$python" "$root/bench/compare_pytorch.py" --device "$GPU_CHECK_DEVICE" \
    --program "$program" --json "$data/pytorch.json" "${options[@]}" || true
}

# train RUN NETWORK PRECISION: two plain epochs, one analyzed, one amplified.
train() {
  local options=(--dataset synthetic)
  [ -z "$GPU_CHECK_DATA" ] || options=(--dataset cifar10 --data "$GPU_CHECK_DATA")
  if is_quick; then options=(--dataset synthetic --train-images 16 --test-images 8 --batch-size 8); fi
  step "train-$1" 240 "${command[@]}" train --device "$GPU_CHECK_DEVICE" --network "$2" --precision "$3" \
    --strategy '2:0.05, 4:0.05:2' --run-folder "$GPU_CHECK_REPORT/runs/$1" "${options[@]}" || return 0
  step "check-$1" 20 "$python" "$root/tools/gpu_check/gpu_report.py" check-run "$GPU_CHECK_REPORT/runs/$1" || true
  rm -f "$GPU_CHECK_REPORT/runs/$1"/checkpoint.safetensors*  # hundreds of megabytes
}

part_training() {
  find_command gradamp || return 0
  local network networks=(resnet8 resnet20 resnet32 resnet56 resnet110 resnet18 resnet34 resnet50 resnet101 vgg19)
  if is_quick; then networks=(resnet8); fi
  for network in "${networks[@]}"; do
    rm -rf "$GPU_CHECK_REPORT/runs/$network"
    train "$network" "$network" bf16
  done
  rm -rf "$GPU_CHECK_REPORT/runs"/*-again "$GPU_CHECK_REPORT/runs"/resnet18-*
  if ! is_quick; then
    train resnet18-f32 resnet18 f32
    train resnet18-tf32 resnet18 tf32
  fi
  network=${networks[0]}
  train "$network-again" "$network" bf16
  step same-twice 20 "$python" "$root/tools/gpu_check/gpu_report.py" same-runs "$GPU_CHECK_REPORT/runs/$network" \
    "$GPU_CHECK_REPORT/runs/$network-again" || true
}

part_sanitize() {
  local sanitizer=${GRADAMP_COMPUTE_SANITIZER:-compute-sanitizer} shards=$(((GPU_CHECK_JOBS + 3) / 4)) pids=() tool
  local filter=${GPU_CHECK_FILTER:-*Conformance.*$GPU_CHECK_DEVICE*}
  command -v "$sanitizer" >/dev/null || [ ! -x "$cuda_bin/$sanitizer" ] || sanitizer=$cuda_bin/$sanitizer
  if ! command -v "$sanitizer" >/dev/null; then
    record compute-sanitizer skipped 0 "left out: not on PATH, nor in $cuda_bin; it comes with the CUDA toolkit"
    return 0
  fi
  for tool in memcheck racecheck initcheck synccheck; do
    sharded "$tool" "$GPU_CHECK_LIMIT" "$shards" kernels_tests "$filter" \
      "$sanitizer" --tool "$tool" --error-exitcode 99 --print-limit 20 &
    pids+=($!)
  done
  wait "${pids[@]}"
}

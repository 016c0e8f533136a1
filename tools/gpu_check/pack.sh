# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Sourced by tools/gpu_check.sh: --pack.

# build_for_pack ARCHITECTURES: a build that runs on other processors and on the GPUs of these architectures.
build_for_pack() {
  if ! command -v nvcc >/dev/null && ! [ -x "$cuda_bin/nvcc" ]; then
    echo "gpu_check.sh: nvcc is not on PATH, nor below CUDA_PATH or /usr/local/cuda: a pack needs the CUDA toolkit" >&2
    return 1
  fi
  local targets
  read -ra targets <<<"${all_programs//$'\n'/ }"
  install_build_packages
  cmake -G Ninja -S "$root" -B "$GPU_CHECK_BUILD" -DCMAKE_BUILD_TYPE=Release -DGRADAMP_NATIVE=OFF -DGRADAMP_CUDA=ON \
    "-DCMAKE_CUDA_ARCHITECTURES=$1"
  cmake --build "$GPU_CHECK_BUILD" -j "$(nproc)" --target "${targets[@]}"
}

# make_pack FILE ARCHITECTURES: packs the build that GPU_CHECK_BUILD names, or makes one.
make_pack() {
  local each file programs=() missing=()
  if is_pack; then
    echo "gpu_check.sh: this is a pack already" >&2
    return 2
  fi
  if [ -z "$GPU_CHECK_BUILD$GPU_CHECK_PROGRAMS" ]; then
    GPU_CHECK_BUILD=$root/build-pack
    build_for_pack "$2"
  fi
  GPU_CHECK_BUILD=${GPU_CHECK_BUILD:-$root/build}
  for each in $all_programs; do
    if file=$(program_file "$each"); then programs+=("$each=$file"); else missing+=("$each"); fi
  done
  if [ ${#missing[@]} != 0 ]; then
    echo "gpu_check.sh: not in $GPU_CHECK_BUILD${GPU_CHECK_PROGRAMS:+ nor $GPU_CHECK_PROGRAMS}: ${missing[*]}" >&2
    return 1
  fi
  "$python" "$root/tools/gpu_check/pack.py" "$1" "$root" "commit=${GRADAMP_COMMIT:-$(commit_of_root)}" \
    "cuda=$(toolkit_version)" -- "${programs[@]}"
}

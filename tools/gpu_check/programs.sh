# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Sourced by tools/gpu_check.sh and by the programs of a pack, with `root` set: finds the programs and the words that
# start them. A pack has its own loader and C library, so that the machine's may be older or missing.

# The test programs of gpu_check.sh. cuda_intrinsics_tests, hopper_tests and gpu_statistics_tests are the emulator's
# counterparts of cuda_intrinsics_gpu_tests, hopper_gpu_tests and cuda_statistics_tests.
test_programs="core_tests kernels_tests layers_tests nets_tests optim_tests"
all_programs="gradamp training_step convolution_bench kernel_bench optimizer_bench cuda_intrinsics_gpu_tests cuda_intrinsics_tests
              hopper_gpu_tests hopper_tests cuda_statistics_tests gpu_statistics_tests $test_programs"

is_pack() { [ -f "$root/pack.tsv" ]; }

# pack_fact KEY: a fact about this pack.
pack_fact() {
  local key value
  is_pack || return 1
  while IFS=$'\t' read -r key value; do
    [ "$key" != "$1" ] || { echo "$value" && return 0; }
  done <"$root/pack.tsv"
  return 1
}

# Sets the folders in which programs and libraries are searched, unless the environment names them.
set_places() {
  if is_pack; then
    GPU_CHECK_BUILD=$root GPU_CHECK_PROGRAMS=${GPU_CHECK_PROGRAMS:-$root/programs}
    export GRADAMP_TEST_DATA=$root/tests
  else
    GPU_CHECK_BUILD=${GPU_CHECK_BUILD:-$root/build}
  fi
  if [ -z "${GPU_CHECK_LIBRARIES+set}" ]; then
    local pythons=("${GRADAMP_PYTHON:-python3}" python3)
    [ -z "${VIRTUAL_ENV:-}" ] || pythons+=("$VIRTUAL_ENV/bin/python")
    [ -z "${CONDA_PREFIX:-}" ] || pythons+=("$CONDA_PREFIX/bin/python")
    GPU_CHECK_LIBRARIES=$("${pythons[0]}" "$root/tools/gpu_check/machine.py" libraries "${pythons[@]}")
  fi
  export GPU_CHECK_BUILD GPU_CHECK_PROGRAMS GPU_CHECK_LIBRARIES
}

# program_file NAME: prints the program's path; fails if there is no such program.
program_file() {
  local folder file
  for folder in ${GPU_CHECK_PROGRAMS:+"$GPU_CHECK_PROGRAMS"} "$GPU_CHECK_BUILD"; do
    for file in "$folder"{,/bench,/tests,/tests/kernels/{emulation,emulation/gpu,statistics/gpu}}/"$1"; do
      if [ -f "$file" ] && [ -x "$file" ]; then
        echo "$file"
        return 0
      fi
    done
  done
  return 1
}

is_elf() {
  local magic
  LC_ALL=C IFS= read -r -d '' -n 4 magic <"$1" && [ "$magic" = $'\x7fELF' ]
}

# set_command NAME: sets the array `command` to the words that start the program. The pack's libraries come first, then
# those that the user names, then those that were found.
set_command() {
  local file libraries=${LD_LIBRARY_PATH:+$LD_LIBRARY_PATH:}$GPU_CHECK_LIBRARIES
  file=$(program_file "$1") || return 1
  if [ "$file" != "$root/programs/$1" ]; then
    command=(env "LD_LIBRARY_PATH=$libraries" "$file")
  elif is_elf "$root/programs/bin/$1"; then
    command=("$root/lib/loader" --library-path "$root/lib:$libraries" "$root/programs/bin/$1")
  else
    command=("$root/programs/bin/$1")
  fi
}

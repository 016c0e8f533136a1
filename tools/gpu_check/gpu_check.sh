#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Checks and measures everything on a machine with a GPU, and writes a report.
#   tools/gpu_check.sh                          every part
#   tools/gpu_check.sh tests sanitize           these parts; others are left in the report as they were
#   tools/gpu_check.sh --pack FILE.tar.xz       packs programs and scripts for a machine that cannot build them
# Parts, in this order, each within 8 minutes on 16 cores:
#   build         for the GPUs of this machine (not in a pack)
#   instructions  each instruction wrapper (mma, ldmatrix, cp.async, TMA, wgmma, ...) against exact values
#   tests         every test on the device cuda
#   emulator      one training step in each precision, compared with the same step of the emulator
#   convolutions  ours beside cuDNN at every layer shape of ResNet-18, ResNet-50 and VGG-19
#   kernels       the non-convolution kernels and the optimizer, beside a copy and the libraries
#   step          whole training steps, plain and analyzed
#   pytorch       training throughput beside PyTorch, if it is installed
#   training      a short training of each network, and the same one twice
#   sanitize      compute-sanitizer's memcheck, racecheck, initcheck and synccheck over the kernels' small cases
# Options:
#   --quick             every part in small: to see that all works; its times mean nothing
#   --report FOLDER     for report.md, report.json, logs and data; default: gpu-report in the build folder or the pack
#   --build FOLDER      default: build
#   --programs FOLDER   look for programs here first, then in the build folder; it may have the folders of a build
#   --data PATH         a copy of CIFAR-10 to train on; without it, the synthetic dataset
#   --jobs N            processes at once; default: as many as there are cores and as fit the GPU's memory
#   --limit SECONDS     of a part; default: 480
#   --device emulated   the emulator in place of a GPU; always --quick
#   --pack FILE         makes the archive: builds in build-pack, or packs the build that --build names. On the other
#                       machine: tar -xf FILE (or python3 -m tarfile -e FILE), then gradamp-pack/run. It needs bash,
#                       coreutils, python3 and the NVIDIA driver there; cuBLAS and cuDNN are found in the system, in
#                       Python environments and on LD_LIBRARY_PATH.
#   --architectures A   for --pack: CMAKE_CUDA_ARCHITECTURES
# From the environment: GPU_CHECK_FILTER narrows tests and sanitize to names (as --gtest_filter), GRADAMP_PYTHON is the
# Python that has PyTorch, GRADAMP_COMPUTE_SANITIZER another sanitizer, GRADAMP_COMMIT what the report calls the commit.
# Exits with 1 if a check failed or did not finish. A slow card, a missing library and a missing tool are no failures.
set -euo pipefail
case $0 in */*) self=$(cd "${0%/*}" && pwd)/${0##*/} ;; *) self=$PWD/$0 ;; esac
root=$(cd "${self%/*}/../.." && pwd)
all_parts="build instructions tests emulator convolutions kernels step pytorch training sanitize"
architectures="80-real;86-real;89-real;90-real;100-real;120"

# Settings are in the environment, so that parts, which run in separate processes, have them too.
export GPU_CHECK_DEVICE=${GPU_CHECK_DEVICE:-cuda} GPU_CHECK_QUICK=${GPU_CHECK_QUICK:-}
export GPU_CHECK_BUILD=${GPU_CHECK_BUILD:-} GPU_CHECK_PROGRAMS=${GPU_CHECK_PROGRAMS:-}
export GPU_CHECK_REPORT=${GPU_CHECK_REPORT:-} GPU_CHECK_DATA=${GPU_CHECK_DATA:-}
export GPU_CHECK_JOBS=${GPU_CHECK_JOBS:-} GPU_CHECK_LIMIT=${GPU_CHECK_LIMIT:-480}
python=${GRADAMP_PYTHON:-python3}

# shellcheck source=tools/gpu_check/programs.sh
. "$root/tools/gpu_check/programs.sh"
# shellcheck source=tools/gpu_check/checks.sh
. "$root/tools/gpu_check/checks.sh"
# shellcheck source=tools/gpu_check/parts.sh
. "$root/tools/gpu_check/parts.sh"
! is_pack || all_parts=${all_parts#build }

usage() { # the comment that this file begins with
  local line
  while IFS= read -r line && [[ $line == '#'* ]]; do
    [[ $line == '#!'* || $line == *SPDX* ]] || echo "${line#\#}"
  done <"$self"
}
wrong_usage() {
  echo "gpu_check.sh: $1 (--help shows what there is)" >&2
  exit 2
}

commit_of_root() {
  pack_fact commit || git -C "$root" describe --always --dirty --abbrev=12 --exclude '*' 2>/dev/null || echo unknown
}

# Facts about this machine for the report: lines of a key and a value.
write_facts() {
  local program processor="an unknown processor" key value
  while IFS=: read -r key value; do
    [[ $key != 'model name'* ]] || { processor=${value# } && break; }
  done 2>/dev/null </proc/cpuinfo
  printf 'date\t%s\n' "$(date -u +%Y-%m-%d)"
  printf 'device\t%s\n' "$GPU_CHECK_DEVICE"
  ! is_quick || printf 'quick\tyes\n'
  printf 'commit\t%s\n' "${GRADAMP_COMMIT:-$(commit_of_root)}"
  printf 'machine\t%s cores, %s\n' "$(nproc)" "$processor"
  if is_emulated; then
    printf 'gpu\temulated\n'
  else
    program=$(program_file gradamp) || program=
    "$python" "$root/tools/gpu_check/machine.py" facts ${program:+"$program"} || return 1
    printf 'cuda\t%s\n' "$(pack_fact cuda || toolkit_version)"
    printf 'libraries searched\t%s\n' "${GPU_CHECK_LIBRARIES//:/, }"
  fi
}

set_folders() {
  checks=$GPU_CHECK_REPORT/checks/$part.tsv logs=$GPU_CHECK_REPORT/logs data=$GPU_CHECK_REPORT/data
  mkdir -p "$GPU_CHECK_REPORT/checks" "$logs" "$data"
}

# run_part PART: in a separate process, within its limit. Processes that it started and did not end are ended with it.
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
    *) [[ $(<"$checks") == *$'\tfailed\t'* ]] ||
      record "$part" failed $((SECONDS - start)) "ended with exit code $code" ;;
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

parts=() pack=
while [ $# -gt 0 ]; do
  case $1 in
    --help | -h)
      usage
      exit 0
      ;;
    --quick)
      GPU_CHECK_QUICK=yes
      shift
      ;;
    --report | --build | --programs | --data | --jobs | --limit | --device | --pack | --architectures)
      [ $# -ge 2 ] || wrong_usage "$1 needs a value"
      name=${1#--}
      case $1 in
        --pack) pack=$2 ;;
        --architectures) architectures=$2 ;;
        *) declare -x "GPU_CHECK_${name^^}=$2" ;;
      esac
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
if [ -n "$pack" ]; then
  [ ${#parts[@]} = 0 ] || wrong_usage "--pack runs no part"
  # shellcheck source=tools/gpu_check/pack.sh
  . "$root/tools/gpu_check/pack.sh"
  make_pack "$pack" "$architectures"
  exit 0
fi
[ ${#parts[@]} -gt 0 ] || read -ra parts <<<"$all_parts"
[ "$GPU_CHECK_DEVICE" = cuda ] || [ "$GPU_CHECK_DEVICE" = emulated ] || wrong_usage "--device is cuda or emulated"
! is_emulated || GPU_CHECK_QUICK=yes # full sizes would take days
[[ "${GPU_CHECK_JOBS:-1}:$GPU_CHECK_LIMIT" =~ ^[1-9][0-9]*:[1-9][0-9]*$ ]] ||
  wrong_usage "--jobs and --limit are numbers"
[ -z "$GPU_CHECK_DATA" ] || [ -e "$GPU_CHECK_DATA" ] || wrong_usage "--data: there is no $GPU_CHECK_DATA"
[ -z "$GPU_CHECK_PROGRAMS" ] || [ -d "$GPU_CHECK_PROGRAMS" ] ||
  wrong_usage "--programs: there is no $GPU_CHECK_PROGRAMS"
command -v "$python" >/dev/null || wrong_usage "there is no $python, which is needed"
set_places
if [ -z "$GPU_CHECK_JOBS" ]; then
  GPU_CHECK_JOBS=$(nproc)
  is_emulated || GPU_CHECK_JOBS=$("$python" "$root/tools/gpu_check/machine.py" jobs "$GPU_CHECK_JOBS")
fi

facts=$(write_facts) || exit 1
GPU_CHECK_REPORT=${GPU_CHECK_REPORT:-$(default_report)}
mkdir -p "$GPU_CHECK_REPORT"
GPU_CHECK_REPORT=$(cd "$GPU_CHECK_REPORT" && pwd)
# Results of another device or of other sizes do not belong to this report.
if [ -f "$GPU_CHECK_REPORT/facts.tsv" ] &&
  [ "$(kind_of_facts "$(<"$GPU_CHECK_REPORT/facts.tsv")")" != "$(kind_of_facts "$facts")" ]; then
  rm -rf "$GPU_CHECK_REPORT"/{checks,data,logs,runs,compared}
fi
printf '%s\n' "$facts" >"$GPU_CHECK_REPORT/facts.tsv"
for each in "${parts[@]}"; do run_part "$each"; done
"$python" "$root/tools/gpu_check/gpu_report.py" write "$GPU_CHECK_REPORT" "${parts[@]}"

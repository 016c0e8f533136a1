# shellcheck shell=bash disable=SC2034,SC2154
# SPDX-License-Identifier: MIT
# Sourced by tools/gpu_check.sh: runs and records one check. It uses only bash, coreutils and Python.

is_emulated() { [ "$GPU_CHECK_DEVICE" != cuda ]; }
is_quick() { [ -n "$GPU_CHECK_QUICK" ]; }

# record NAME STATUS SECONDS MESSAGE: adds a line to the report. STATUS is passed, failed or skipped.
record() {
  local message=${4//[$'\t\n\r']/ }
  printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "${message:0:300}" >>"$checks"
  printf '  %-8s %s (%s s)%s\n' "$2" "$1" "$3" "${message:+: $message}"
}

# The last line of standard input that is not blank.
last_line() {
  local line last=""
  while IFS= read -r line || [ -n "$line" ]; do
    [[ ! $line =~ [^[:space:]] ]] || last=$line
  done
  echo "${last:0:200}"
}

# reason CODE LIMIT LOG: why a command failed.
reason() {
  case $1 in
    124 | 137) echo "took longer than $2 s, or was killed" ;;
    *) echo "exit code $1: $(tail -n 20 "$3" | last_line)" ;;
  esac
}

# seconds_left LIMIT: LIMIT, or the rest of the part's time if that is less.
seconds_left() {
  local left=$((GPU_CHECK_LIMIT - SECONDS)) # SECONDS counts from the start of this process, which runs the part
  [ "$left" -ge 1 ] || left=1
  echo $((left < $1 ? left : $1))
}

step_output= # if set, the file for a step's standard output
step_note=   # if set, the last line that a step printed is its message
# step NAME LIMIT COMMAND...: a check that passes if the command exits with 0 within LIMIT seconds. Its output goes to a
# separate log.
step() {
  local name=$1 limit start=$SECONDS code=0 line
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
    record "$name" passed $((SECONDS - start)) "${step_note:+$(tail -n 5 "$log" | last_line)}"
  else
    record "$name" failed $((SECONDS - start)) "$(reason "$code" "$limit" "$log")"
    tail -n 15 "$log" | while IFS= read -r line; do echo "    | $line"; done
    return 1
  fi
}

# find_command NAME: sets `command` to the words that start the program; a failed check if the program is missing.
find_command() {
  set_command "$1" && return
  record "$1" failed 0 "not in $GPU_CHECK_BUILD: run the part build first, or name its folder with --build"
  return 1
}

# sharded NAME LIMIT SHARDS PROGRAM FILTER [WRAPPER...]: a check that PROGRAM's tests pass, run by several processes.
# WRAPPER runs them (for example compute-sanitizer).
sharded() {
  local name=$1 limit shards=$3 program=$4 filter=$5 start=$SECONDS result status word options=()
  limit=$(seconds_left "$2")
  find_command "$program" || return 0
  shift 5
  for word; do options+=("--wrapper=$word"); done
  result=$("$python" "$root/tools/gpu_check/shards.py" --shards "$shards" --limit "$limit" --log "$logs/$part-$name" \
    --filter "$filter" "${options[@]}" "${command[@]}")
  word=${result%%$'\n'*}
  status=${word%%$'\t'*}
  [ "$status" != skipped ] || [ -n "${GPU_CHECK_FILTER:-}" ] || status=failed # there must be tests
  record "$name" "$status" $((SECONDS - start)) "${word#*$'\t'}"
  [ "$word" = "$result" ] || echo "${result#*$'\n'}"
}

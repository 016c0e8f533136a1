#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# Installs missing packages (Debian, Ubuntu), builds, and runs the tests. A second run builds only what changed.
#   tools/run_tests.sh                 the release build, in build/
#   tools/run_tests.sh --sanitize      with AddressSanitizer, LeakSanitizer and UndefinedBehaviorSanitizer, in
#                                      build-sanitize/
#   tools/run_tests.sh --threads       core, data and tools, with ThreadSanitizer, in build-threads/
#   tools/run_tests.sh --race          the CUDA kernels under the emulator's race checker, in build-race/
#   tools/run_tests.sh --long          also the long tests, which are left out by default
#   tools/run_tests.sh --cuda          with the device cuda: an error if it cannot be built
#   tools/run_tests.sh --strict        a warning of a compiler is an error (CMake 3.24 or later)
# Further arguments are passed to ctest: tools/run_tests.sh -R 'Conformance.*emulated'
# The Python named by GRADAMP_PYTHON runs the tests in Python. If it is not set, the script creates an environment for
# them in build-python/ (600 MB to download, once). The results are in test-results.xml in the build folder.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
. "$root/tools/packages.sh"

folder="$root/build"
options=(-DCMAKE_BUILD_TYPE=Release)
targets=(all)
selection=(-LE '^long$')
while :; do
  case ${1:-} in
    -h | --help) print_header "$0" && exit ;;
    --sanitize)
      folder="$root/build-sanitize"
      options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DGRADAMP_SANITIZE=address,undefined -DGRADAMP_CUDA=OFF
               -DGRADAMP_BENCH=OFF)
      export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_leaks=1} UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
      ;;
    --threads)
      folder="$root/build-threads"
      options=(-DCMAKE_BUILD_TYPE=RelWithDebInfo -DGRADAMP_SANITIZE=thread -DGRADAMP_CUDA=OFF -DGRADAMP_BENCH=OFF)
      targets=(core_tests data_tests fuzz_tests tools_tests)
      # Without what takes too long with it, and forks of programs with threads, which it does not support.
      selection+=(-L '^(core|data|fuzz|tools)_tests$'
                  -E 'emulated|EveryDevice|DeviceTraining|Fork|IsResumable|FileSystemCall')
      ;;
    --race)
      folder="$root/build-race"
      # Each source compiled alone, which finds what the other builds, several at a time, do not: missing includes.
      options=(-DCMAKE_BUILD_TYPE=Release -DGRADAMP_RACE_CHECK=ON -DGRADAMP_CUDA=OFF -DGRADAMP_BENCH=OFF
               -DGRADAMP_UNITY_BUILD=OFF)
      selection+=(-R 'emulated|[Rr]ace')
      ;;
    --long) selection=("${selection[@]:2}") ;;
    --cuda) options+=(-DGRADAMP_CUDA=ON) ;;
    --strict) options+=(-DCMAKE_COMPILE_WARNING_AS_ERROR=ON) ;;
    *) break ;;
  esac
  shift
done

install_packages $packages
if [ -z "${GRADAMP_PYTHON:-}" ]; then
  install_packages $test_packages || echo "Could not install: $test_packages" >&2
  if python3 "$root/tools/test_environment.py" "$root/build-python" --empty; then
    GRADAMP_PYTHON=$root/build-python/bin/python
    # Its packages are installed while the build runs, which does not need them.
    python3 "$root/tools/test_environment.py" "$root/build-python" $(has_nvcc && echo --cuda) &
    packages_job=$!
  fi
fi
[ -z "${GRADAMP_PYTHON:-}" ] || options+=("-DGRADAMP_PYTHON=$GRADAMP_PYTHON")
build_gradamp "$folder" "${targets[*]}" "${options[@]}"
[ -z "${packages_job:-}" ] || wait "$packages_job" || true  # without packages, tests are skipped
rm -f "$folder/test-results.xml"
# Some tests wait for other processes: one more at a time than the two cores that the tests are made for.
export CTEST_PARALLEL_LEVEL=${CTEST_PARALLEL_LEVEL:-3}
ctest --test-dir "$folder" --output-on-failure --no-tests=error --output-junit "$folder/test-results.xml" \
  --test-output-size-passed 100000 "${selection[@]}" "$@"

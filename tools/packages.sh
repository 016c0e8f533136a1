# SPDX-License-Identifier: MIT
# Sourced by the scripts in this folder: installs the missing packages that a build needs.

packages="g++ cmake ninja-build libfmt-dev nlohmann-json3-dev libcli11-dev libcurl4-openssl-dev
          libarchive-dev zlib1g-dev libssl-dev libpng-dev libjpeg-dev libopenmpi-dev openmpi-bin
          libgtest-dev libgmock-dev libbenchmark-dev python3 zstd"

# For the Python environment of the tests (tools/test_environment.py), other processors, system calls that fail, and
# oneDNN as the benchmarks' reference. Without them, what needs them is skipped or left out.
test_packages="python3-venv pkg-config qemu-user strace libdnnl-dev ocl-icd-opencl-dev"

# print_header SCRIPT: prints the comment at the beginning of the script.
print_header() { sed -n '3,/^[^#]/{/^#/s/^# \{0,1\}//p}' "$1"; }

# missing_packages PACKAGE...: prints the packages that are not installed.
missing_packages() {
  local package
  for package in "$@"; do
    [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || printf '%s ' "$package"
  done
}

# install_packages PACKAGE...: installs missing packages with apt-get, and with sudo unless the user is root. On other
# systems it prints the packages and succeeds, because the build may find them anyway.
install_packages() {
  if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    echo "This is neither Debian nor Ubuntu: please see that the equivalents of these packages are installed:" >&2
    echo "  $*" | tr -s ' \n' ' ' >&2
    echo >&2
    return 0
  fi
  local missing as_root=""
  missing=$(missing_packages "$@")
  [ -n "$missing" ] || return 0
  if [ "$(id -u)" != 0 ]; then
    if ! command -v sudo >/dev/null; then
      echo "Missing packages, and no sudo to install them. As root, run: apt-get install $missing" >&2
      return 1
    fi
    as_root=sudo
  fi
  echo "Installing: $missing" >&2
  $as_root apt-get update -qq &&
    $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
}

# has_nvcc: succeeds if the CUDA compiler is in a folder that the build searches.
has_nvcc() { command -v nvcc >/dev/null || [ -x "${CUDA_PATH:-/usr/local/cuda}/bin/nvcc" ]; }

# configured FOLDER [-DNAME=VALUE...]: succeeds if the folder is configured with these options.
configured() {
  local folder=$1 option name
  [ -f "$folder/build.ninja" ] || return 1
  shift
  for option in "$@"; do
    name=${option%%=*}
    grep -qs "^${name#-D}:[A-Z]*=${option#*=}\$" "$folder/CMakeCache.txt" || return 1
  done
}

# build_gradamp FOLDER "TARGET..." [CMAKE OPTION...]: configures the folder if needed or if the options are new, and
# builds what changed.
build_gradamp() {
  local folder=$1 targets=$2
  shift 2
  configured "$folder" "$@" || cmake -G Ninja -S "$root" -B "$folder" "$@" >"/tmp/gradamp-configure.$$" 2>&1 ||
    { cat "/tmp/gradamp-configure.$$" >&2; rm -f "/tmp/gradamp-configure.$$" "$folder/build.ninja"; return 1; }
  grep -s '^-- .*CUDA' "/tmp/gradamp-configure.$$" || true  # whether the build has the device cuda, and if not, why
  rm -f "/tmp/gradamp-configure.$$"
  cmake --build "$folder" --target $targets
}

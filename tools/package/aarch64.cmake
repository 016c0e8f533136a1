# Toolchain file: cross-compiles for Linux on aarch64, with GCC, and runs the tests with qemu.
#
#     cmake --preset release -B build-aarch64 -DGRADAMP_CUDA=OFF -DCMAKE_TOOLCHAIN_FILE=tools/package/aarch64.cmake
#
# The libraries for aarch64 are those in GRADAMP_AARCH64_ROOT (an option, or an environment variable): a folder with the
# files of a system for aarch64, such as a copy of its /usr and /lib. Without it they are those of this system,
# installed as packages of another architecture (Debian: `dpkg --add-architecture arm64`, libfmt-dev:arm64, ...).
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_CXX_COMPILER aarch64-linux-gnu-g++ CACHE FILEPATH "The compiler for aarch64")
set(GRADAMP_AARCH64_ROOT "$ENV{GRADAMP_AARCH64_ROOT}" CACHE PATH "A folder with the files of a system for aarch64")
list(APPEND CMAKE_TRY_COMPILE_PLATFORM_VARIABLES GRADAMP_AARCH64_ROOT)

set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64)
if(GRADAMP_AARCH64_ROOT)
  set(CMAKE_SYSROOT ${GRADAMP_AARCH64_ROOT})
  list(APPEND CMAKE_CROSSCOMPILING_EMULATOR -L ${GRADAMP_AARCH64_ROOT})
endif()
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)  # python3 and the like are programs of this system

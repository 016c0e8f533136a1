# Finds the CUDA toolkit and enables the language. Afterwards GRADAMP_CUDA is ON or OFF: AUTO becomes what there is, and
# ON without a toolkit is an error. A GPU is needed for none of it.
#
# Code is compiled for the architectures in CMAKE_CUDA_ARCHITECTURES or CUDAARCHS; without either, for the GPUs of this
# machine, and where there is none for 8.0 and 9.0, with PTX for what comes after.
if(NOT GRADAMP_CUDA)
  return()
endif()

find_program(GRADAMP_NVCC nvcc PATHS ENV CUDA_PATH /usr/local/cuda PATH_SUFFIXES bin)
find_package(CUDAToolkit 12.4 QUIET)
find_path(GRADAMP_CUBLAS_HEADER cublas_v2.h HINTS ${CUDAToolkit_INCLUDE_DIRS})
if(NOT GRADAMP_NVCC OR NOT CUDAToolkit_FOUND OR NOT GRADAMP_CUBLAS_HEADER)
  if(GRADAMP_CUDA STREQUAL "AUTO")
    message(STATUS "No CUDA toolkit of version 12.4 or newer with cuBLAS: building without the device cuda")
    set(GRADAMP_CUDA OFF)
    return()
  endif()
  message(FATAL_ERROR "GRADAMP_CUDA is ON, but there is no CUDA toolkit of version 12.4 or newer with cuBLAS. Install it "
                      "(nvcc on PATH, or in CUDA_PATH), or configure with -DGRADAMP_CUDA=OFF.")
endif()
set(GRADAMP_CUDA ON)

if(NOT DEFINED CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
  set(CMAKE_CUDA_COMPILER ${GRADAMP_NVCC})
endif()
if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES AND NOT DEFINED ENV{CUDAARCHS})
  execute_process(COMMAND nvidia-smi --query-gpu=compute_cap --format=csv,noheader OUTPUT_VARIABLE architectures
                  ERROR_QUIET RESULT_VARIABLE failed)
  string(REGEX MATCHALL "[0-9]+\\.[0-9]+" architectures "${architectures}")
  string(REPLACE "." "" architectures "${architectures}")
  list(REMOVE_DUPLICATES architectures)
  if(failed OR NOT architectures)
    set(architectures 80-real 90)
  endif()
  set(CMAKE_CUDA_ARCHITECTURES ${architectures} CACHE STRING "Compute capabilities to compile for")
endif()
enable_language(CUDA)
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25 does not know that nvcc has it
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
endif()
set(CMAKE_CUDA_STANDARD 20)
set(CMAKE_CUDA_STANDARD_REQUIRED ON)
set(CMAKE_CUDA_EXTENSIONS OFF)
message(STATUS "CUDA ${CMAKE_CUDA_COMPILER_VERSION}, for ${CMAKE_CUDA_ARCHITECTURES}")

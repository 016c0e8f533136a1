# The instruction sets that kernels are compiled for: those of kernels/cpu/instruction_set.h. In these kernels products
# and sums are contracted to fused multiply-adds if the set has these.
include_guard()
set(simd_options -ffp-contract=fast)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # A few of the notes that simd/simd.h turns off have no place in a file, so that its pragma does not reach them.
  list(APPEND simd_options -Wno-psabi)
endif()
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  set(instruction_sets sse4 avx2 avx512)
  set(sse4_options -march=x86-64-v2)
  set(avx2_options -march=x86-64-v3)
  set(avx512_options -march=x86-64-v4 -mprefer-vector-width=512)
  # A part of the kernels, beside AVX-512's: see gradamp_simd_set.
  set(avx512bf16_options ${avx512_options} -mavx512bf16 -DGRADAMP_SIMD_PAIRS)
else()
  set(instruction_sets neon)
  set(neon_options)
endif()

# gradamp_simd_set(TARGET SET SOURCES...): compiles each source, a path from the top, for this instruction set.
function(gradamp_simd_set target set)
  foreach(kernel IN LISTS ARGN)
    get_filename_component(name ${kernel} NAME)
    set(source ${CMAKE_CURRENT_BINARY_DIR}/simd_${set}/${name})
    file(CONFIGURE OUTPUT ${source} CONTENT "#include \"gradamp/${kernel}\"\n")
    set_source_files_properties(${source} PROPERTIES COMPILE_DEFINITIONS GRADAMP_SIMD=simd_${set}
                                                     COMPILE_OPTIONS "${simd_options};${${set}_options}")
    target_sources(${target} PRIVATE ${source})
  endforeach()
endfunction()

# gradamp_simd_sources(TARGET SOURCES...): compiles each source once for each instruction set.
function(gradamp_simd_sources target)
  foreach(set IN LISTS instruction_sets)
    gradamp_simd_set(${target} ${set} ${ARGN})
  endforeach()
endfunction()

# gradamp_add_kernels(TARGET FILES.cu...): CUDA kernels of one's own in TARGET, which is linked to gradamp::engine. Each
# file is compiled for the device emulated by the C++ compiler, and if the project has the language CUDA, for the device
# cuda by its compiler, too. The files include <gradamp/kernels/cuda/cuda.h> and define what they have in namespaces that
# end with GRADAMP_GPU, which is `emulated` in the one case and `cuda` in the other.
function(gradamp_add_kernels target)
  # `#pragma unroll`; vectors are read from arrays; a stack has one page of guard; messages name the line. Products and
  # sums are not contracted, so that the bits do not depend on this processor's instructions.
  set(options -Wno-unknown-pragmas -fno-strict-aliasing -fstack-clash-protection -g -ffp-contract=off)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    list(APPEND options -gdwarf-4)  # what binutils' addr2line understands
  endif()
  foreach(file IN LISTS ARGN)
    get_filename_component(path ${file} ABSOLUTE)
    get_filename_component(folder ${path} DIRECTORY)
    string(MAKE_C_IDENTIFIER "${target}_${file}" name)
    set(emulated ${CMAKE_CURRENT_BINARY_DIR}/gradamp_kernels/${name}.cpp)
    file(CONFIGURE OUTPUT ${emulated} CONTENT "#include \"${path}\"\n")
    set_source_files_properties(${emulated} PROPERTIES COMPILE_OPTIONS "${options}" OBJECT_DEPENDS ${path}
                                                       COMPILE_DEFINITIONS GRADAMP_EMULATION INCLUDE_DIRECTORIES ${folder})
    target_sources(${target} PRIVATE ${emulated})
    if(CMAKE_CUDA_COMPILER)
      target_sources(${target} PRIVATE ${path})
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE gradamp::engine)
endfunction()

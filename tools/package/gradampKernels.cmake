# gradamp_emulation_options(VARIABLE): the options with which the C++ compiler compiles a kernel file for the emulator.
function(gradamp_emulation_options variable)
  # For `#pragma unroll`; vectors that are read from arrays; a single guard page per stack; messages with line numbers.
  # Products and sums are not contracted, so that the bits do not depend on the processor's instructions.
  set(options -Wno-unknown-pragmas -fno-strict-aliasing -fstack-clash-protection -g -ffp-contract=off)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "Clang")
    list(APPEND options -gdwarf-4)  # the version that binutils' addr2line understands
  endif()
  set(${variable} ${options} PARENT_SCOPE)
endfunction()

# gradamp_add_kernels(TARGET FILES.cu...): adds your own CUDA kernels to TARGET and links it to gradamp::engine. The C++
# compiler compiles each file for the device emulated. If the project has the language CUDA, its compiler also compiles
# the file for the device cuda, and TARGET has the definition OWN_KERNELS_CUDA. The files include
# <gradamp/kernels/cuda/cuda.h> and put their code into namespaces that end with GRADAMP_GPU, which is `emulated` in one
# compilation and `cuda` in the other.
function(gradamp_add_kernels target)
  gradamp_emulation_options(options)
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
      set_source_files_properties(${path} PROPERTIES LANGUAGE CUDA COMPILE_OPTIONS -std=c++20)
      target_sources(${target} PRIVATE ${path})
      target_compile_definitions(${target} PRIVATE OWN_KERNELS_CUDA)
    endif()
  endforeach()
  target_link_libraries(${target} PRIVATE gradamp::engine)
endfunction()

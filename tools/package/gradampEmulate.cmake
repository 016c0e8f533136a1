# gradamp_add_emulated(TARGET FILES... [RACE] [DEBUG] [INCLUDES FOLDERS...] [DEFINITIONS NAMES...]): a program of plain
# CUDA files (with <<<>>> and its own main), which `gradamp emulate` compiles for the CPU. TARGET is an executable: use
# it as the command of add_test. A mistake in a kernel ends the program with the exit code 1 and a message.
# RACE: also find races and reads of uninitialized memory. DEBUG: without optimization, for gdb.
function(gradamp_add_emulated target)
  cmake_parse_arguments(PARSE_ARGV 1 argument "RACE;DEBUG" "" "INCLUDES;DEFINITIONS")
  if(NOT argument_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "gradamp_add_emulated(${target}): expected at least one .cu file")
  endif()
  set(program ${gradamp_PROGRAM})
  if(TARGET gradamp)  # gradamp is a part of this build
    set(program $<TARGET_FILE:gradamp>)
  elseif(NOT EXISTS "${program}")
    message(FATAL_ERROR "gradamp_add_emulated needs the program gradamp, which is not at '${program}': build gradamp "
                        "with GRADAMP_PROGRAM=ON, or set gradamp_PROGRAM to it")
  endif()
  set(files)
  foreach(file IN LISTS argument_UNPARSED_ARGUMENTS)
    get_filename_component(path ${file} ABSOLUTE)
    list(APPEND files ${path})
  endforeach()
  set(options)
  foreach(folder IN LISTS argument_INCLUDES)
    get_filename_component(path ${folder} ABSOLUTE)
    list(APPEND options -I ${path})
  endforeach()
  foreach(name IN LISTS argument_DEFINITIONS)
    list(APPEND options -D ${name})
  endforeach()
  if(argument_RACE)
    list(APPEND options --race)
  endif()
  if(argument_DEBUG)
    list(APPEND options --debug)
  endif()
  set(compiler)
  if(CMAKE_CXX_COMPILER)
    set(compiler ${CMAKE_COMMAND} -E env "CXX=${CMAKE_CXX_COMPILER}")
  endif()
  # Not the name of the target: CMake would take the file for it, and find a circle.
  set(output ${CMAKE_CURRENT_BINARY_DIR}/${target}.emulated)
  add_custom_command(OUTPUT ${output}
                     COMMAND ${compiler} ${program} emulate ${files} ${options} -o ${output} --dependencies ${output}.d
                     DEPENDS ${files} ${program} DEPFILE ${output}.d COMMENT "Compiling ${target} for the CPU" VERBATIM)
  add_custom_target(${target}_emulated ALL DEPENDS ${output})
  add_executable(${target} IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES IMPORTED_LOCATION ${output})
  add_dependencies(${target} ${target}_emulated)
endfunction()

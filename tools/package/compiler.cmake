# gradamp_require_compiler(ID VERSION): an error that names the required version if a compiler's C++20 is incomplete.
function(gradamp_require_compiler id version)
  set(least_GNU 11)
  set(least_Clang 14)
  set(least_AppleClang 14)
  if(DEFINED least_${id} AND version VERSION_LESS least_${id})
    message(FATAL_ERROR "gradamp needs C++20: GCC 11, Clang 14 or newer. This compiler is ${id} ${version}; name another "
                        "one, for example with -DCMAKE_CXX_COMPILER=g++-12.")
  endif()
endfunction()

# Packages are for other machines, too, so the build must be portable.
if(CPACK_GRADAMP_NATIVE)
  message(FATAL_ERROR "This build uses instructions that only machines like this one have. Configure it with "
                      "-DGRADAMP_NATIVE=OFF before packing it.")
endif()

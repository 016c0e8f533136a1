# The interface for other projects: gradamp::engine, gradamp::program and gradamp::statistics, their installation, the CMake package,
# pkg-config's file and CPack's packages.

# gradamp_package_library(NAME FILE PARTS...): the library gradamp::NAME, made of the objects of our libraries PARTS.
function(gradamp_package_library name file)
  set(objects)
  foreach(part IN LISTS ARGN)
    list(APPEND objects $<TARGET_OBJECTS:gradamp_${part}>)
  endforeach()
  add_library(gradamp_${name} ${objects})
  add_library(gradamp::${name} ALIAS gradamp_${name})
  set_target_properties(gradamp_${name} PROPERTIES LINKER_LANGUAGE CXX EXPORT_NAME ${name} OUTPUT_NAME ${file}
                        VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR})
  if(BUILD_SHARED_LIBS)
    target_link_options(gradamp_${name} PRIVATE -Wl,--version-script,${PROJECT_SOURCE_DIR}/tools/package/exports.map)
  endif()
endfunction()

set(parts core cpu emulation emulated kernels layers data optim training nets)
if(GRADAMP_CUDA)
  list(APPEND parts cuda hopper)
endif()
gradamp_package_library(engine gradamp ${parts})
target_link_libraries(gradamp_engine PUBLIC gradamp_headers
                      PRIVATE Threads::Threads $<$<BOOL:${GRADAMP_CUDA}>:CUDA::cudart_static> ${CMAKE_DL_LIBS})
if(GRADAMP_PROGRAM)
  gradamp_package_library(program gradamp_program download images tools)
  target_link_libraries(gradamp_program PUBLIC gradamp_engine
                        PRIVATE CURL::libcurl LibArchive::LibArchive ZLIB::ZLIB OpenSSL::Crypto)
  if(GRADAMP_IMAGE_FILES)
    target_link_libraries(gradamp_program PRIVATE PNG::PNG JPEG::JPEG)
  endif()
endif()

# The Python package: `cmake --build build --target gradamp_wheel` writes python/gradamp-VERSION-py3-none-PLATFORM.whl.
if(PROJECT_IS_TOP_LEVEL)
  find_package(Python3 COMPONENTS Interpreter)
  if(Python3_FOUND)
    add_custom_target(gradamp_wheel VERBATIM
                      COMMAND Python3::Interpreter ${PROJECT_SOURCE_DIR}/tools/python/make_wheel.py
                              $<TARGET_FILE:gradamp_statistics> ${PROJECT_BINARY_DIR}/python)
    add_dependencies(gradamp_wheel gradamp_statistics)
  endif()
endif()

include(tools/package/gradampEmulate.cmake)

if(NOT GRADAMP_INSTALL)
  return()
endif()

include(CMakePackageConfigHelpers)
set(package ${CMAKE_INSTALL_LIBDIR}/cmake/gradamp)
install(TARGETS gradamp_headers gradamp_engine EXPORT gradampEngineTargets)
install(EXPORT gradampEngineTargets NAMESPACE gradamp:: DESTINATION ${package})
install(TARGETS gradamp_statistics EXPORT gradampStatisticsTargets)
install(EXPORT gradampStatisticsTargets NAMESPACE gradamp:: DESTINATION ${package})
if(GRADAMP_PROGRAM)
  install(TARGETS gradamp_program EXPORT gradampProgramTargets)
  install(EXPORT gradampProgramTargets NAMESPACE gradamp:: DESTINATION ${package})
  install(TARGETS gradamp gradamp_emulator)
  if(TARGET gradamp_mpi)
    install(TARGETS gradamp_mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/gradamp)
  endif()
  install(DIRECTORY tools/examples DESTINATION ${CMAKE_INSTALL_DATADIR}/gradamp)
  install(DIRECTORY tools/report DESTINATION ${CMAKE_INSTALL_DATADIR}/gradamp FILES_MATCHING PATTERN *.py)
endif()

# Headers: all except those of single backends and of the program, of which only one is installed.
foreach(folder core layers data optim nets)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradamp FILES_MATCHING PATTERN *.h)
endforeach()
install(DIRECTORY kernels/cuda kernels/emulation DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradamp/kernels
        FILES_MATCHING PATTERN *.h)
install(FILES kernels/backends.h kernels/self_check.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradamp/kernels)
install(FILES kernels/statistics/gradamp_statistics.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES tools/program/run_program.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/gradamp/tools/program)

configure_package_config_file(tools/package/gradampConfig.cmake.in gradampConfig.cmake INSTALL_DESTINATION ${package})
write_basic_package_version_file(gradampConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/gradampConfig.cmake ${PROJECT_BINARY_DIR}/gradampConfigVersion.cmake
              tools/package/gradampKernels.cmake tools/package/gradampEmulate.cmake DESTINATION ${package})
# Libraries that a program must also link if the engine is a static library.
set(static_libraries)
if(NOT BUILD_SHARED_LIBS)
  set(static_libraries "-lpthread -ldl")
  if(GRADAMP_CUDA)
    string(APPEND static_libraries " -L${CUDAToolkit_LIBRARY_DIR} -lcudart_static -lrt")
  endif()
endif()
file(RELATIVE_PATH to_prefix /prefix/${CMAKE_INSTALL_LIBDIR}/pkgconfig /prefix)
configure_file(tools/package/gradamp.pc.in gradamp.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/gradamp.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

if(NOT PROJECT_IS_TOP_LEVEL)
  return()
endif()

# ---- cpack ----

set(CPACK_GENERATOR DEB TGZ)
set(CPACK_PACKAGE_CONTACT "the gradamp project")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "${PROJECT_DESCRIPTION}")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_RESOURCE_FILE_LICENSE ${PROJECT_SOURCE_DIR}/LICENSE)
set(CPACK_RESOURCE_FILE_README ${PROJECT_SOURCE_DIR}/README.md)
set(CPACK_STRIP_FILES ON)
set(CPACK_VERBATIM_VARIABLES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "libfmt-dev, openmpi-bin")
set(CPACK_PRE_BUILD_SCRIPTS ${PROJECT_SOURCE_DIR}/tools/package/check_portable.cmake)
set(CPACK_GRADAMP_NATIVE ${GRADAMP_NATIVE})
include(CPack)

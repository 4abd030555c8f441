# What an installation has, find_package(microlift) for it, and the Debian package: cpack -G DEB.

set(MICROLIFT_CONFIG_DIR ${CMAKE_INSTALL_LIBDIR}/cmake/microlift)
install(TARGETS microlift EXPORT microliftTargets ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS microlift_command RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
foreach(folder kernels engine nn sampling)
  install(DIRECTORY ${folder} DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/microlift
          FILES_MATCHING PATTERN "*.h" PATTERN "*.cuh")
endforeach()
install(EXPORT microliftTargets NAMESPACE microlift:: DESTINATION ${MICROLIFT_CONFIG_DIR})
configure_package_config_file(tools/build/microliftConfig.cmake.in
  ${CMAKE_CURRENT_BINARY_DIR}/microliftConfig.cmake INSTALL_DESTINATION ${MICROLIFT_CONFIG_DIR})
write_basic_package_version_file(${CMAKE_CURRENT_BINARY_DIR}/microliftConfigVersion.cmake
  COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/microliftConfig.cmake
              ${CMAKE_CURRENT_BINARY_DIR}/microliftConfigVersion.cmake tools/build/sources.cmake
              tools/build/cuda.cmake
        DESTINATION ${MICROLIFT_CONFIG_DIR})

# The report; pages and examples in folders as here, so that their links and paths lead somewhere.
set(MICROLIFT_SHARE ${CMAKE_INSTALL_DATADIR}/microlift)
install(DIRECTORY tools/report DESTINATION ${MICROLIFT_SHARE}
        FILES_MATCHING PATTERN "*.py" PATTERN "*.css" PATTERN "*.js" PATTERN "__pycache__" EXCLUDE)
install(FILES README.md DESTINATION ${MICROLIFT_SHARE})
install(DIRECTORY tools/docs tools/examples DESTINATION ${MICROLIFT_SHARE}/tools
        FILES_MATCHING PATTERN "*.md" PATTERN "*.toml" PATTERN "*.dat" PATTERN "*.png")
install(DIRECTORY bench/data DESTINATION ${MICROLIFT_SHARE}/bench PATTERN "*.sh" EXCLUDE PATTERN "*.py" EXCLUDE)
install(FILES bench/README.md DESTINATION ${MICROLIFT_SHARE}/bench)

# Manual page and completion say what the command itself says when it is installed; reference pages what headers say.
find_package(Python3 COMPONENTS Interpreter)
find_program(MICROLIFT_GZIP gzip)
if(Python3_EXECUTABLE AND MICROLIFT_GZIP)
  set(made ${CMAKE_CURRENT_BINARY_DIR}/manual)
  install(CODE "
    execute_process(COMMAND \"${Python3_EXECUTABLE}\" \"${CMAKE_CURRENT_SOURCE_DIR}/tools/build/manual.py\"
      \"$<TARGET_FILE:microlift_command>\" ${PROJECT_VERSION} \"${made}/microlift.1\" \"${made}/microlift\"
      COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \"${Python3_EXECUTABLE}\" \"${CMAKE_CURRENT_SOURCE_DIR}/tools/docs/api.py\" \"${made}/api\"
      COMMAND_ERROR_IS_FATAL ANY)
    execute_process(COMMAND \"${MICROLIFT_GZIP}\" -9nf \"${made}/microlift.1\" COMMAND_ERROR_IS_FATAL ANY)")
  install(FILES ${made}/microlift.1.gz DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
  install(FILES ${made}/microlift DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions)
  install(DIRECTORY ${made}/api DESTINATION ${CMAKE_INSTALL_DOCDIR})
else()
  message(STATUS "microlift: without python3 and gzip an installation has neither manual page nor completion nor reference")
endif()
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_VENDOR "The microlift authors")
set(CPACK_PACKAGE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR})
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_MAINTAINER "The microlift authors")
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# The report is drawn with these; programs in C++ are linked with those.
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "python3, python3-numpy, python3-matplotlib, python3-h5py")
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "g++, cmake, pkg-config, libhdf5-dev, libpugixml-dev")
string(CONCAT CPACK_DEBIAN_PACKAGE_DESCRIPTION
  "Runs thousands of biased stochastic trajectories at once, estimates free\n"
  "energies along collective variables, trains generators that turn their values\n"
  "back into fine-scale states, and closes the reduced model. The command, and a\n"
  "C++ library for find_package(microlift).\n"
  "CPU kernels: ${MICROLIFT_CPU_SUMMARY}.")
if(PROJECT_IS_TOP_LEVEL)
  include(CPack)
endif()

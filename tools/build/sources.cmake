# How a source is compiled follows from its file name, wherever it lies; the library, its tests and the
# projects of its users (microlift_add_ops) share this file.
#
#   X.cpp        host C++
#   X.lanes.cpp  C++ over SIMD lanes: -O3, and once for each instruction set where they are dispatched
#   X.ops.cpp    kernel bodies: as X.lanes.cpp, and a second time as CUDA through a generated X.ops.cpp.cu
#   X_system.ops.cpp   a built-in system: as X.ops.cpp, scheduled
#   X.cu         CUDA alone

# Time loops (the steps, the next steps' noise) and activations hold long chains side by side, which GCC
# leaves one after the other unless it schedules before it assigns registers. Products lose by it.
set(MICROLIFT_SCHEDULED bytecode_path.lanes.cpp cgan.lanes.cpp conv.lanes.cpp energy.lanes.cpp
    flow.lanes.cpp score.lanes.cpp held_out.lanes.cpp latent_sampler.lanes.cpp mlp.lanes.cpp single_network.lanes.cpp
    training.lanes.cpp whitening.lanes.cpp)
# Its loops are written out: what -O3 adds to them, copies of loops among it, took 2 to 4 % of a molecule's step. GCC's
# false alarms are more by it.
set(MICROLIFT_PLAIN molecule_path.ops.cpp)
# Explicit fma only: contraction by the compiler would break the equality of widths and machines. The C++
# pass calls launchers that the CUDA pass instantiates: they may not vanish by inlining.
set(MICROLIFT_CUDA_FLAGS -fmad=false --expt-relaxed-constexpr -Wno-deprecated-gpu-targets
    -Xcompiler=-Wno-unknown-pragmas,-ffp-contract=off,-fno-inline,-fno-ipa-cp,-fno-ipa-sra)

# What most host sources include, read once; headers of the project are not among them.
set(MICROLIFT_PRECOMPILED <algorithm> <array> <chrono> <cmath> <cstdint> <cstring> <filesystem> <fstream>
    <functional> <iostream> <limits> <list> <map> <memory> <mutex> <numeric> <optional> <ranges> <sstream>
    <stdexcept> <string> <string_view> <utility> <variant> <vector>)
function(microlift_precompile target)
  if(CMAKE_CXX_COMPILER_LAUNCHER MATCHES "ccache")
    return()  # it does not keep what was compiled with them
  endif()
  if(CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64")
    list(APPEND MICROLIFT_PRECOMPILED <immintrin.h>)
  endif()
  list(TRANSFORM MICROLIFT_PRECOMPILED REPLACE ".+" "$<$<COMPILE_LANGUAGE:CXX>:\\0>" OUTPUT_VARIABLE headers)
  target_precompile_headers(${target} PRIVATE ${headers} ${ARGN})
endfunction()

# Sorted so that long compilations start first and no core waits for the last one.
function(microlift_longest_first result)
  set(lists ops lanes other)
  foreach(name ${lists})
    set(${name} "")
  endforeach()
  foreach(source ${ARGN})
    if(source MATCHES "\\.(ops|lanes)\\.cpp$")
      list(APPEND ${CMAKE_MATCH_1} ${source})
    else()
      list(APPEND other ${source})
    endif()
  endforeach()
  set(${result} ${ops} ${lanes} ${other} PARENT_SCOPE)
endfunction()

# Sets what the names ask for.
function(microlift_source_flags)
  foreach(source ${ARGN})
    cmake_path(GET source FILENAME name)
    if(name MATCHES "\\.(ops|lanes)\\.cpp$")
      set(level -O3)
      if(name IN_LIST MICROLIFT_PLAIN)
        set(level -O2 -Wno-maybe-uninitialized)
      endif()
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS "$<$<CONFIG:Release>:${level}>")
      set_property(SOURCE ${source} PROPERTY SKIP_PRECOMPILE_HEADERS ON)  # their flags differ
    endif()
    if((name IN_LIST MICROLIFT_SCHEDULED OR name MATCHES "_system\\.ops\\.cpp$")
       AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS
                   $<$<CONFIG:Release>:-fschedule-insns>)
    endif()
  endforeach()
endfunction()

# Adds the CUDA pass of the *.ops.cpp among the sources.
function(microlift_add_cuda_pass target)
  if(NOT MICROLIFT_HAVE_CUDA)
    return()
  endif()
  foreach(source ${ARGN})
    cmake_path(GET source FILENAME name)
    if(name MATCHES "\\.ops\\.cpp$")
      cmake_path(ABSOLUTE_PATH source NORMALIZE)
      # Named by the whole path: two folders may hold sources of one name.
      cmake_path(RELATIVE_PATH source BASE_DIRECTORY ${CMAKE_CURRENT_SOURCE_DIR} OUTPUT_VARIABLE flat)
      string(REPLACE "/" "_" flat "${flat}")
      set(generated ${CMAKE_CURRENT_BINARY_DIR}/cuda/${flat}.cu)
      file(CONFIGURE OUTPUT ${generated} CONTENT "#include \"${source}\"\n")
      set_property(SOURCE ${generated} APPEND PROPERTY OBJECT_DEPENDS ${source})
      set_property(SOURCE ${generated} PROPERTY SKIP_UNITY_BUILD_INCLUSION ON)
      target_sources(${target} PRIVATE ${generated})
    endif()
  endforeach()
endfunction()

function(microlift_add_sources target)
  microlift_source_flags(${ARGN})
  microlift_longest_first(sources ${ARGN})
  target_sources(${target} PRIVATE ${sources})
  microlift_add_cuda_pass(${target} ${ARGN})
endfunction()

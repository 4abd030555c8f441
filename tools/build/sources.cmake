# How a source is compiled follows from its file name, wherever it lies; the library, its tests and the
# projects of its users (microlift_add_ops) share this file.
#
#   X.cpp        host C++
#   X.lanes.cpp  C++ over SIMD lanes: -O3, and once for each instruction set where they are dispatched
#   X.ops.cpp    kernel bodies: as X.lanes.cpp, and a second time as CUDA through a generated X.ops.cpp.cu
#   X.cu         CUDA alone

# Time loops (the steps, the next steps' noise) and activations hold long chains side by side, which GCC
# leaves one after the other unless it schedules before it assigns registers. Products lose by it.
set(MICROLIFT_SCHEDULED system_kernels.ops.cpp bytecode_path.lanes.cpp cgan.lanes.cpp conv.lanes.cpp
    energy.lanes.cpp flow.lanes.cpp held_out.lanes.cpp latent_sampler.lanes.cpp mlp.lanes.cpp
    single_network.lanes.cpp training.lanes.cpp whitening.lanes.cpp)
# Explicit fma only: contraction by the compiler would break the equality of widths and machines. The C++
# pass calls launchers that the CUDA pass instantiates: they may not vanish by inlining.
set(MICROLIFT_CUDA_FLAGS -fmad=false --expt-relaxed-constexpr -Wno-deprecated-gpu-targets
    -Xcompiler=-Wno-unknown-pragmas,-ffp-contract=off,-fno-inline,-fno-ipa-cp,-fno-ipa-sra)

# Sets what the names ask for.
function(microlift_source_flags)
  foreach(source ${ARGN})
    cmake_path(GET source FILENAME name)
    if(name MATCHES "\\.(ops|lanes)\\.cpp$")
      set_property(SOURCE ${source} APPEND PROPERTY COMPILE_OPTIONS $<$<CONFIG:Release>:-O3>)
    endif()
    if(name IN_LIST MICROLIFT_SCHEDULED AND CMAKE_CXX_COMPILER_ID STREQUAL GNU)
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
      set(generated ${CMAKE_CURRENT_BINARY_DIR}/cuda/${name}.cu)
      file(CONFIGURE OUTPUT ${generated} CONTENT "#include \"${source}\"\n")
      set_property(SOURCE ${generated} APPEND PROPERTY OBJECT_DEPENDS ${source})
      target_sources(${target} PRIVATE ${generated})
    endif()
  endforeach()
endfunction()

function(microlift_add_sources target)
  microlift_source_flags(${ARGN})
  target_sources(${target} PRIVATE ${ARGN})
  microlift_add_cuda_pass(${target} ${ARGN})
endfunction()

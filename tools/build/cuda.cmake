# The CUDA toolchain, of microlift and of the projects of its users.

# Machine code of the GPUs that this machine has; without one PTX alone, which the driver of whatever GPU
# runs it compiles at its first start: a third of the compile time is the assembler's.
function(microlift_cuda_architectures result)
  set(architectures "")
  find_program(MICROLIFT_NVIDIA_SMI nvidia-smi)
  if(MICROLIFT_NVIDIA_SMI)
    execute_process(COMMAND ${MICROLIFT_NVIDIA_SMI} --query-gpu=compute_cap --format=csv,noheader
                    OUTPUT_VARIABLE capabilities ERROR_QUIET)
    string(REGEX MATCHALL "[0-9]+\\.[0-9]" capabilities "${capabilities}")
    foreach(capability ${capabilities})
      string(REPLACE "." "" number ${capability})
      list(APPEND architectures ${number}-real)
    endforeach()
    list(REMOVE_DUPLICATES architectures)
  endif()
  if(NOT architectures)
    set(architectures 90-virtual)
  endif()
  set(${result} ${architectures} PARENT_SCOPE)
endfunction()

# CMake has NVRTC need a driver, which it does not; a program linked to the driver would not start without one.
macro(microlift_find_cuda)
  find_package(CUDAToolkit REQUIRED)
  set_property(TARGET CUDA::nvrtc PROPERTY INTERFACE_LINK_LIBRARIES "")
endmacro()

# Whether a CUDA build may use cuDNN: its headers are enough.
function(microlift_find_cudnn result)
  set(${result} OFF PARENT_SCOPE)
  if(NOT MICROLIFT_HAVE_CUDA OR MICROLIFT_CUDNN STREQUAL "OFF")
    return()
  endif()
  find_path(MICROLIFT_CUDNN_INCLUDE cudnn_cnn.h HINTS ${CUDAToolkit_INCLUDE_DIRS} ENV CUDNN_PATH
            PATH_SUFFIXES include)
  if(MICROLIFT_CUDNN_INCLUDE)
    set(${result} ON PARENT_SCOPE)
  elseif(MICROLIFT_CUDNN STREQUAL "ON")
    message(FATAL_ERROR "MICROLIFT_CUDNN=ON, but no cudnn_cnn.h was found; install cuDNN 9 for CUDA 13, say "
                        "where it is by CUDNN_PATH, or set MICROLIFT_CUDNN=OFF")
  endif()
endfunction()

# At file scope.
macro(microlift_enable_cuda nvcc)
  if(NOT DEFINED CMAKE_CUDA_ARCHITECTURES)
    microlift_cuda_architectures(CMAKE_CUDA_ARCHITECTURES)
  endif()
  if(NOT CMAKE_CUDA_COMPILER)
    set(CMAKE_CUDA_COMPILER ${nvcc})
  endif()
  set(CMAKE_CUDA_RUNTIME_LIBRARY Shared)  # a static one beside it would be a second runtime
  enable_language(CUDA)
  # PTX alone stays text, which tools/checks/emulated.sh can execute without a GPU.
  set(MICROLIFT_PTX_ONLY OFF)
  if(CMAKE_CUDA_ARCHITECTURES MATCHES "^[0-9]+a?-virtual(;[0-9]+a?-virtual)*$")
    set(MICROLIFT_PTX_ONLY ON)
    string(APPEND CMAKE_CUDA_FLAGS " --no-compress")
  endif()
  set(CMAKE_CUDA_STANDARD 20)
  if(NOT DEFINED CMAKE_CUDA20_STANDARD_COMPILE_OPTION)  # CMake 3.25.1 knows none later than 17
    set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
    set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
  endif()
endmacro()

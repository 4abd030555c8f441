# Target `sass`: all kernels of the library, as machine code of the architecture that bench/results/sass.json
# and cost.json count, with the assembler's report of registers and spills beside it (*.ptxas). Apart from the
# build, which holds other machine code or none.
file(GLOB_RECURSE counted CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR}
     engine/*.ops.cpp nn/*.ops.cpp sampling/*.ops.cpp engine/*.cu nn/*.cu sampling/*.cu)
list(APPEND counted tests/support/curand_words.cu)  # its kernels stand beside the project's own
set(cubins "")
foreach(source ${counted})
  string(REPLACE "/" "_" name ${source})
  set(cubin ${PROJECT_BINARY_DIR}/sass/${name}.cubin)
  set(lines "")
  if(name MATCHES "_molecule_path\\.")  # which PTX an instruction is of: tools/checks/cost/executed_code.py
    set(lines -lineinfo)
  endif()
  add_custom_command(OUTPUT ${cubin}
    COMMAND ${PROJECT_SOURCE_DIR}/tools/build/nvcc_report.sh ${MICROLIFT_NVCC} -x cu -cubin -arch=sm_90
            -std=c++20 -DNDEBUG -DMICROLIFT_HAVE_CUDA=1 -I${PROJECT_SOURCE_DIR} ${MICROLIFT_CUDA_FLAGS}
            ${lines} -Xptxas=-v -MD -MF ${cubin}.d ${PROJECT_SOURCE_DIR}/${source} -o ${cubin}
    DEPENDS ${source} DEPFILE ${cubin}.d COMMENT "Assembling the kernels of ${source}" VERBATIM)
  list(APPEND cubins ${cubin})
endforeach()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/sass)
add_custom_target(sass DEPENDS ${cubins})

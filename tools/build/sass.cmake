# Target `sass`: the kernels that bench/results/sass.json counts, as machine code of its architecture with
# the assembler's report of registers and spills beside it (*.ptxas). Apart from the build, which holds
# other machine code or none.
file(GLOB_RECURSE counted CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} sampling/dynamics/*.ops.cpp)
file(GLOB tiles CONFIGURE_DEPENDS RELATIVE ${PROJECT_SOURCE_DIR} nn/generators/gan_tiles_*.cu)
set(cubins "")
foreach(source ${counted} ${tiles})
  string(REPLACE "/" "_" name ${source})
  set(cubin ${PROJECT_BINARY_DIR}/sass/${name}.cubin)
  add_custom_command(OUTPUT ${cubin}
    COMMAND ${PROJECT_SOURCE_DIR}/tools/build/nvcc_report.sh ${MICROLIFT_NVCC} -x cu -cubin -arch=sm_90
            -std=c++20 -DNDEBUG -DMICROLIFT_HAVE_CUDA=1 -I${PROJECT_SOURCE_DIR} ${MICROLIFT_CUDA_FLAGS}
            -Xptxas=-v -MD -MF ${cubin}.d ${PROJECT_SOURCE_DIR}/${source} -o ${cubin}
    DEPENDS ${source} DEPFILE ${cubin}.d COMMENT "Assembling the kernels of ${source}" VERBATIM)
  list(APPEND cubins ${cubin})
endforeach()
file(MAKE_DIRECTORY ${PROJECT_BINARY_DIR}/sass)
add_custom_target(sass DEPENDS ${cubins})

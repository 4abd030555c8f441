# Run-time dispatch of the CPU kernels (engine/device/cpu.h).

if(NOT MICROLIFT_CPU MATCHES "^(native|dispatch)$")
  message(FATAL_ERROR "MICROLIFT_CPU=${MICROLIFT_CPU}: use native or dispatch")
endif()
# -march of each level that engine/device/cpu.cpp knows, lowest first.
set(MICROLIFT_CPU_LEVELS baseline avx2 avx512)
set(MICROLIFT_MARCH_baseline x86-64)
set(MICROLIFT_MARCH_avx2 x86-64-v3)
set(MICROLIFT_MARCH_avx512 x86-64-v4)

enable_language(ASM)
if(MICROLIFT_CPU STREQUAL "dispatch")
  if(NOT CMAKE_SYSTEM_PROCESSOR MATCHES "x86_64|AMD64" OR NOT CMAKE_SYSTEM_NAME STREQUAL "Linux")
    message(FATAL_ERROR "MICROLIFT_CPU=dispatch is for x86-64 Linux; use native")
  endif()
  if(MICROLIFT_SANITIZE)
    message(FATAL_ERROR "MICROLIFT_CPU=dispatch excludes MICROLIFT_SANITIZE; use native")
  endif()
  set(MICROLIFT_ARCH_FLAG -march=x86-64)
  set(MICROLIFT_CPU_SUMMARY "dispatch: ${MICROLIFT_CPU_LEVELS}")
else()
  set(MICROLIFT_ARCH_FLAG -march=${MICROLIFT_ARCH})
  set(MICROLIFT_CPU_SUMMARY "-march=${MICROLIFT_ARCH}")
endif()

# Compiles the sources once for each level with the settings of `like`, and adds them to `target`, which
# calls the copy that was chosen at start.
function(dispatch_sources target like)
  set(folder ${CMAKE_CURRENT_BINARY_DIR}/dispatch/${target})
  set(sources ${ARGN})
  list(TRANSFORM sources PREPEND ${CMAKE_CURRENT_SOURCE_DIR}/ REGEX "^[^/]")
  set(lines "")
  set(outputs "")
  set(objects "")
  foreach(level ${MICROLIFT_CPU_LEVELS})
    set(part ${target}_${level})
    add_library(${part} OBJECT ${ARGN})
    target_include_directories(${part} PRIVATE $<TARGET_PROPERTY:${like},INCLUDE_DIRECTORIES>)
    target_compile_definitions(${part} PRIVATE $<TARGET_PROPERTY:${like},COMPILE_DEFINITIONS>)
    target_link_libraries(${part} PRIVATE Threads::Threads
      $<$<BOOL:${MICROLIFT_HAVE_CUDA}>:CUDA::cudart>)
    # Later options win. Unique symbols cannot be made local.
    target_compile_options(${part} PRIVATE $<TARGET_PROPERTY:${like},COMPILE_OPTIONS>
      -march=${MICROLIFT_MARCH_${level}} $<$<CXX_COMPILER_ID:GNU>:-fno-gnu-unique>)
    string(APPEND lines "${level};$<TARGET_OBJECTS:${part}>\n")
    list(APPEND objects $<TARGET_OBJECTS:${part}>)
    list(APPEND outputs ${folder}/${level}.o)
  endforeach()
  file(GENERATE OUTPUT ${folder}.sets CONTENT "${lines}")
  add_custom_command(OUTPUT ${outputs} ${folder}/entries.S
    COMMAND ${PROJECT_SOURCE_DIR}/tools/build/dispatch_objects.sh ${folder} ${CMAKE_LINKER} ${CMAKE_NM}
            ${CMAKE_OBJCOPY} ${sources} < ${folder}.sets
    DEPENDS ${objects} ${folder}.sets ${PROJECT_SOURCE_DIR}/tools/build/dispatch_objects.sh
    COMMENT "Joining the kernels of each instruction set" VERBATIM)
  set_source_files_properties(${outputs} PROPERTIES EXTERNAL_OBJECT ON GENERATED ON)
  target_sources(${target} PRIVATE ${outputs} ${folder}/entries.S)
  set_property(SOURCE ${PROJECT_SOURCE_DIR}/engine/device/cpu.cpp TARGET_DIRECTORY ${target} APPEND PROPERTY
    COMPILE_DEFINITIONS MICROLIFT_CPU_DISPATCH)
endfunction()

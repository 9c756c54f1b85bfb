# SPDX-License-Identifier: Apache-2.0
# Flags of the house: language, warnings, sanitizers, compiler cache and linker.

set(CMAKE_CXX_STANDARD 23)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_C_STANDARD 11)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

# A function of the library is not replaced by a program's of the same name: calls within a file may be inlined.
add_compile_options(-fno-semantic-interposition)

# NDEBUG is never defined: tapir's assertions speak of our own faults and stay on in release builds.
foreach(lang C CXX)
  set(CMAKE_${lang}_FLAGS_RELEASE "-O2 -g")
  set(CMAKE_${lang}_FLAGS_DEBUG "-O1 -g")
endforeach()
if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

# A warning is an error with the compilers the project is checked with; others may know new warnings.
set(werror OFF)
if((CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 13)
   OR (CMAKE_CXX_COMPILER_ID STREQUAL "Clang" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 20))
  set(werror ON)
endif()
option(TAPIR_WERROR "Warnings are errors" ${werror})

find_program(CCACHE_PROGRAM ccache)
if(CCACHE_PROGRAM AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${CCACHE_PROGRAM}")
endif()

find_program(MOLD_PROGRAM mold)
find_program(LLD_PROGRAM ld.lld)
if(MOLD_PROGRAM)
  add_link_options(-fuse-ld=mold)
elseif(LLD_PROGRAM)
  add_link_options(-fuse-ld=lld)
endif()

add_link_options(-Wl,--as-needed)

set(sanitize "${TAPIR_SANITIZE}")
if(TAPIR_FUZZ)
  add_compile_options(-fsanitize=fuzzer-no-link)
endif()
if(sanitize)
  add_compile_options(-fsanitize=${sanitize} -fno-sanitize-recover=all -fno-omit-frame-pointer)
  add_link_options(-fsanitize=${sanitize})
endif()

# What every translation unit of the project is compiled with. Headers of others are SYSTEM, so these spare them.
add_library(tapir_flags INTERFACE)
target_include_directories(tapir_flags INTERFACE "${PROJECT_SOURCE_DIR}/src")
target_compile_options(tapir_flags INTERFACE
  -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wsign-conversion
  $<$<COMPILE_LANGUAGE:CXX>:-Wnon-virtual-dtor>
  $<$<BOOL:${TAPIR_WERROR}>:-Werror>)

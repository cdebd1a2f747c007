# Everything comes from installed packages (scripts/setup brings them); nothing
# is fetched at configure time.
include(GoogleTest)

foreach(package OpenMP nlohmann_json fmt GTest benchmark CLI11 OpenSSL)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    message(FATAL_ERROR "${package} was not found: run scripts/setup")
  endif()
endforeach()

find_package(ICU QUIET COMPONENTS uc)
if(NOT ICU_FOUND)
  message(FATAL_ERROR "ICU was not found: run scripts/setup")
endif()

# Libraries without a CMake package of their own.
function(rattn_find_library target title header library)
  find_path(${title}_INCLUDE_DIR ${header})
  find_library(${title}_LIBRARY ${library})
  if(NOT ${title}_INCLUDE_DIR OR NOT ${title}_LIBRARY)
    message(FATAL_ERROR "${title} was not found: run scripts/setup")
  endif()
  add_library(${target} UNKNOWN IMPORTED GLOBAL)
  set_target_properties(${target} PROPERTIES
    IMPORTED_LOCATION ${${title}_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${${title}_INCLUDE_DIR})
endfunction()
rattn_find_library(hwy::hwy Highway hwy/highway.h hwy)
rattn_find_library(pcre2::pcre2-8 PCRE2 pcre2.h pcre2-8)
rattn_find_library(sentencepiece::sentencepiece SentencePiece
                   sentencepiece_processor.h sentencepiece)

if(NOT RATTN_WITH_TORCH)
  return()
endif()

# TorchConfig.cmake of the wheel asks for CUDA libraries that a CPU machine
# lacks; an imported target on torch_cpu and c10 needs none of them.
set(LIBTORCH_DIR "$ENV{LIBTORCH_DIR}" CACHE PATH "LibTorch 2.11 (include, lib)")
if(LIBTORCH_DIR)
  set(torch_root ${LIBTORCH_DIR})
else()
  file(GLOB torch_root ${PROJECT_SOURCE_DIR}/.deps/lib/python3*/site-packages/torch)
endif()
find_path(TORCH_INCLUDE_DIR torch/library.h PATHS ${torch_root}/include
          NO_DEFAULT_PATH)
find_library(TORCH_CPU_LIBRARY torch_cpu PATHS ${torch_root}/lib NO_DEFAULT_PATH)
find_library(C10_LIBRARY c10 PATHS ${torch_root}/lib NO_DEFAULT_PATH)
if(NOT TORCH_INCLUDE_DIR OR NOT TORCH_CPU_LIBRARY OR NOT C10_LIBRARY)
  message(FATAL_ERROR "LibTorch was not found: run scripts/setup, or set "
                      "LIBTORCH_DIR to an unpacked LibTorch 2.11")
endif()

# libtorch_cpu.so of the CUDA wheel needs libcudart and libcupti at load time.
set(torch_runtime_dirs ${torch_root}/lib)
if(RATTN_CUDA)
  find_package(CUDAToolkit REQUIRED)
  list(APPEND torch_runtime_dirs ${CUDAToolkit_LIBRARY_DIR}
       ${CUDAToolkit_LIBRARY_DIR}/../extras/CUPTI/lib64)
endif()
file(GLOB nvidia_dirs ${torch_root}/../nvidia/*/lib)
list(APPEND torch_runtime_dirs ${nvidia_dirs})
set(torch_link_options)
foreach(dir ${torch_runtime_dirs})
  list(APPEND torch_link_options "-Wl,-rpath,${dir}" "-Wl,-rpath-link,${dir}")
endforeach()

add_library(torch::c10 SHARED IMPORTED)
set_target_properties(torch::c10 PROPERTIES IMPORTED_LOCATION ${C10_LIBRARY})
add_library(torch::cpu SHARED IMPORTED)
set_target_properties(torch::cpu PROPERTIES
  IMPORTED_LOCATION ${TORCH_CPU_LIBRARY}
  INTERFACE_INCLUDE_DIRECTORIES
    "${TORCH_INCLUDE_DIR};${TORCH_INCLUDE_DIR}/torch/csrc/api/include"
  INTERFACE_LINK_OPTIONS "${torch_link_options}"
  INTERFACE_LINK_LIBRARIES torch::c10)

# librattn_cuda: everything that nvcc compiles, with the CUDA runtime inside,
# loaded on demand (kernels/cuda/cuda_library.h).
enable_language(CUDA)
find_package(CUDAToolkit REQUIRED)
# CMake 3.25 does not know that nvcc 13 has C++20.
if(NOT CMAKE_CUDA20_STANDARD_COMPILE_OPTION)
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION -std=c++20)
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION -std=c++20)
endif()

file(GLOB rattn_cuda_sources CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/kernels/cuda/device/*.cu)
add_library(rattn_cuda SHARED ${rattn_cuda_sources})
set_target_properties(rattn_cuda PROPERTIES
  CUDA_STANDARD 20 CUDA_RUNTIME_LIBRARY Static
  CUDA_ARCHITECTURES "80-real;90-real;100-real;120")
target_compile_options(rattn_cuda PRIVATE
  --expt-relaxed-constexpr -Werror all-warnings)
target_link_libraries(rattn_cuda PRIVATE rattn_kernels)

# Kernels for compute capability 9.0 exactly, launched by those above.
file(GLOB rattn_cuda_sm90a_sources CONFIGURE_DEPENDS
     ${PROJECT_SOURCE_DIR}/kernels/cuda/device/sm90a/*.cu)
add_library(rattn_cuda_sm90a OBJECT ${rattn_cuda_sm90a_sources})
set_target_properties(rattn_cuda_sm90a PROPERTIES
  CUDA_STANDARD 20 CUDA_RUNTIME_LIBRARY Static CUDA_ARCHITECTURES OFF)
target_compile_options(rattn_cuda_sm90a PRIVATE
  -gencode arch=compute_90a,code=sm_90a
  --expt-relaxed-constexpr -Werror all-warnings)
target_link_libraries(rattn_cuda_sm90a PRIVATE rattn_kernels)
target_sources(rattn_cuda PRIVATE $<TARGET_OBJECTS:rattn_cuda_sm90a>)

# librattn_cuda: everything that nvcc compiles, with the CUDA runtime inside,
# loaded on demand (kernels/cuda/cuda_library.h).
function(rattn_cuda_library target)
  enable_language(CUDA)
  find_package(CUDAToolkit REQUIRED)
  file(GLOB sources CONFIGURE_DEPENDS
       ${PROJECT_SOURCE_DIR}/kernels/cuda/device/*.cu)
  add_library(${target} SHARED ${sources})
  set_target_properties(${target} PROPERTIES
    CUDA_STANDARD 20 CUDA_STANDARD_REQUIRED ON CUDA_RUNTIME_LIBRARY Static
    CUDA_ARCHITECTURES "80-real;90-real;100-real;120")
  target_compile_options(${target} PRIVATE
    --expt-relaxed-constexpr -Werror all-warnings)
  target_link_libraries(${target} PRIVATE rattn_kernels)
endfunction()

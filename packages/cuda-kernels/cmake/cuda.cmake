# The CUDA addon: kernels, backend, and the same JavaScript face as the CPU addon has.
include(CheckLanguage)
check_language(CUDA)
if(NOT CMAKE_CUDA_COMPILER)
  if(VITGRAPH_CUDA STREQUAL "ON")
    message(FATAL_ERROR "nvcc was not found: install the CUDA toolkit, or name nvcc in CUDACXX")
  endif()
  message(STATUS "vitgraph: nvcc was not found, so only the CPU addon is built")
  return()
endif()

# The architectures that are built for, each for a reason:
#   80   A100: the oldest with bf16 and asynchronous copies     86   RTX 30, A10, A40
#   89   RTX 40, L4, L40                                        90a  H100, H200: wgmma and the copy engine need the "a"
#   100  B200, GB200                                            120  RTX 50, RTX PRO 6000
# and PTX of the newest, which later ones compile for themselves. One of them makes a quick build.
set(VITGRAPH_CUDA_ARCHITECTURES "80;86;89;90a;100;120" CACHE STRING "Compute capabilities to build for, without the dot")

# Flags are set by hand: older CMakes know neither all of these architectures nor that newer compilers speak C++20.
set(CMAKE_CUDA_ARCHITECTURES OFF)
enable_language(CUDA)
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
find_package(CUDAToolkit REQUIRED)

function(vitgraph_cuda_library name architectures ptx)
  add_library(${name} STATIC ${ARGN})
  target_link_libraries(${name} PUBLIC vitgraph_flags CUDA::cudart_static)
  set(flags "")
  foreach(architecture IN LISTS architectures)
    list(APPEND flags "SHELL:-gencode arch=compute_${architecture},code=sm_${architecture}")
  endforeach()
  if(ptx)
    list(GET architectures -1 newest)
    list(APPEND flags "SHELL:-gencode arch=compute_${newest},code=compute_${newest}")
  endif()
  target_compile_options(${name} PRIVATE $<$<COMPILE_LANGUAGE:CUDA>:${flags} --expt-relaxed-constexpr -lineinfo>)
endfunction()

file(GLOB VITGRAPH_SMXX_KERNELS CONFIGURE_DEPENDS native/kernels/smxx/*/*.cu)
file(GLOB VITGRAPH_SM90_KERNELS CONFIGURE_DEPENDS native/kernels/sm90/*/*.cu native/kernels/sm90/*/*.cc)

vitgraph_cuda_library(vitgraph_kernels_smxx "${VITGRAPH_CUDA_ARCHITECTURES}" TRUE ${VITGRAPH_SMXX_KERNELS})
# Hopper's own kernels are always compiled, so that the backend need not be told of builds without them.
vitgraph_cuda_library(vitgraph_kernels_sm90 "90a" FALSE ${VITGRAPH_SM90_KERNELS})

file(GLOB VITGRAPH_CUDA_STEPS CONFIGURE_DEPENDS native/backend/cuda/steps/*.cc)

add_library(vitgraph_backend_cuda STATIC
  native/backend/cuda/algorithm_cache.cc
  native/backend/cuda/copy_pool.cc
  native/backend/cuda/cublaslt.cc
  native/backend/cuda/cuda_backend.cc
  native/backend/cuda/cuda_device.cc
  native/backend/cuda/cuda_program.cc
  native/backend/cuda/cuda_run.cc
  native/backend/cuda/device_memory.cc
  native/backend/cuda/download_buffer.cc
  native/backend/cuda/exported_memory.cc
  native/backend/cuda/linear_step.cc
  native/backend/cuda/run_control.cc
  native/backend/cuda/run_metadata.cc
  native/backend/cuda/step.cc
  native/backend/cuda/upload_ring.cc
  ${VITGRAPH_CUDA_STEPS}
  native/kernels/common/attention_tiles.cc
)
target_link_libraries(vitgraph_backend_cuda PUBLIC
  vitgraph_program vitgraph_kernels_smxx vitgraph_kernels_sm90 CUDA::cudart_static Threads::Threads ${CMAKE_DL_LIBS})

vitgraph_add_addon(vitgraph_cuda native/napi/addon_cuda.cc)
target_link_libraries(vitgraph_cuda PRIVATE vitgraph_backend_cuda)

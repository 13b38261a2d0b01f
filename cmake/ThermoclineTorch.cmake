# The target thermocline_libtorch: PyTorch's C++ libraries for the CPU, found in THERMOCLINE_TORCH_DIR. That is either the
# torch/ folder of PyPI's wheel or the prefix of a system package (Debian: /usr). The wheel's own TorchConfig.cmake is not
# used: it insists on a CUDA toolkit, and -ltorch would pull in the CUDA half.
find_path(THERMOCLINE_TORCH_INCLUDE c10/core/Allocator.h
  HINTS ${THERMOCLINE_TORCH_DIR}/include NO_DEFAULT_PATH)
find_library(THERMOCLINE_TORCH_CPU torch_cpu
  HINTS ${THERMOCLINE_TORCH_DIR}/lib ${THERMOCLINE_TORCH_DIR}/lib/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH)
find_library(THERMOCLINE_TORCH_C10 c10
  HINTS ${THERMOCLINE_TORCH_DIR}/lib ${THERMOCLINE_TORCH_DIR}/lib/${CMAKE_LIBRARY_ARCHITECTURE} NO_DEFAULT_PATH)
if(NOT THERMOCLINE_TORCH_INCLUDE OR NOT THERMOCLINE_TORCH_CPU OR NOT THERMOCLINE_TORCH_C10)
  message(FATAL_ERROR "THERMOCLINE_TORCH_DIR=${THERMOCLINE_TORCH_DIR} holds no PyTorch: include/c10/core/Allocator.h, "
    "lib/libtorch_cpu.so and lib/libc10.so are needed. scripts/deps torch installs them.")
endif()

get_filename_component(thermocline_torch_lib ${THERMOCLINE_TORCH_CPU} DIRECTORY)
add_library(thermocline_libtorch INTERFACE)
target_include_directories(thermocline_libtorch SYSTEM INTERFACE
  ${THERMOCLINE_TORCH_INCLUDE} ${THERMOCLINE_TORCH_INCLUDE}/torch/csrc/api/include)
# NDEBUG in every build type: at::RecordFunction has another layout without it than in the libraries as shipped.
target_compile_options(thermocline_libtorch INTERFACE -UNDEBUG -DNDEBUG)
target_link_libraries(thermocline_libtorch INTERFACE ${THERMOCLINE_TORCH_CPU} ${THERMOCLINE_TORCH_C10})
target_link_options(thermocline_libtorch INTERFACE
  "LINKER:-rpath,${thermocline_torch_lib}" "LINKER:-rpath-link,${thermocline_torch_lib}"
  "LINKER:--allow-shlib-undefined")

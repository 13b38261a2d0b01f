# The target thermocline::libtorch: PyTorch's C++ libraries for the CPU, and how to compile against them; and
# THERMOCLINE_TORCH_VERSION, as 2.15. Used by the build, and installed, where thermocline-config.cmake includes it.
#
# THERMOCLINE_TORCH_DIR is the torch/ folder of PyPI's wheel or the prefix of a system package (Debian: /usr). Without it
# PyTorch is looked for where find_package(Torch) found it, if that was called before, in CMAKE_PREFIX_PATH and in the
# system's folders. Where it isn't found there is no target. The wheel's own TorchConfig.cmake is not used: it insists on
# a CUDA toolkit, and -ltorch would pull in the CUDA half.
if(THERMOCLINE_TORCH_DIR)
  set(_thermocline_hints HINTS ${THERMOCLINE_TORCH_DIR} NO_DEFAULT_PATH)
else()
  set(_thermocline_hints HINTS ${TORCH_INSTALL_PREFIX})
endif()
# Not cached: another THERMOCLINE_TORCH_DIR counts at once.
set(_thermocline_include NOTFOUND)
set(_thermocline_cpu NOTFOUND)
set(_thermocline_c10 NOTFOUND)
set(_thermocline_suffixes PATH_SUFFIXES lib lib/${CMAKE_LIBRARY_ARCHITECTURE})
find_path(_thermocline_include c10/core/Allocator.h NO_CACHE ${_thermocline_hints} PATH_SUFFIXES include)
find_library(_thermocline_cpu torch_cpu NO_CACHE ${_thermocline_hints} ${_thermocline_suffixes})
find_library(_thermocline_c10 c10 NO_CACHE ${_thermocline_hints} ${_thermocline_suffixes})
if(NOT _thermocline_include OR NOT _thermocline_cpu OR NOT _thermocline_c10)
  return()
endif()

set(THERMOCLINE_TORCH_VERSION "")
# It has moved between versions; in newer ones the old file has no figures.
foreach(_thermocline_header IN ITEMS torch/headeronly/version.h torch/csrc/api/include/torch/version.h)
  if(NOT THERMOCLINE_TORCH_VERSION AND EXISTS ${_thermocline_include}/${_thermocline_header})
    file(STRINGS ${_thermocline_include}/${_thermocline_header} _thermocline_figures
      REGEX "define TORCH_VERSION_(MAJOR|MINOR) [0-9]+")
    list(TRANSFORM _thermocline_figures REPLACE "^.* ([0-9]+).*$" "\\1")
    list(JOIN _thermocline_figures . THERMOCLINE_TORCH_VERSION)
  endif()
endforeach()

if(NOT TARGET thermocline::libtorch)
  get_filename_component(_thermocline_lib ${_thermocline_cpu} DIRECTORY)
  add_library(thermocline::libtorch INTERFACE IMPORTED)
  # NDEBUG in every build type: at::RecordFunction has another layout without it than in the libraries as shipped.
  # rpath-link, and undefined symbols allowed: what libtorch_cpu needs besides lies beside it, and of CUDA's libraries,
  # which it names, there may be none.
  set_target_properties(thermocline::libtorch PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${_thermocline_include};${_thermocline_include}/torch/csrc/api/include"
    INTERFACE_COMPILE_OPTIONS "-UNDEBUG;-DNDEBUG"
    INTERFACE_LINK_LIBRARIES "${_thermocline_cpu};${_thermocline_c10}"
    INTERFACE_LINK_OPTIONS "LINKER:-rpath-link,${_thermocline_lib};LINKER:--allow-shlib-undefined")
endif()

# What `cmake --install` puts where: the shared library, the public headers, the command, the preload library, and what
# find_package(thermocline) and pkg-config read; the adapter for PyTorch, where it was built, with what finds it.
include(CMakePackageConfigHelpers)

install(DIRECTORY ${PROJECT_SOURCE_DIR}/include/thermocline DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}
  FILES_MATCHING PATTERN "*.h" PATTERN torch.h EXCLUDE)
install(FILES ${PROJECT_SOURCE_DIR}/LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})

set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/thermocline)
install(TARGETS thermocline EXPORT thermocline-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT thermocline-targets NAMESPACE thermocline:: DESTINATION ${package_dir})
configure_package_config_file(${CMAKE_CURRENT_LIST_DIR}/thermocline-config.cmake.in
  ${PROJECT_BINARY_DIR}/thermocline-config.cmake INSTALL_DESTINATION ${package_dir})
# Before 1.0 a minor version may break what was.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/thermocline-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/thermocline-config.cmake ${PROJECT_BINARY_DIR}/thermocline-config-version.cmake
  DESTINATION ${package_dir})

# The prefix is worked out from where the file lies, so that an installed tree can be moved.
file(RELATIVE_PATH pc_to_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(${CMAKE_CURRENT_LIST_DIR}/thermocline.pc.in ${PROJECT_BINARY_DIR}/thermocline.pc @ONLY)
install(FILES ${PROJECT_BINARY_DIR}/thermocline.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

# Where PyTorch lies is the affair of the program that is linked with it: what is installed names no place.
if(TARGET thermocline_torch)
  get_property(THERMOCLINE_TORCH_VERSION GLOBAL PROPERTY THERMOCLINE_TORCH_VERSION)
  install(FILES ${PROJECT_SOURCE_DIR}/include/thermocline/torch.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/thermocline)
  install(TARGETS thermocline_torch EXPORT thermocline-torch-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
  install(EXPORT thermocline-torch-targets NAMESPACE thermocline:: DESTINATION ${package_dir})
  configure_file(${CMAKE_CURRENT_LIST_DIR}/thermocline-torch.cmake.in ${PROJECT_BINARY_DIR}/thermocline-torch.cmake @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/thermocline-torch.cmake ${CMAKE_CURRENT_LIST_DIR}/thermocline-libtorch.cmake
    DESTINATION ${package_dir})
  configure_file(${CMAKE_CURRENT_LIST_DIR}/thermocline_torch.pc.in ${PROJECT_BINARY_DIR}/thermocline_torch.pc @ONLY)
  install(FILES ${PROJECT_BINARY_DIR}/thermocline_torch.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endif()

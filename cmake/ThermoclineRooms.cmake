# How a room (a folder of src/) and its tests are declared. One target a folder, sources listed by name.

set(THERMOCLINE_CXX_FLAGS -Wall -Wextra -Wshadow -Wno-sign-compare -fno-omit-frame-pointer)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # gcc 12 sees uninitialised strings in every other optional and StatusOr, where there are none.
  list(APPEND THERMOCLINE_CXX_FLAGS -Wno-maybe-uninitialized)
endif()
if(THERMOCLINE_WERROR)
  list(APPEND THERMOCLINE_CXX_FLAGS -Werror)
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # gcc 12 sees an overlap where a string is put behind a literal, and there is none.
    list(APPEND THERMOCLINE_CXX_FLAGS -Wno-error=restrict)
  endif()
endif()

# Settings that everything built here shares.
add_library(thermocline_settings INTERFACE)
target_compile_features(thermocline_settings INTERFACE cxx_std_20 c_std_11)
target_compile_options(thermocline_settings INTERFACE ${THERMOCLINE_CXX_FLAGS})
target_include_directories(thermocline_settings INTERFACE
  ${PROJECT_SOURCE_DIR} ${PROJECT_SOURCE_DIR}/include)
if(THERMOCLINE_SANITIZE)
  target_compile_options(thermocline_settings INTERFACE -fsanitize=${THERMOCLINE_SANITIZE} -fno-sanitize-recover=all)
  target_link_options(thermocline_settings INTERFACE -fsanitize=${THERMOCLINE_SANITIZE})
endif()

# thermocline_room(NAME SOURCES a.cc ... [LINK target ...] [ROOMS base os ...])
# ROOMS are the rooms below that it includes; tests/project/layering_test.cc checks the includes themselves.
function(thermocline_room name)
  cmake_parse_arguments(ROOM "" "" "SOURCES;LINK;ROOMS" ${ARGN})
  add_library(thermocline_${name} STATIC ${ROOM_SOURCES})
  set_target_properties(thermocline_${name} PROPERTIES
    POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden C_VISIBILITY_PRESET hidden
    VISIBILITY_INLINES_HIDDEN ON CXX_EXTENSIONS OFF)
  target_link_libraries(thermocline_${name} PUBLIC thermocline_settings ${ROOM_LINK})
  foreach(room IN LISTS ROOM_ROOMS)
    target_link_libraries(thermocline_${name} PUBLIC thermocline_${room})
  endforeach()
endfunction()

include(${CMAKE_CURRENT_LIST_DIR}/ThermoclineSkips.cmake)

# The tests with the label sanitize, which the sanitizer presets build in CI, and those with the label torch, which
# scripts/test-torch builds; and what those need.
set(THERMOCLINE_LABEL_TARGETS sanitize torch)
foreach(label IN LISTS THERMOCLINE_LABEL_TARGETS)
  add_custom_target(${label}_tests)
endforeach()

# thermocline_test(NAME SOURCES a.cc ... ROOMS ... [LINK ...] [LABELS ...] [TIMEOUT seconds])
function(thermocline_test name)
  cmake_parse_arguments(TEST "" "TIMEOUT" "SOURCES;ROOMS;LINK;LABELS" ${ARGN})
  add_executable(${name} ${TEST_SOURCES})
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
  target_link_libraries(${name} PRIVATE thermocline_settings GTest::gmock GTest::gtest_main ${TEST_LINK})
  foreach(room IN LISTS TEST_ROOMS)
    target_link_libraries(${name} PRIVATE thermocline_${room})
  endforeach()
  foreach(label IN LISTS THERMOCLINE_LABEL_TARGETS)
    if(label IN_LIST TEST_LABELS)
      add_dependencies(${label}_tests ${name})
    endif()
  endforeach()
  if(NOT TEST_TIMEOUT)
    set(TEST_TIMEOUT 120)
  endif()
  add_test(NAME ${name} COMMAND ${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT ${TEST_TIMEOUT} LABELS "${TEST_LABELS}"
    SKIP_REGULAR_EXPRESSION "${THERMOCLINE_ALL_SKIPPED}")
endfunction()

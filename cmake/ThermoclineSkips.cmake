# How CTest comes to know of tests that were skipped.

# CTest takes a program whose every test was skipped for one that passed. This is how its output ends; not that of one
# that failed as well, since CTest calls whatever matches skipped. scripts/test lists all that was skipped, with reasons.
set(THERMOCLINE_ALL_SKIPPED
  "\\[  PASSED  \\] 0 tests\\.\n\\[  SKIPPED \\] [0-9]+ tests?, listed below:\n(\\[  SKIPPED \\] [^\n]*\n?)+\n*$")

# How a shell script says so, whatever a program that it ran has said before.
set(THERMOCLINE_SCRIPT_SKIPPED "(^|\n)Skipped: needs ")

# thermocline_missing_test(NAME "needs ..."): for a test that can't be built or run as configured, so that it is listed.
function(thermocline_missing_test name needs)
  add_test(NAME ${name} COMMAND ${CMAKE_COMMAND} -E echo "Skipped: ${needs}")
  set_tests_properties(${name} PROPERTIES SKIP_REGULAR_EXPRESSION "${THERMOCLINE_SCRIPT_SKIPPED}")
endfunction()

# Reads CTest's LastTest.log; prints each reason for which tests were skipped, once, and the tests that it skipped.
# A GoogleTest says ": Skipped" and the reason below; anything else "Skipped: REASON" in one line.
/^[0-9]+\/[0-9]+ Testing: / { test = $3 }
/^Skipped: / { note(substr($0, 10), "") }
reading && /^\[  SKIPPED \]/ { note(reason, $4); reading = 0 }
reading && NF { reason = reason (reason == "" ? "" : " ") $0 }
/: Skipped$/ { reading = 1; reason = "" }

function note(why, name) {
  if (!(why in tests)) reasons[++count] = why
  if (!((why, test) in seen)) tests[why] = tests[why] (tests[why] == "" ? "" : ", ") test
  seen[why, test] = 1
  if (name != "") ++single[why]
}
END {
  for (i = 1; i <= count; ++i) {
    why = reasons[i]
    printf "    %s: %s%s\n", why, tests[why], (single[why] > 0 ? " (" single[why] " of the tests)" : "")
  }
}

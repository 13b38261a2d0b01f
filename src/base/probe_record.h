// ProbeRecord: what was tried on this machine, what the system answered, and what is done instead.
//
// Every part that probes leaves its records in the order of trying; `thermocline doctor` prints them all.
// Thread safety: a plain value.
#ifndef THERMOCLINE_BASE_PROBE_RECORD_H_
#define THERMOCLINE_BASE_PROBE_RECORD_H_

#include <string>

namespace thermocline {

struct ProbeRecord {
  std::string what;      // "io_uring_setup(66)"
  std::string answer;    // "ok", or the call's errno in words: "EPERM (Operation not permitted)"
  std::string fallback;  // what is used instead; empty when the first choice is in use
  // It was granted, and something else is used all the same, by default: `fallback` says what, and how to have it.
  bool not_default = false;
};

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_PROBE_RECORD_H_

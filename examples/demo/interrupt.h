// Ctrl-C and its like as an exception, so that what was changed on the machine is undone on the way out.
//
// Thread safety: CatchSignals once, at the start of main; the rest from the main thread.
#ifndef THERMOCLINE_EXAMPLES_DEMO_INTERRUPT_H_
#define THERMOCLINE_EXAMPLES_DEMO_INTERRUPT_H_

#include <csignal>
#include <stdexcept>

namespace thermocline::demo {

class Interrupted : public std::runtime_error {
 public:
  explicit Interrupted(int number) : std::runtime_error("interrupted"), signal(number) {}
  const int signal;
};

namespace internal {
inline volatile std::sig_atomic_t caught_signal = 0;
}

// SIGINT, SIGTERM and SIGHUP are noted from now on instead of ending the process.
inline void CatchSignals() {
  struct sigaction action {};
  action.sa_handler = [](int number) { internal::caught_signal = number; };
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) sigaction(number, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a row that died shows as a failed write
}

// Throws Interrupted when a signal came. Called wherever time passes.
inline void ThrowIfInterrupted() {
  if (internal::caught_signal != 0) throw Interrupted(internal::caught_signal);
}

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_INTERRUPT_H_

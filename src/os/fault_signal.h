// The process's one handler of SIGSEGV and SIGBUS.
//
// Faults at registered addresses go to their FaultHandler; every other fault goes on to whoever handled the signal
// before, or whom the program has installed since, as if we were not there.
// Thread safety: any thread. FaultHandlers run on the faulting thread with all signals blocked, and may take no lock
// that interrupted code may hold with signals open. The program's handlers run with the mask that their sigaction asked
// for, but for SIGSEGV and SIGBUS, which stay open: they may touch what a FaultHandler brings in. They run on the
// thread's alternate stack where it has one, asked for (SA_ONSTACK) or not.
#ifndef THERMOCLINE_OS_FAULT_SIGNAL_H_
#define THERMOCLINE_OS_FAULT_SIGNAL_H_

#include <signal.h>

#include <cstdint>

#include "absl/status/status.h"

namespace thermocline::os {

enum class FaultAccess : uint8_t { kRead, kWrite };

enum class FaultOutcome : uint8_t {
  kResolved,  // run the instruction again
  kNotOurs,   // the next handler's turn
  kDataLost,  // the bytes can't be had: the thread gets SIGBUS
};

// The code that a fault has interrupted.
class InterruptedCode {
 public:
  // The kernel's mask of the signals that it blocks.
  explicit InterruptedCode(uint64_t blocked) : blocked_(blocked) {}
  // For a FaultHandler that waits long, now and then: lets the process end or stop by the signals that would do that to
  // the interrupted code. A signal for which there is a handler (of SIGSEGV and SIGBUS: ours) comes when the fault is
  // over; but for one whose handler another thread installs at this moment. REQUIRES: the caller holds no lock.
  void LetDefaultSignalsThrough() const;

 private:
  const uint64_t blocked_;
};

class FaultHandler {
 public:
  virtual ~FaultHandler() = default;
  virtual FaultOutcome OnFault(char* address, FaultAccess access, const InterruptedCode& interrupted) = 0;
};

// From now on faults in [begin, end) go to the handler, which must outlive its registration. Installs the signal
// handlers on first use. ResourceExhausted when 64 ranges are registered.
absl::Status RegisterFaultRange(char* begin, char* end, FaultHandler* handler);
void UnregisterFaultRange(FaultHandler* handler);

// What the program would have set with sigaction(signum, action, old), had we not been there. For interposed sigaction.
// REQUIRES: signum is SIGSEGV or SIGBUS. Returns 0 or an errno.
int SetChainedAction(int signum, const struct sigaction* action, struct sigaction* old);
// True once the handlers are installed.
bool FaultSignalsInstalled();
// Where the program has put a handler of its own in the place of ours, ours comes first again and passes on to it. Such
// a handler may withdraw as any other, by putting back what it had found there: what was before it has its turn then.
// Where the calling thread blocks SIGSEGV or SIGBUS, they are opened. Two or three system calls a signal.
void ReclaimFaultSignals();
// In a forked child, where the thread may not exist that was changing something here. REQUIRES: no other thread.
void ResetFaultSignalsAfterFork();

}  // namespace thermocline::os

#endif  // THERMOCLINE_OS_FAULT_SIGNAL_H_

// Nobody: what an unprivileged user is shown, also where root runs the tests.
//
// Thread safety: for a child process that has one thread.
#ifndef THERMOCLINE_TESTS_OS_NOBODY_H_
#define THERMOCLINE_TESTS_OS_NOBODY_H_

#include <grp.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

namespace thermocline::os {

// Root becomes the user nobody, whose memory others of it may look at; whoever is not root stays who they are. False
// where the system refuses that.
inline bool BecomeNobody() {
  if (geteuid() != 0) return true;
  constexpr uid_t kNobody = 65534;
  return setgroups(0, nullptr) == 0 && setresgid(kNobody, kNobody, kNobody) == 0 &&
         setresuid(kNobody, kNobody, kNobody) == 0 && prctl(PR_SET_DUMPABLE, 1) == 0;
}

// Not where a folder above is closed to all but root: a bare root in a temporary folder of mode 0700, say.
inline bool NobodyMayWriteTo(const char* folder) {
  const pid_t child = fork();
  if (child == 0) _exit(BecomeNobody() && access(folder, W_OK | X_OK) == 0 ? 0 : 1);
  int status = 1;
  return waitpid(child, &status, 0) == child && status == 0;
}

}  // namespace thermocline::os

#endif  // THERMOCLINE_TESTS_OS_NOBODY_H_

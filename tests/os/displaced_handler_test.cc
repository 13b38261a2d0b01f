// Handlers that a program puts in the place of ours: they come second again, may pass faults back to us, and may
// withdraw. Each case in a child process of its own, as most of them die.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include "src/os/fault_signal.h"
#include "tests/os/fault_signal_fixture.h"

namespace thermocline::os {
namespace {

TEST(DisplacedHandlerTest, AHandlerThatWasPutInThePlaceOfOursComesSecondAgain) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              InstallJumpOut(SIGSEGV);
              ReclaimFaultSignals();
              ReclaimFaultSignals();
              handler.page()[3] = 'x';
              if (handler.faults != 1 || handler.page()[3] != 'x') return 1;
              if (sigsetjmp(g_jump, 1) == 0) {
                *kWild = 1;
                return 2;
              }
              return g_signal == SIGSEGV && g_address == kWild ? 0 : 3;
            }),
            0);
}

// A handler as other runtimes have them: what isn't theirs goes to whom they found in their place.
struct sigaction g_found = {};
int* g_calls = nullptr;
void PassBack(int signum, siginfo_t* info, void* context) {
  if (++*g_calls > 100) _exit(7);
  g_found.sa_sigaction(signum, info, context);
}

TEST(DisplacedHandlerTest, AHandlerThatPassesBackToOursEndsByTheSignal) {
  g_calls = static_cast<int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              struct sigaction action = {};
              action.sa_sigaction = PassBack;
              action.sa_flags = SA_SIGINFO;
              sigaction(SIGSEGV, &action, &g_found);
              ReclaimFaultSignals();
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
  EXPECT_EQ(*g_calls, 1);
  munmap(g_calls, 4096);
}

TEST(DisplacedHandlerTest, AHandlerThatPassesBackToOursLetsTheOneBeforeUsHaveIt) {
  g_calls = static_cast<int*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  EXPECT_EQ(InProcess([] {
              InstallJumpOut(SIGSEGV);
              PageHandler handler(FaultOutcome::kResolved);
              struct sigaction action = {};
              action.sa_sigaction = PassBack;
              action.sa_flags = SA_SIGINFO;
              sigaction(SIGSEGV, &action, &g_found);
              ReclaimFaultSignals();
              if (sigsetjmp(g_jump, 1) == 0) {
                *kWild = 1;
                return 1;
              }
              return g_signal == SIGSEGV && g_address == kWild && *g_calls == 1 ? 0 : 2;
            }),
            0);
  munmap(g_calls, 4096);
}

// A handler as crash reporters have them (Python's faulthandler, Breakpad): it reports, puts back what it had found,
// and returns, so that the signal comes again for whom it was meant before.
struct Reporter {
  struct sigaction found = {};
  int calls = 0;
};
Reporter* g_reporters = nullptr;  // three, shared with the child processes

template <int kReporter>
void Report(int signum, siginfo_t*, void*) {
  if (++g_reporters[kReporter].calls > 100) _exit(7);
  sigaction(signum, &g_reporters[kReporter].found, nullptr);
}

class WithdrawnHandlerTest : public ::testing::Test {
 protected:
  WithdrawnHandlerTest() {
    g_reporters =
        static_cast<Reporter*>(mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  }
  ~WithdrawnHandlerTest() override { munmap(g_reporters, 4096); }

  template <int kReporter>
  static void Install(int signum, int flags = 0) {
    struct sigaction action = {};
    action.sa_sigaction = Report<kReporter>;
    action.sa_flags = SA_SIGINFO | flags;
    sigaction(signum, &action, &g_reporters[kReporter].found);
  }
  static int Calls(int reporter) { return g_reporters[reporter].calls; }
};

TEST_F(WithdrawnHandlerTest, AWildPointerThenKillsAsItDidBeforeUs) {
  for (const int flags : {0, SA_NODEFER, static_cast<int>(SA_RESETHAND), SA_ONSTACK}) {
    g_reporters[0].calls = 0;
    EXPECT_EQ(InProcess([=] {
                PageHandler handler(FaultOutcome::kResolved);
                Install<0>(SIGSEGV, flags);
                ReclaimFaultSignals();
                *kWild = 1;
                return 0;
              }),
              kKilled + SIGSEGV);
    EXPECT_EQ(Calls(0), 1) << flags;
  }
}

TEST_F(WithdrawnHandlerTest, AWildPointerThenReachesTheHandlerFromBeforeUsUnchanged) {
  EXPECT_EQ(InProcess([] {
              InstallJumpOut(SIGSEGV);
              PageHandler before(FaultOutcome::kResolved), after(FaultOutcome::kResolved);
              Install<0>(SIGSEGV);
              ReclaimFaultSignals();
              before.page()[0] = 1;
              if (sigsetjmp(g_jump, 1) == 0) {
                *kWild = 1;
                return 1;
              }
              if (g_signal != SIGSEGV || g_code != SEGV_MAPERR || g_address != kWild) return 2;
              after.page()[0] = 1;  // by the entry that was put back
              return before.faults == 1 && after.faults == 1 ? 0 : 3;
            }),
            0);
  EXPECT_EQ(Calls(0), 1);
}

TEST_F(WithdrawnHandlerTest, OneAfterTheOtherEachHasItsTurnOnce) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              Install<0>(SIGSEGV);
              ReclaimFaultSignals();
              Install<1>(SIGSEGV);
              ReclaimFaultSignals();
              Install<2>(SIGSEGV);
              ReclaimFaultSignals();
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
  for (const int reporter : {0, 1, 2}) EXPECT_EQ(Calls(reporter), 1) << reporter;
}

TEST_F(WithdrawnHandlerTest, ManyReclaimsLaterItIsStillAskedOnce) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              for (int step = 0; step < 50; ++step) {
                Install<0>(SIGSEGV);
                ReclaimFaultSignals();
                signal(SIGSEGV, SIG_DFL);
                ReclaimFaultSignals();
              }
              Install<0>(SIGSEGV);
              ReclaimFaultSignals();
              handler.page()[0] = 1;
              if (handler.faults != 1) return 1;
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
  EXPECT_EQ(Calls(0), 1);
}

TEST_F(WithdrawnHandlerTest, ASignalThatItRaisesAfterwardsIsForTheOneBefore) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              struct sigaction action = {};
              action.sa_sigaction = [](int signum, siginfo_t* info, void* context) {
                Report<0>(signum, info, context);
                raise(signum);
              };
              action.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;  // as faulthandler's
              sigaction(SIGSEGV, &action, &g_reporters[0].found);
              ReclaimFaultSignals();
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
  EXPECT_EQ(Calls(0), 1);
}

TEST_F(WithdrawnHandlerTest, PutBackBySignalWhichForgetsItsFlagsOursStillWorks) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              const auto found = signal(SIGSEGV, [](int) { _exit(3); });
              ReclaimFaultSignals();
              signal(SIGSEGV, found);
              ReclaimFaultSignals();
              struct sigaction now = {};
              sigaction(SIGSEGV, nullptr, &now);
              if ((now.sa_flags & SA_SIGINFO) == 0) return 1;
              handler.page()[0] = 1;
              return handler.faults == 1 ? 0 : 2;
            }),
            0);
}

TEST_F(WithdrawnHandlerTest, LostBytesThenKillBySigbus) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kDataLost);
              Install<0>(SIGBUS);
              ReclaimFaultSignals();
              return static_cast<int>(handler.page()[0]);
            }),
            kKilled + SIGBUS);
  EXPECT_EQ(Calls(0), 1);
  // Without having been reclaimed, and one that puts back the default.
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kDataLost);
              signal(SIGBUS, [](int signum) {
                if (++g_reporters[1].calls > 100) _exit(7);
                signal(signum, SIG_DFL);
              });
              return static_cast<int>(handler.page()[0]);
            }),
            kKilled + SIGBUS);
  EXPECT_EQ(Calls(1), 1);
}

}  // namespace
}  // namespace thermocline::os

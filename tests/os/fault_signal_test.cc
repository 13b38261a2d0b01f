// What reaches whom when memory is touched that can't be: each case in a child process of its own, as most of them die.
#include "src/os/fault_signal.h"

#include <gtest/gtest.h>
#include <setjmp.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <ctime>
#include <functional>
#include <memory>
#include <thread>

#include "src/arena/allocator.h"
#include "tests/tier/held_tier.h"

namespace thermocline::os {
namespace {

constexpr int kKilled = 100;

// Exit status of a process that runs the body; kKilled + the signal when it was killed.
int InProcess(const std::function<int()>& body) {
  const pid_t child = fork();
  if (child == 0) {
    for (const int signum : {SIGSEGV, SIGBUS}) signal(signum, SIG_DFL);  // a sanitizer's handler would exit
    alarm(10);
    _exit(body());
  }
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : kKilled + WTERMSIG(status);
}

// A page that is opened when it is touched, or lost.
class PageHandler : public FaultHandler {
 public:
  explicit PageHandler(FaultOutcome outcome) : outcome_(outcome) {
    page_ = static_cast<char*>(mmap(nullptr, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    if (!RegisterFaultRange(page_, page_ + 4096, this).ok()) _exit(90);
  }
  FaultOutcome OnFault(char* address, FaultAccess access, const InterruptedCode&) override {
    ++faults;
    last_address = address;
    last_access = access;
    if (outcome_ == FaultOutcome::kResolved) mprotect(page_, 4096, PROT_READ | PROT_WRITE);
    errno = 77;  // must not be seen outside
    return outcome_;
  }
  volatile char* page() const { return page_; }

  int faults = 0;
  char* last_address = nullptr;
  FaultAccess last_access = FaultAccess::kRead;

 private:
  char* page_;
  const FaultOutcome outcome_;
};

sigjmp_buf g_jump;
volatile sig_atomic_t g_signal = 0;
volatile sig_atomic_t g_code = 0;
void* volatile g_address = nullptr;

void JumpOut(int signum, siginfo_t* info, void*) {
  g_signal = signum;
  g_code = info->si_code;
  g_address = info->si_addr;
  siglongjmp(g_jump, 1);
}

void InstallJumpOut(int signum) {
  struct sigaction action = {};
  action.sa_sigaction = JumpOut;
  action.sa_flags = SA_SIGINFO;
  sigaction(signum, &action, nullptr);
}

volatile char* const kWild = reinterpret_cast<volatile char*>(0x1000);

TEST(FaultSignalTest, AFaultInARangeGoesToItsHandlerAndTheInstructionRunsAgain) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              errno = 5;
              handler.page()[9] = 'x';
              if (errno != 5) return 1;
              if (handler.faults != 1 || handler.last_access != FaultAccess::kWrite) return 2;
              if (handler.last_address != handler.page() + 9 || handler.page()[9] != 'x') return 3;
              return 0;
            }),
            0);
}

TEST(FaultSignalTest, AReadIsToldFromAWrite) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              if (const char read = handler.page()[1]; read != 0) return 2;
              return handler.faults == 1 && handler.last_access == FaultAccess::kRead ? 0 : 1;
            }),
            0);
}

TEST(FaultSignalTest, AWildPointerReachesTheHandlerInstalledBeforeOurs) {
  EXPECT_EQ(InProcess([] {
              InstallJumpOut(SIGSEGV);
              PageHandler handler(FaultOutcome::kResolved);
              if (sigsetjmp(g_jump, 1) == 0) {
                *kWild = 1;
                return 1;
              }
              handler.page()[0] = 1;  // and ours works on
              return g_signal == SIGSEGV && g_address == kWild && handler.faults == 1 ? 0 : 2;
            }),
            0);
}

TEST(FaultSignalTest, AWildPointerReachesTheHandlerSetThroughTheChain) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              struct sigaction action = {}, old = {};
              action.sa_sigaction = JumpOut;
              action.sa_flags = SA_SIGINFO;
              SetChainedAction(SIGSEGV, &action, &old);
              if (old.sa_handler != SIG_DFL) return 3;
              if (sigsetjmp(g_jump, 1) == 0) {
                *kWild = 1;
                return 1;
              }
              handler.page()[0] = 1;
              return handler.faults == 1 ? 0 : 2;
            }),
            0);
}

TEST(FaultSignalTest, AWildPointerKillsBySigsegvWhereNobodyHandlesIt) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, AWildPointerKillsEvenWhereSigsegvIsIgnored) {
  EXPECT_EQ(InProcess([] {
              signal(SIGSEGV, SIG_IGN);
              PageHandler handler(FaultOutcome::kResolved);
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, AFaultThatIsNotTheHandlersKillsBySigsegv) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kNotOurs);
              handler.page()[0] = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, LostBytesKillBySigbus) {
  for (const auto disposition : {SIG_DFL, SIG_IGN}) {
    EXPECT_EQ(InProcess([=] {
                signal(SIGBUS, disposition);
                PageHandler handler(FaultOutcome::kDataLost);
                return static_cast<int>(handler.page()[0]);
              }),
              kKilled + SIGBUS);
  }
}

TEST(FaultSignalTest, LostBytesReachTheProgramsHandlerOfSigbus) {
  EXPECT_EQ(InProcess([] {
              InstallJumpOut(SIGBUS);
              PageHandler handler(FaultOutcome::kDataLost);
              if (sigsetjmp(g_jump, 1) == 0) return static_cast<int>(handler.page()[0]) + 1;
              return g_signal == SIGBUS && g_code == BUS_OBJERR && g_address == handler.page() ? 0 : 2;
            }),
            0);
}

volatile char* g_page = nullptr;
volatile sig_atomic_t g_usr1_blocked = -1, g_usr2_blocked = -1;

void TouchThePage(int, siginfo_t*, void*) {
  sigset_t mask;
  sigprocmask(SIG_SETMASK, nullptr, &mask);
  g_usr1_blocked = sigismember(&mask, SIGUSR1);
  g_usr2_blocked = sigismember(&mask, SIGUSR2);
  g_page[3] = 'x';
  siglongjmp(g_jump, 1);
}

TEST(FaultSignalTest, AProgramsHandlerMayTouchWhatIsAwayAndHasTheMaskItAskedFor) {
  EXPECT_EQ(InProcess([] {
              struct sigaction action = {};
              action.sa_sigaction = TouchThePage;
              action.sa_flags = SA_SIGINFO;
              sigaddset(&action.sa_mask, SIGUSR1);
              sigaction(SIGSEGV, &action, nullptr);
              PageHandler handler(FaultOutcome::kResolved);
              g_page = handler.page();
              static int round;
              for (round = 0; round < 2; ++round) {  // the second works as the first
                if (sigsetjmp(g_jump, 1) == 0) {
                  *kWild = 1;
                  return 1;
                }
              }
              if (handler.faults != 1 || handler.page()[3] != 'x') return 2;
              return g_usr1_blocked == 1 && g_usr2_blocked == 0 ? 0 : 3;
            }),
            0);
}

TEST(FaultSignalTest, AWildPointerInTheProgramsHandlerKills) {
  EXPECT_EQ(InProcess([] {
              struct sigaction action = {};
              action.sa_handler = [](int) { *kWild = 2; };
              sigaction(SIGSEGV, &action, nullptr);
              PageHandler handler(FaultOutcome::kResolved);
              *kWild = 1;
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, AHandlerThatIsForOneSignalServesOne) {
  EXPECT_EQ(InProcess([] {
              struct sigaction action = {};
              action.sa_sigaction = JumpOut;
              action.sa_flags = SA_SIGINFO | static_cast<int>(SA_RESETHAND);
              sigaction(SIGSEGV, &action, nullptr);
              PageHandler handler(FaultOutcome::kResolved);
              if (sigsetjmp(g_jump, 1) == 0) {
                *kWild = 1;
                return 1;
              }
              *kWild = 2;
              return 2;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, AJumpIntoATensorKillsInsteadOfFaultingForEver) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              reinterpret_cast<void (*)()>(const_cast<char*>(handler.page()))();
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, ASignalSentByHandIsTheProgramsAndNotAFault) {
  EXPECT_EQ(InProcess([] {
              InstallJumpOut(SIGSEGV);
              PageHandler handler(FaultOutcome::kResolved);
              if (sigsetjmp(g_jump, 1) == 0) {
                raise(SIGSEGV);
                return 1;
              }
              return handler.faults == 0 ? 0 : 2;
            }),
            0);
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              raise(SIGSEGV);
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, TheSixtyFifthRangeIsRefused) {
  EXPECT_EQ(InProcess([] {
              for (int i = 0; i < 64; ++i) new PageHandler(FaultOutcome::kResolved);
              PageHandler* const none = nullptr;
              return absl::IsResourceExhausted(RegisterFaultRange(nullptr, nullptr, none)) ? 0 : 1;
            }),
            0);
}

TEST(FaultSignalTest, AHandlerThatWasPutInThePlaceOfOursComesSecondAgain) {
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

TEST(FaultSignalTest, AHandlerThatPassesBackToOursEndsByTheSignal) {
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

TEST(FaultSignalTest, AHandlerThatPassesBackToOursLetsTheOneBeforeUsHaveIt) {
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

TEST(FaultSignalTest, AThreadThatBlocksFaultsHasThemOpenedAgain) {
  EXPECT_EQ(InProcess([] {
              PageHandler handler(FaultOutcome::kResolved);
              sigset_t all;
              sigfillset(&all);
              sigprocmask(SIG_BLOCK, &all, nullptr);
              ReclaimFaultSignals();
              handler.page()[3] = 'x';
              sigprocmask(SIG_BLOCK, nullptr, &all);
              return handler.faults == 1 && sigismember(&all, SIGTERM) == 1 ? 0 : 1;
            }),
            0);
}

// Sends the process a signal in 50 ms.
void SendSoon(int signum) {
  struct sigevent event = {};
  event.sigev_notify = SIGEV_SIGNAL;
  event.sigev_signo = signum;
  timer_t timer;
  itimerspec soon = {};
  soon.it_value.tv_nsec = 50'000'000;
  if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 || timer_settime(timer, 0, &soon, nullptr) != 0) _exit(91);
}

// Looks for signals for 300 ms before it opens its page.
class WaitingHandler final : public PageHandler {
 public:
  WaitingHandler() : PageHandler(FaultOutcome::kResolved) {}
  FaultOutcome OnFault(char* address, FaultAccess access, const InterruptedCode& interrupted) override {
    for (int i = 0; i < 30; ++i) {
      usleep(10'000);
      interrupted.LetDefaultSignalsThrough();
    }
    return PageHandler::OnFault(address, access, interrupted);
  }
};

TEST(FaultSignalTest, AFaultThatWaitsLongStillEndsBySignalsThatEndTheProgram) {
  for (const int signum : {SIGTERM, SIGINT, SIGHUP}) {
    EXPECT_EQ(InProcess([=] {
                WaitingHandler handler;
                SendSoon(signum);
                handler.page()[0] = 1;
                return 0;
              }),
              kKilled + signum);
  }
}

TEST(FaultSignalTest, ASignalThatTheProgramBlocksOrHandlesComesAfterTheFault) {
  EXPECT_EQ(InProcess([] {
              sigset_t term;
              sigemptyset(&term);
              sigaddset(&term, SIGTERM);
              sigprocmask(SIG_BLOCK, &term, nullptr);
              WaitingHandler handler;
              SendSoon(SIGTERM);
              handler.page()[0] = 1;
              return handler.page()[0];
            }),
            1);
  EXPECT_EQ(InProcess([] {
              signal(SIGTERM, [](int) { _exit(5); });
              WaitingHandler handler;
              SendSoon(SIGTERM);
              handler.page()[0] = 1;
              return 0;
            }),
            5);
  EXPECT_EQ(InProcess([] {
              signal(SIGTERM, SIG_IGN);
              WaitingHandler handler;
              SendSoon(SIGTERM);
              handler.page()[0] = 1;
              return 0;
            }),
            0);
}

// A page that a handler closes and touches, and one that is waited for while another thread switches that handler.
PageHandler* g_closed = nullptr;
volatile sig_atomic_t g_in_fault = 0, g_handled_in_fault = 0;

class LookingHandler final : public PageHandler {
 public:
  LookingHandler() : PageHandler(FaultOutcome::kResolved) {}
  FaultOutcome OnFault(char* address, FaultAccess access, const InterruptedCode& interrupted) override {
    const time_t end = time(nullptr) + 3;
    g_in_fault = 1;
    while (g_handled_in_fault < 3 && time(nullptr) < end) interrupted.LetDefaultSignalsThrough();
    g_in_fault = 0;
    return PageHandler::OnFault(address, access, interrupted);
  }
};

TEST(FaultSignalTest, AHandlerThatIsInstalledWhileAFaultLooksForSignalsMayTouchWhatIsAway) {
  EXPECT_EQ(InProcess([] {
              PageHandler closed(FaultOutcome::kResolved);
              g_closed = &closed;
              LookingHandler looking;
              std::atomic<bool> done{false};
              const pthread_t self = pthread_self();
              std::thread other([&] {
                while (!done) {
                  signal(SIGURG, SIG_DFL);  // which ignores it
                  pthread_kill(self, SIGURG);
                  std::this_thread::yield();
                  signal(SIGURG, [](int) {
                    g_handled_in_fault = g_handled_in_fault + g_in_fault;
                    mprotect(const_cast<char*>(g_closed->page()), 4096, PROT_NONE);
                    g_closed->page()[0] = 1;
                  });
                }
              });
              looking.page()[0] = 1;
              done = true;
              other.join();
              return looking.faults == 1 ? 0 : 1;
            }),
            0);
}

// A tensor of one granule over a slow tier that nobody serves.
struct LonelyTensor {
  static constexpr Bytes kGranule = KiB(64);
  LonelyTensor() : tier(kGranule, 8) {
    arena::ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = MiB(16);
    options.frames = 8;
    residency = *arena::Residency::Create(options, RealMemory(), tier, MonotonicClock());
    allocator = *arena::Allocator::Create(*residency);
    bytes = static_cast<volatile char*>(allocator->Allocate(kGranule, Bytes(64), false, nullptr));
    *bytes = 1;
  }
  tier::HeldTier tier;
  std::unique_ptr<arena::Residency> residency;
  std::unique_ptr<arena::Allocator> allocator;
  volatile char* bytes;
};

TEST(FaultSignalTest, UseAfterFreeInAVacantGranuleKillsBySigsegv) {
  EXPECT_EQ(InProcess([] {
              LonelyTensor tensor;
              tensor.allocator->Free(const_cast<char*>(tensor.bytes), nullptr);
              {
                arena::Residency::Lock lock(*tensor.residency);
                tensor.residency->ReclaimDeadLocked(8);
              }
              *tensor.bytes = 2;
              return 0;
            }),
            kKilled + SIGSEGV);
}

TEST(FaultSignalTest, ATouchOfATensorThatNeverComesEndsBySigterm) {
  EXPECT_EQ(InProcess([] {
              LonelyTensor tensor;
              const GranuleId id = tensor.residency->GranuleOf(const_cast<char*>(tensor.bytes));
              {
                arena::Residency::Lock lock(*tensor.residency);
                const auto out = tensor.residency->BeginEvictLocked(id);
                if (!out.has_value()) return 1;
                tensor.residency->FinishLocked({out->tag, 0});
              }
              SendSoon(SIGTERM);
              return static_cast<int>(*tensor.bytes);
            }),
            kKilled + SIGTERM);
}

}  // namespace
}  // namespace thermocline::os

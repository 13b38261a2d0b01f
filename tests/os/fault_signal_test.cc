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
#include "tests/os/fault_signal_fixture.h"
#include "tests/tier/held_tier.h"

namespace thermocline::os {
namespace {

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

// On an alternate stack every signal comes from the same place: only the way through our own code differs.
TEST(FaultSignalTest, LostBytesReachAHandlerThatHasJumpedOutOfASigbusBefore) {
  EXPECT_EQ(InProcess([] {
              static char stack[1 << 16];
              const stack_t alternate = {.ss_sp = stack, .ss_flags = 0, .ss_size = sizeof(stack)};
              sigaltstack(&alternate, nullptr);
              PageHandler lost(FaultOutcome::kDataLost);
              struct sigaction action = {};
              action.sa_sigaction = JumpOut;
              action.sa_flags = SA_SIGINFO;
              SetChainedAction(SIGBUS, &action, nullptr);
              const int file = memfd_create("shorter than its mapping", 0);
              auto* const behind_end = static_cast<volatile char*>(mmap(nullptr, 4096, PROT_READ, MAP_SHARED, file, 0));
              for (volatile char* const address : {behind_end, lost.page(), behind_end, lost.page()}) {
                g_signal = 0;
                if (sigsetjmp(g_jump, 1) == 0) (void)*address;
                if (g_signal != SIGBUS) return 1;
              }
              return 0;
            }),
            0);
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

#include "src/runtime/fork_guard.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <vector>

#include "src/os/fault_signal.h"
#include "src/runtime/memory_owner.h"
#include "src/runtime/runtime.h"

namespace thermocline::runtime {
namespace {

// Each fork leaves a pipe whose write end only the child, and its children, hold: when the last of them is gone, or has
// called exec, the read end says so.
struct Guard {
  os::FutexLock lock;
  std::vector<Runtime*> runtimes;
  std::vector<int> children;  // read ends
  int pipe_ends[2] = {-1, -1};
};

Guard& TheGuard() {
  static Guard* const guard = new Guard;
  return *guard;
}

std::atomic<int> g_children{0};

// REQUIRES: the guard's lock is held.
void PollLocked(Guard& guard) {
  std::erase_if(guard.children, [](int fd) {
    pollfd poller{fd, POLLIN, 0};
    if (fd < 0 || poll(&poller, 1, 0) <= 0 || (poller.revents & POLLHUP) == 0) return false;
    close(fd);
    return true;
  });
  g_children.store(static_cast<int>(guard.children.size()));
  if (!guard.children.empty()) return;
  for (Runtime* runtime : guard.runtimes) runtime->Thaw();
}

void Prepare() {
  Guard& guard = TheGuard();
  guard.lock.Lock();
  if (guard.runtimes.empty()) return;
  // A program that marks no steps polls nowhere else: what ended children held must not pile up.
  PollLocked(guard);
  // Without a pipe the slots are kept for ever, which is safe.
  if (pipe2(guard.pipe_ends, O_CLOEXEC) != 0) guard.pipe_ends[0] = guard.pipe_ends[1] = -1;
  for (Runtime* runtime : guard.runtimes) runtime->PrepareFork();
}

void InParent() {
  Guard& guard = TheGuard();
  // The last one prepared comes first: each puts back the signal mask that it found.
  std::for_each(guard.runtimes.rbegin(), guard.runtimes.rend(), [](Runtime* runtime) { runtime->AfterForkInParent(); });
  if (!guard.runtimes.empty()) {
    if (guard.pipe_ends[1] >= 0) close(guard.pipe_ends[1]);
    guard.children.push_back(guard.pipe_ends[0]);
    g_children.store(static_cast<int>(guard.children.size()));
  }
  guard.lock.Unlock();
}

void InChild() {
  Guard& guard = TheGuard();
  std::for_each(guard.runtimes.rbegin(), guard.runtimes.rend(), [](Runtime* runtime) { runtime->AfterForkInChild(); });
  if (!guard.runtimes.empty() && guard.pipe_ends[0] >= 0) close(guard.pipe_ends[0]);
  for (int fd : guard.children) {
    if (fd >= 0) close(fd);
  }
  guard.children.clear();
  g_children.store(0);
  ForgetMemoryUsersAfterFork();
  os::ResetFaultSignalsAfterFork();
  guard.lock.ResetAfterFork();
}

}  // namespace

void GuardForks(Runtime* runtime) {
  static std::once_flag once;
  std::call_once(once, [] { pthread_atfork(Prepare, InParent, InChild); });
  os::LockGuard guard(TheGuard().lock);
  TheGuard().runtimes.push_back(runtime);
}

void UnguardForks(Runtime* runtime) {
  os::LockGuard guard(TheGuard().lock);
  std::erase(TheGuard().runtimes, runtime);
}

void PollForks() {
  if (g_children.load(std::memory_order_relaxed) == 0) return;
  Guard& guard = TheGuard();
  os::LockGuard lock(guard.lock);
  PollLocked(guard);
}

}  // namespace thermocline::runtime

#include "src/adapters/preload/placement.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>

#include "src/adapters/calls/calls.h"
#include "src/adapters/calls/real_calls.h"
#include "src/adapters/preload/real_calls.h"
#include "src/base/parse_units.h"
#include "src/capi/handle.h"

namespace thermocline::preload {

THERMOCLINE_CALLS_THREAD_LOCAL int t_inside = 0;
std::atomic<uintptr_t> g_begin{0}, g_end{0};
std::atomic<bool> g_placing{false};
size_t g_threshold = 256 << 10;

namespace {

bool g_watching = false;
std::atomic<tc_runtime*> g_runtime{nullptr};
pthread_mutex_t g_making = PTHREAD_MUTEX_INITIALIZER;
const char* g_stats_path = nullptr;

bool IsOff() {
  const char* mode = getenv("THERMOCLINE");
  return mode != nullptr && strcmp(mode, "off") == 0;
}

void ReadThreshold() {
  const char* text = getenv("THERMOCLINE_THRESHOLD");
  if (text == nullptr || *text == '\0') return;
  const auto bytes = ParseBytes(text);
  if (bytes.ok() && *bytes >= KiB(4)) {
    g_threshold = static_cast<size_t>(bytes->count());
    return;
  }
  Complain("THERMOCLINE_THRESHOLD must be a size of at least 4KiB, such as 256KiB; 256KiB is used instead of ", text);
}

// Takes this library out of LD_PRELOAD, for the programs that this one starts.
void ForgetInChildren() {
  const char* list = getenv("LD_PRELOAD");
  if (list == nullptr) return;
  std::string kept;
  for (const char* at = list; *at != '\0';) {
    const size_t length = strcspn(at, ": ");
    const std::string name(at, length);
    if (!name.empty() && name.find("libthermocline_preload") == std::string::npos) {
      if (!kept.empty()) kept += ':';
      kept += name;
    }
    at += length + (at[length] != '\0' ? 1 : 0);
  }
  if (kept.empty()) {
    unsetenv("LD_PRELOAD");
  } else {
    setenv("LD_PRELOAD", kept.c_str(), 1);
  }
}

// A signal that is blocked kills in spite of its handler, and a mask outlives exec.
void UnblockFaults() {
  sigset_t faults;
  sigemptyset(&faults);
  sigaddset(&faults, SIGSEGV);
  sigaddset(&faults, SIGBUS);
  calls::Real().pthread_sigmask(SIG_UNBLOCK, &faults, nullptr);
}

void ReadChildren() {
  const char* text = getenv("THERMOCLINE_CHILDREN");
  if (text == nullptr || *text == '\0' || strcmp(text, "1") == 0) return;
  if (strcmp(text, "0") == 0) {
    ForgetInChildren();
    return;
  }
  Complain("THERMOCLINE_CHILDREN must be 0 or 1; programs that this one starts are placed too, as with 1, instead of ",
           text);
}

// A forked child places nothing new: it has no mover. What it inherited stays as it is.
void InForkedChild() { g_placing.store(false, std::memory_order_relaxed); }

__attribute__((constructor(101))) void Start() {
  Real();
  calls::Real();
  if (IsOff()) return;
  const Inside inside;
  ReadThreshold();
  ReadChildren();
  g_stats_path = getenv("THERMOCLINE_STATS");
  UnblockFaults();
  pthread_atfork(nullptr, nullptr, InForkedChild);
  g_watching = true;
  g_placing.store(true, std::memory_order_relaxed);
}

// One line of JSON a process that placed something.
__attribute__((destructor)) void WriteStats() {
  tc_runtime* runtime = g_runtime.load(std::memory_order_acquire);
  if (runtime == nullptr || g_stats_path == nullptr || !g_placing.load()) return;
  const Inside inside;
  tc_stats stats = {};
  stats.struct_size = sizeof(stats);
  if (tc_get_stats(runtime, &stats) != TC_OK) return;
  const runtime::RhythmStats rhythm = runtime->runtime->rhythm_stats();
  char line[1024];
  const int length = snprintf(
      line, sizeof(line),
      "{\"pid\": %d, \"fast_budget_bytes\": %llu, \"peak_fast_bytes\": %llu, \"peak_live_bytes\": %llu, "
      "\"bytes_in\": %llu, \"bytes_out\": %llu, \"written_per_day_bytes\": %llu, "
      "\"exposed_seconds\": %.6f, \"demand_fetches\": %llu, \"steps\": %llu, "
      "\"matched_allocations\": %llu, \"mismatched_allocations\": %llu, \"rhythm\": "
      "{\"sought\": %s, \"found\": %lld, \"lost\": %lld, \"allocations\": %lld, \"layers\": %lld, "
      "\"placed_steps\": %lld}}\n",
      static_cast<int>(getpid()), static_cast<unsigned long long>(stats.fast_budget_bytes),
      static_cast<unsigned long long>(stats.peak_fast_bytes), static_cast<unsigned long long>(stats.peak_live_bytes),
      static_cast<unsigned long long>(stats.bytes_in), static_cast<unsigned long long>(stats.bytes_out),
      static_cast<unsigned long long>(stats.written_per_day_bytes), static_cast<double>(stats.exposed_nanos) * 1e-9,
      static_cast<unsigned long long>(stats.demand_fetches), static_cast<unsigned long long>(stats.steps),
      static_cast<unsigned long long>(stats.matched_allocations),
      static_cast<unsigned long long>(stats.mismatched_allocations), rhythm.sought && rhythm.pressed ? "true" : "false",
      static_cast<long long>(rhythm.found), static_cast<long long>(rhythm.lost),
      static_cast<long long>(rhythm.allocations), static_cast<long long>(rhythm.layers),
      static_cast<long long>(rhythm.placed_steps));
  const int fd = open(g_stats_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  if (fd < 0 || calls::Real().write(fd, line, static_cast<size_t>(length)) != length) {
    Complain("the statistics could not be written to ", g_stats_path);
  }
  if (fd >= 0) close(fd);
}

tc_runtime* MakeRuntime() {
  const Inside inside;
  const int saved = errno;
  pthread_mutex_lock(&g_making);
  tc_runtime* runtime = g_runtime.load(std::memory_order_acquire);
  if (runtime == nullptr && g_placing.load(std::memory_order_relaxed)) {
    runtime = tc_default();
    if (runtime == nullptr) {
      Complain("nothing is placed, this program runs as without Thermocline: ", tc_last_error());
      g_placing.store(false, std::memory_order_relaxed);
    } else {
      const char* quiet = getenv("THERMOCLINE_QUIET");
      runtime->runtime->FollowRhythm(quiet == nullptr || strcmp(quiet, "1") != 0);
    }
    g_runtime.store(runtime, std::memory_order_release);
  }
  pthread_mutex_unlock(&g_making);
  errno = saved;
  return runtime;
}

}  // namespace

tc_runtime* Runtime() {
  tc_runtime* runtime = g_runtime.load(std::memory_order_acquire);
  return runtime != nullptr ? runtime : MakeRuntime();
}

void* Own(void* pointer, size_t bytes) {
  if (pointer == nullptr) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(pointer);
  uintptr_t known = g_begin.load(std::memory_order_relaxed);
  while ((known == 0 || begin < known) && !g_begin.compare_exchange_weak(known, begin)) {
  }
  known = g_end.load(std::memory_order_relaxed);
  while (begin + bytes > known && !g_end.compare_exchange_weak(known, begin + bytes)) {
  }
  return pointer;
}

void Complain(const char* message, const char* detail) {
  const int saved = errno;
  const iovec parts[] = {{const_cast<char*>("thermocline: "), 13},
                         {const_cast<char*>(message), strlen(message)},
                         {const_cast<char*>(detail), strlen(detail)},
                         {const_cast<char*>("\n"), 1}};
  static_cast<void>(!calls::Real().writev(STDERR_FILENO, parts, 4));
  errno = saved;
}

}  // namespace thermocline::preload

// From the start, for the first placement may come at any time.
bool thermocline::calls::IsWatching() { return preload::g_watching; }

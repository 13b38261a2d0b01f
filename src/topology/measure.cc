#include "src/topology/measure.h"

#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

namespace thermocline::topology {
namespace {

constexpr Bytes kBuffer = MiB(48);
constexpr size_t kLine = 64;
constexpr int kHops = 20000;
constexpr int kMpolBind = 2;  // linux/mempolicy.h, which not every machine has

// A mapping that is given back.
class Mapping {
 public:
  Mapping(const SystemCalls& calls, void* at) : calls_(calls), at_(at) {}
  ~Mapping() { calls_(SYS_munmap, at_, kBuffer.count()); }
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;

 private:
  const SystemCalls& calls_;
  void* at_;
};

absl::Status Refused(const char* call, long result, NodeId node) {
  return absl::ErrnoToStatus(static_cast<int>(-result),
                             absl::StrFormat("%s of %d bytes for node %d", call, kBuffer.count(), node.value()));
}

absl::Status BindTo(const SystemCalls& calls, void* memory, NodeId node) {
  std::vector<unsigned long> mask(static_cast<size_t>(node.value()) / 64 + 1, 0);
  mask[static_cast<size_t>(node.value()) / 64] |= 1UL << (node.value() % 64);
  // The kernel reads one bit less than it is told.
  const long result = calls(SYS_mbind, memory, kBuffer.count(), kMpolBind, mask.data(), mask.size() * 64 + 1, 0);
  return Failed(result) ? Refused("mbind", result, node) : absl::OkStatus();
}

void FlushFromCache([[maybe_unused]] const char* memory) {
#if defined(__x86_64__)
  for (int64_t at = 0; at < kBuffer.count(); at += kLine) _mm_clflush(memory + at);
  _mm_mfence();
#endif
}

// Stores past the cache where there is a way to, so that what is timed is the memory.
void WriteAll(char* memory) {
#if defined(__x86_64__)
  const __m128i value = _mm_set1_epi8(1);
  for (int64_t at = 0; at < kBuffer.count(); at += 16) {
    _mm_stream_si128(reinterpret_cast<__m128i*>(memory + at), value);
  }
  _mm_sfence();
#else
  memset(memory, 1, static_cast<size_t>(kBuffer.count()));
#endif
}

uint64_t ReadAll(const char* memory) {
  const uint64_t* words = reinterpret_cast<const uint64_t*>(memory);
  uint64_t sums[8] = {};
  for (int64_t word = 0; word < kBuffer.count() / 8; word += 8) {
    for (int lane = 0; lane < 8; ++lane) sums[lane] += words[word + lane];
  }
  uint64_t sum = 0;
  for (uint64_t part : sums) sum += part;
  return sum;
}

// Makes a cycle of kHops lines in an order that no prefetcher guesses: a full-period linear congruential generator over
// the lines picks them.
void LinkLines(char* memory) {
  const uint64_t lines = 1u << 19;  // 32 MiB of lines, a power of two below the buffer's size
  static_assert((1u << 19) * kLine <= static_cast<size_t>(kBuffer.count()));
  uint64_t line = 1;
  for (int hop = 0; hop < kHops; ++hop) {
    const uint64_t next = (line * 2862933555777941757ULL + 3037000493ULL) % lines;
    *reinterpret_cast<char**>(memory + line * kLine) = memory + next * kLine;
    line = next;
  }
}

void* Chase(char* memory) {
  void* at = memory + kLine;
  for (int hop = 0; hop < kHops; ++hop) at = *static_cast<void* volatile*>(at);
  return at;
}

template <typename Work>
double SecondsOf(const Clock& clock, const Work& work) {
  const int64_t start = clock.NowNanos();
  work();
  return static_cast<double>(std::max<int64_t>(clock.NowNanos() - start, 1)) * 1e-9;
}

}  // namespace

MemoryMeasurer::MemoryMeasurer(const SystemCalls& calls, const Clock& clock) : calls_(calls), clock_(clock) {}

absl::StatusOr<NodeFigures> MemoryMeasurer::Measure(NodeId node, bool bind) {
  const long mapped =
      calls_(SYS_mmap, nullptr, kBuffer.count(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (Failed(mapped)) return Refused("mmap", mapped, node);
  char* memory = reinterpret_cast<char*>(mapped);
  const Mapping owner(calls_, memory);
  if (bind) {
    if (absl::Status status = BindTo(calls_, memory, node); !status.ok()) return status;
  }
  // Only a hint: without huge pages the figures contain the cost of TLB misses.
  calls_(SYS_madvise, memory, kBuffer.count(), MADV_HUGEPAGE);
  memset(memory, 1, static_cast<size_t>(kBuffer.count()));  // takes the pages, outside the timing

  NodeFigures figures;
  figures.write = BytesPerSecond(static_cast<double>(kBuffer.count()) / SecondsOf(clock_, [&] { WriteAll(memory); }));
  FlushFromCache(memory);
  volatile uint64_t sum = 0;
  figures.read =
      BytesPerSecond(static_cast<double>(kBuffer.count()) / SecondsOf(clock_, [&] { sum = ReadAll(memory); }));
  LinkLines(memory);
  FlushFromCache(memory);
  void* volatile end = nullptr;
  figures.latency_seconds = SecondsOf(clock_, [&] { end = Chase(memory); }) / kHops;
  return figures;
}

}  // namespace thermocline::topology

#include "src/tier/numa_tier.h"

#include <errno.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "src/base/clock.h"
#include "src/base/parse_units.h"
#include "src/tier/file_system.h"

namespace thermocline::tier {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kHugePage = int64_t{2} << 20;
constexpr int64_t kQueryPages = 512;
constexpr int64_t kFullNanos = 100'000'000;  // how long a full node is not asked again
constexpr absl::string_view kNodes = "/sys/devices/system/node/";

absl::Status Check(const NumaTierOptions& options) {
  const std::string where = absl::StrCat("numa:", options.node, ": ");
  const int64_t granule = options.granule_bytes.count();
  if (options.node < 0 || options.node >= 1024) {
    return absl::InvalidArgumentError(absl::StrCat(where, "no memory node has that number; write numa:1"));
  }
  if (granule <= 0 || granule % kPage != 0 || granule > (int64_t{1} << 30)) {
    return absl::InvalidArgumentError(
        absl::StrCat(where, "a granule of ", granule, " bytes is not a multiple of 4096 between 4 KiB and 1 GiB"));
  }
  if (options.queue_depth < 1 || options.queue_depth > 1024 || options.threads < 0 || options.threads > 256) {
    return absl::InvalidArgumentError(absl::StrCat(where, "the queue depth must be 1 to 1024, the threads up to 256"));
  }
  if (options.capacity.count() < 0 || (options.capacity.count() > 0 && options.capacity < options.granule_bytes)) {
    return absl::InvalidArgumentError(absl::StrCat(where, "a capacity of ", FormatBytes(options.capacity),
                                                   " is less than one granule of ",
                                                   FormatBytes(options.granule_bytes)));
  }
  return absl::OkStatus();
}

// "Node 1 MemFree:  1024 kB" -> 1 MiB; -1 when the text has no such line.
int64_t MeminfoBytes(absl::string_view text, absl::string_view name) {
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> words = absl::StrSplit(line, ' ', absl::SkipWhitespace());
    int64_t kibibytes = 0;
    if (words.size() >= 4 && absl::StripSuffix(words[2], ":") == name && absl::SimpleAtoi(words[3], &kibibytes)) {
      return kibibytes * 1024;
    }
  }
  return -1;
}

absl::Status Refused(absl::string_view where, absl::string_view call, int error, absl::string_view advice) {
  const std::string message = absl::StrCat(where, call, " answered ", ErrnoText(error), advice);
  if (error == -EPERM || error == -EACCES) return absl::PermissionDeniedError(message);
  if (error == -ENOMEM) return absl::ResourceExhaustedError(message);
  return absl::UnavailableError(message);
}

}  // namespace

absl::StatusOr<std::unique_ptr<NumaTier>> NumaTier::Create(const NumaTierOptions& options, NumaSystem& system) {
  if (absl::Status status = Check(options); !status.ok()) return status;
  std::unique_ptr<NumaTier> tier(new NumaTier(options, system));
  if (absl::Status status = tier->Open(); !status.ok()) return status;
  return tier;
}

NumaTier::~NumaTier() {
  transfers_.SetEngine(nullptr);  // waits for the copies
  if (mapping_ != nullptr) system_.Unmap(mapping_, mapped_bytes_);
}

absl::Status NumaTier::Open() {
  if (absl::Status status = FindRoom(); !status.ok()) return status;
  if (absl::Status status = MapSlots(); !status.ok()) return status;
  return OpenEngine();
}

// What sysfs says of the node: that it is there, and how much it has. Where there is no sysfs, mbind tells.
absl::Status NumaTier::FindRoom() {
  const std::string where = absl::StrCat("numa:", options_.node, ": ");
  const int64_t granule = options_.granule_bytes.count();
  const std::string text = system_.ReadText(absl::StrCat(kNodes, "node", options_.node, "/meminfo").c_str());
  const int64_t total = MeminfoBytes(text, "MemTotal"), free = MeminfoBytes(text, "MemFree");
  if (text.empty()) {
    const std::string online = system_.ReadText(absl::StrCat(kNodes, "online").c_str());
    if (!online.empty()) {
      return absl::NotFoundError(absl::StrCat(where, "this machine has no such memory node; it has ",
                                              absl::StripSuffix(online, "\n"), " (see thermocline tiers)"));
    }
    probes_.push_back({absl::StrCat("memory of node ", options_.node), "sysfs says nothing", "the capacity given"});
    if (options_.capacity.count() == 0) {
      return absl::UnavailableError(absl::StrCat(where, "sysfs doesn't say how much memory the node has; say how much ",
                                                 "to use: numa:", options_.node, ",capacity=8GiB"));
    }
  } else {
    probes_.push_back({absl::StrCat("memory of node ", options_.node),
                       absl::StrCat(FormatBytes(Bytes(total)), ", of it ", FormatBytes(Bytes(free)), " free"), ""});
    if (total < granule) return absl::NotFoundError(absl::StrCat(where, "the node has no memory"));
    if (options_.capacity.count() > total) {
      return absl::InvalidArgumentError(absl::StrCat(where, "a capacity of ", FormatBytes(options_.capacity),
                                                     " is more than the node's ", FormatBytes(Bytes(total))));
    }
    if (free < granule) {
      return absl::ResourceExhaustedError(absl::StrCat(where, "the node is full: ", FormatBytes(Bytes(free)), " of ",
                                                       FormatBytes(Bytes(total)), " are free, and one granule has ",
                                                       FormatBytes(options_.granule_bytes)));
    }
  }
  const int64_t capacity = options_.capacity.count() > 0 ? options_.capacity.count() : free;
  limit_ = std::min<int64_t>(capacity / granule, int64_t{kNoSlot.value()});
  return absl::OkStatus();
}

// Address space for all slots, and the first slot's memory, as a trial: whether the kernel places memory there.
absl::Status NumaTier::MapSlots() {
  const std::string where = absl::StrCat("numa:", options_.node, ": ");
  const int64_t granule = options_.granule_bytes.count();
  mapped_bytes_ = (limit_ + 1) * granule;
  int error = 0;
  mapping_ = system_.Map(mapped_bytes_, &error);
  if (mapping_ == nullptr) {
    return Refused(where, absl::StrCat("mmap of ", FormatBytes(Bytes(mapped_bytes_))), -error,
                   "; give a smaller capacity");
  }
  memory_ = mapping_ + (granule - reinterpret_cast<uintptr_t>(mapping_) % granule) % granule;
  if (granule % kHugePage == 0) system_.AdviseHugePages(memory_, limit_ * granule, true);  // only faster
  const int bound = system_.Bind(memory_, limit_ * granule, MemoryPolicy::kPreferred, options_.node, false);
  probes_.push_back({absl::StrCat("placing memory on node ", options_.node, " (mbind)"),
                     bound == 0 ? "mbind(MPOL_PREFERRED): ok" : ErrnoText(bound), ""});
  if (bound == -EINVAL) {
    return absl::NotFoundError(absl::StrCat(where, "mbind answered ", ErrnoText(bound),
                                            ": no such memory node, or this ",
                                            "process may not use it (Mems_allowed_list in /proc/self/status)"));
  }
  if (bound < 0) {
    return Refused(where, "mbind", bound, "; allow it (a container's filter, a kernel without NUMA), or take file:DIR");
  }
  void* const first = memory_;
  int status = 0;
  const int moved = system_.MovePages({&first, 1}, -1, {&status, 1});
  can_query_ = moved >= 0;
  probes_.push_back({"asking where pages lie (move_pages)",
                     absl::StrCat("move_pages: ", can_query_ ? "ok" : ErrnoText(moved)),
                     can_query_ ? "" : "get_mempolicy, page by page"});
  if (const int taken = TakeMemory(memory_); taken != 0) {
    if (taken == ENOMEM) {
      return absl::ResourceExhaustedError(
          absl::StrCat(where, "the node is full: not even one granule of ", FormatBytes(options_.granule_bytes),
                       " could be placed there; free memory on it, or take another node"));
    }
    return Refused(where, "placing a first granule", -taken, "; take file:DIR instead");
  }
  probes_.push_back({absl::StrCat("keeping memory on node ", options_.node, " (mbind, checked)"),
                     absl::StrCat(FormatBytes(options_.granule_bytes), ": every page lies there, MPOL_BIND: ok"), ""});
  slots_.Grow(1);
  slot_count_.store(1, std::memory_order_release);
  return absl::OkStatus();
}

absl::Status NumaTier::OpenEngine() {
  const std::string where = absl::StrCat("numa:", options_.node, ": ");
  const int event_fd = system_.EventFd();
  if (event_fd < 0) return Refused(where, "eventfd", event_fd, "");
  const int cpus = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = options_.threads > 0 ? options_.threads : std::clamp(cpus / 2, 1, 4);
  auto engine = MakeWorkEngine(event_fd, threads, [this](const IoRequest& request) { return Copy(request); });
  if (!engine.ok()) return absl::Status(engine.status().code(), absl::StrCat(where, engine.status().message()));
  transfers_.SetEngine(*std::move(engine));
  return absl::OkStatus();
}

std::string NumaTier::Describe() const {
  return absl::StrCat("numa:", options_.node, " (memory, copied by ", transfers_.Describe(), ")");
}

// Looks at each page of a range. Returns 0, or the errno with which the kernel refused to tell.
int NumaTier::CountPages(const char* at, int64_t bytes, std::vector<void*>* strays, NumaPlacement* placement) const {
  std::vector<void*> pages;
  std::vector<int> status;
  for (int64_t start = 0; start < bytes; start += kQueryPages * kPage) {
    pages.clear();
    for (int64_t page = start; page < std::min(bytes, start + kQueryPages * kPage); page += kPage) {
      pages.push_back(const_cast<char*>(at + page));
    }
    status.assign(pages.size(), -ENOENT);
    if (can_query_) {
      const int result = system_.MovePages(pages, -1, absl::MakeSpan(status));
      if (result < 0) return -result;
    }
    for (size_t i = 0; i < pages.size(); ++i) {
      if (!can_query_) {
        status[i] = system_.NodeOf(pages[i]);
        if (status[i] < 0) return -status[i];
      }
      if (status[i] == options_.node) {
        ++placement->on_node;
        continue;
      }
      ++(status[i] < 0 ? placement->absent : placement->elsewhere);
      if (strays != nullptr) strays->push_back(pages[i]);
    }
  }
  return 0;
}

// Under the preferred policy a page comes from another node when this one is full, and no process is killed for it.
int NumaTier::PlacePages(char* at) {
  const int64_t granule = options_.granule_bytes.count();
  if (const int result = system_.Populate(at, granule); result < 0) return -result;
  std::vector<void*> strays;
  NumaPlacement placement;
  if (const int error = CountPages(at, granule, &strays, &placement); error != 0) return error;
  if (strays.empty()) return 0;
  std::vector<int> status(strays.size(), 0);
  system_.MovePages(strays, options_.node, absl::MakeSpan(status));  // what came of it is asked for, not believed
  strays.clear();
  if (const int error = CountPages(at, granule, &strays, &placement); error != 0) return error;
  return strays.empty() ? 0 : ENOMEM;
}

int NumaTier::TakeMemory(char* at) {
  const int64_t granule = options_.granule_bytes.count();
  int error = PlacePages(at);
  if (error == ENOMEM && granule % kHugePage == 0) {
    // A node without a whole huge page may still have the pages.
    system_.Discard(at, granule);
    system_.AdviseHugePages(at, granule, false);
    error = PlacePages(at);
  }
  if (error == 0) {
    // From here on the kernel keeps them there; and it checks once more.
    error = -system_.Bind(at, granule, MemoryPolicy::kBind, options_.node, true);
  }
  if (error == 0) return 0;
  system_.Discard(at, granule);
  system_.Bind(at, granule, MemoryPolicy::kPreferred, options_.node, false);
  return error == EIO ? ENOMEM : error;
}

SlotId NumaTier::AllocateSlot() {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  const SlotId slot = slots_.Take();
  if (slot != kNoSlot) return slot;
  if (slots_.size() >= limit_ || MonotonicClock().NowNanos() < full_until_nanos_) return kNoSlot;
  const int error = TakeMemory(memory_ + slots_.size() * options_.granule_bytes.count());
  if (error != 0) {
    if (error != ENOMEM) transfers_.CountFailure();
    full_until_nanos_ = MonotonicClock().NowNanos() + kFullNanos;
    return kNoSlot;
  }
  slots_.Grow(1);
  slot_count_.store(slots_.size(), std::memory_order_release);
  return slots_.Take();
}

void NumaTier::FreeSlot(SlotId slot) {
  std::lock_guard<std::mutex> lock(slots_mutex_);
  slots_.Give(slot);
}

int NumaTier::Copy(const IoRequest& request) {
  char* const slot = memory_ + request.offset;
  if (request.direction == Direction::kIn) {
    std::memcpy(request.memory, slot, request.bytes);
    return 0;
  }
  // What goes out may move away before it has been copied, when an eviction is given up.
  return -system_.CopyFrom(slot, request.memory, request.bytes);
}

int NumaTier::Submit(absl::Span<const Transfer> transfers) {
  const int64_t slots = slot_count_.load(std::memory_order_acquire);
  return transfers_.Submit(
      transfers, [slots](const Transfer& transfer) { return int64_t{transfer.slot.value()} < slots ? 0 : EINVAL; });
}

int NumaTier::ReadSync(SlotId slot, void* memory) {
  if (int64_t{slot.value()} >= slot_count_.load(std::memory_order_acquire)) return EINVAL;
  std::memcpy(memory, SlotMemory(slot), options_.granule_bytes.count());
  transfers_.CountRead(0);
  return 0;
}

absl::StatusOr<NumaPlacement> NumaTier::Placement() const {
  NumaPlacement placement;
  const int64_t bytes = slot_count_.load(std::memory_order_acquire) * options_.granule_bytes.count();
  if (const int error = CountPages(memory_, bytes, nullptr, &placement); error != 0) {
    return Refused(absl::StrCat("numa:", options_.node, ": "), can_query_ ? "move_pages" : "get_mempolicy", -error, "");
  }
  return placement;
}

}  // namespace thermocline::tier

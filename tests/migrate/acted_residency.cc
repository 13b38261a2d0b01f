#include "tests/migrate/acted_residency.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <set>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace thermocline::migrate {

using arena::Granule;
using arena::Presence;
using arena::Residency;
using tier::Direction;

namespace {

constexpr int32_t kRubbish = -1;
// A budget in which one granule may be pinned beside the frames that are left to everything else.
constexpr int64_t kFramesToPin = ActedResidency::kGranules + Residency::kFewestFrames;
// No touch waits longer than that, in turns of the mover.
constexpr int kMostTurns = 50;

constexpr const char* kNames[] = {
    "allocate",
    "free",
    "read",
    "write",
    "pin",
    "unpin",
    "begin to evict",
    "begin to write back",
    "release when clean",
    "fetch",
    "fetch for writing",
    "provide",
    "transfer ends (bytes of its begin)",
    "transfer ends (bytes of its end)",
    "transfer fails once",
    "transfer fails for good",
    "no mapping can be had",
};
static_assert(std::size(kNames) == static_cast<size_t>(Act::kCount));

}  // namespace

std::string ToString(const std::vector<Step>& steps) {
  return absl::StrJoin(steps, ", ", [](std::string* out, const Step& step) {
    absl::StrAppend(out, kNames[static_cast<int>(step.act)]);
    if (step.act != Act::kFillMappings)
      absl::StrAppend(out, " ", std::string(1, static_cast<char>('A' + step.granule)));
  });
}

ActedResidency::ActedResidency(bool planned) : planned_(planned), tier_(kGranule, 2 * kGranules) {
  arena::ResidencyOptions options;
  options.granule_bytes = kGranule;
  options.address_space = kGranule * 16;
  options.frames = kFrames;
  options.most_frames = kFramesToPin;
  residency_ = *Residency::Create(options, memory_, tier_, MonotonicClock());
  residency_->SetPlanned(planned_, GranuleId(0), GranuleId(kGranules));
  MoverOptions mover_options;
  mover_options.read_ahead = 0;
  mover_options.failure_pause_nanos = 0;
  mover_ = std::make_unique<Mover>(*residency_, tier_, MonotonicClock(), mover_options);
  file_ = memfd_create("bytes to store", MFD_CLOEXEC);
}

ActedResidency::~ActedResidency() { close(file_); }

bool ActedResidency::Do(Step step) {
  Shadow& shadow = shadows_[step.granule];
  const bool waits = shadow.reads.has_value() || shadow.writes.has_value();
  switch (step.act) {
    case Act::kAllocate:
      if (shadow.live) return false;
      shadow.live = residency_->Retain({GranuleId(step.granule), GranuleId(step.granule)});
      Expect(shadow.live, "an allocation fails while both tiers have room");
      break;
    case Act::kFree:
      if (!shadow.live || shadow.pinned || waits) return false;
      residency_->Drop({GranuleId(step.granule), GranuleId(step.granule)});
      shadow.live = shadow.written = shadow.lost = false;
      break;
    case Act::kRead:
    case Act::kWrite:
      if (!shadow.live) return false;
      Touch(step.granule, step.act == Act::kWrite);
      break;
    case Act::kPin:
      if (!Pin(step.granule)) return false;
      break;
    case Act::kUnpin:
      if (!shadow.pinned) return false;
      Expect(residency_->Unpin({GranuleId(step.granule), GranuleId(step.granule)}).ok(), "a pinned tensor's unpin");
      shadow.pinned = false;
      break;
    case Act::kEndWithBytesOfBegin:
    case Act::kEndWithBytesOfNow:
    case Act::kEndWithError:
    case Act::kEndForGood:
      if (!shadow.transfer.has_value()) return false;
      End(step.granule, step.act);
      break;
    case Act::kFillMappings:
      if (memory_.full || step.granule != 0) return false;
      memory_.full = was_full_ = true;
      break;
    default:
      if (!Move(step)) return false;
  }
  Check();
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Threads.

bool ActedResidency::Read(const void* from, Page* page) {
  page->resize(kWords);
  return tier::RealNumaSystem().CopyFrom(page->data(), from, kGranule.count()) == 0;
}

// The load or store itself. False where it faults.
bool ActedResidency::Access(int g, bool write) {
  Shadow& shadow = shadows_[g];
  if (write) {
    const Page page = PageOf(next_version_);
    if (pwrite(file_, page.data(), kGranule.count(), 0) != kGranule.count()) Expect(false, "the test's own file");
    if (pread(file_, AddressOf(g), kGranule.count(), 0) != kGranule.count()) return false;
    shadow.version = next_version_++;
    shadow.written = true;
    return true;
  }
  Page page;
  if (!Read(AddressOf(g), &page)) return false;
  Expect(
      !shadow.written || page == PageOf(shadow.version),
      absl::StrCat("a read of ", std::string(1, static_cast<char>('A' + g)), " returns other bytes than were written"));
  return true;
}

// Begins, or looks again if it waits.
void ActedResidency::Touch(int g, bool write) {
  Shadow& shadow = shadows_[g];
  std::optional<int64_t>& waits = write ? shadow.writes : shadow.reads;
  bool waited = waits.has_value();
  waits.reset();
  for (int tries = 0; tries < 3; ++tries) {
    if (Access(g, write)) return;
    os::WatchedFault fault{AddressOf(g), write, /*write_protected=*/false, /*began_nanos=*/waited ? 1 : 0};
    const auto answer = residency_->OnWatchedFault(fault);
    Expect(answer != os::WatchedFaultHandler::Answer::kBusy, "the lock is left locked");
    if (answer == os::WatchedFaultHandler::Answer::kWait) {
      waits = memory_.notices;
      return;
    }
    waited = false;
    if (GranuleOf(g).presence.load() == Presence::kMapped) continue;
    // A signal ends it: bytes that are lost, or no mapping to be had.
    Expect(shadow.lost || was_full_, "a touch is refused though nothing has failed");
    return;
  }
  Expect(false, "a touch faults for ever");
}

// Where it need not wait: what waits is a touch first.
bool ActedResidency::Pin(int g) {
  Shadow& shadow = shadows_[g];
  const Presence presence = GranuleOf(g).presence.load();
  if (!shadow.live || shadow.pinned || memory_.full) return false;
  if (presence != Presence::kMapped && presence != Presence::kEvicting) return false;
  // In a larger budget, as one that has been lowered since.
  residency_->SetFrameLimit(kFramesToPin);
  Expect(residency_->Pin({GranuleId(g), GranuleId(g)}).ok(), "a pin of what is there");
  residency_->SetFrameLimit(kFrames);
  return shadow.pinned = true;
}

// ---------------------------------------------------------------------------------------------------------------------
// The mover and the slow tier.

bool ActedResidency::Move(Step step) {
  const GranuleId id(step.granule);
  std::optional<tier::Transfer> transfer;
  {
    Residency::Lock lock(*residency_);
    switch (step.act) {
      case Act::kEvict:
        transfer = residency_->BeginEvictLocked(id);
        break;
      case Act::kWriteBack:
        transfer = residency_->BeginWriteBackLocked(id);
        break;
      case Act::kRelease:
        residency_->ReleaseLocked(id, /*when_clean=*/true);
        break;
      case Act::kProvide:
        residency_->ProvideLocked(id);
        break;
      default:
        transfer = residency_->BeginFetchLocked(id, /*for_writing=*/step.act == Act::kFetchForWriting);
    }
  }
  if (!transfer.has_value()) return true;
  Shadow& shadow = shadows_[step.granule];
  Expect(!shadow.transfer.has_value(), "two transfers of one granule");
  shadow.transfer = transfer;
  if (transfer->direction == Direction::kOut) {
    Expect(Read(transfer->memory, &shadow.bytes_at_begin), "what is written out can't be read");
  } else {
    shadow.bytes_at_begin = PageOf(0);
    std::memcpy(shadow.bytes_at_begin.data(), tier_.SlotMemory(transfer->slot), kGranule.count());
    std::memcpy(transfer->memory, PageOf(kRubbish).data(), kGranule.count());
  }
  return true;
}

void ActedResidency::End(int g, Act how) {
  Shadow& shadow = shadows_[g];
  bool fails = how == Act::kEndWithError || how == Act::kEndForGood;
  for (int tries = 0; shadow.transfer.has_value() && tries < 10; ++tries) {
    const tier::Transfer transfer = *shadow.transfer;
    char* const slot = tier_.SlotMemory(transfer.slot);
    void* const target = transfer.direction == Direction::kOut ? slot : transfer.memory;
    Page bytes = shadow.bytes_at_begin;
    int error = fails ? EIO : 0;
    if (fails) {
      bytes = PageOf(kRubbish);
    } else if (how == Act::kEndWithBytesOfNow && transfer.direction == Direction::kIn) {
      std::memcpy(bytes.data(), slot, kGranule.count());
    } else if (how == Act::kEndWithBytesOfNow && !Read(transfer.memory, &bytes)) {
      error = EFAULT;  // a touch has taken it back while it was copied
    }
    if (error != EFAULT) std::memcpy(target, bytes.data(), kGranule.count());
    {
      Residency::Lock lock(*residency_);
      shadow.transfer = residency_->FinishLocked({transfer.tag, error});
    }
    if (how != Act::kEndForGood) break;
  }
  Expect(how != Act::kEndForGood || !shadow.transfer.has_value(), "a transfer is tried for ever");
  if (GranuleOf(g).presence.load() == Presence::kFailed) {
    Expect(how == Act::kEndForGood || how == Act::kEndWithError, "bytes are given up though the slow tier has them");
    shadow.lost = true;
  }
}

// ---------------------------------------------------------------------------------------------------------------------
// What must hold at every moment.

void ActedResidency::Check() {
  const arena::ResidencyStats stats = residency_->Stats();
  Expect(stats.peak_frames <= kFrames, "more frames are in use than the budget has");
  std::set<uint32_t> frames, slots;
  int64_t with_frame = 0, with_slot = 0;
  for (int g = 0; g < kGranules; ++g) {
    const Granule& granule = GranuleOf(g);
    const Presence presence = granule.presence.load();
    const bool holds = presence != Presence::kHole && presence != Presence::kFailed;
    with_frame += holds;
    if (holds) frames.insert(granule.frame.value());
    with_slot += granule.has_slot;
    if (granule.has_slot) slots.insert(granule.slot.value());
    if (!shadows_[g].pinned) continue;
    Expect(presence == Presence::kMapped && granule.protection == os::Protection::kReadWrite,
           "what is pinned has left, or is closed to writes");
  }
  Expect(std::ssize(frames) == with_frame, "two granules have one frame");
  Expect(std::ssize(slots) == with_slot, "two granules have one slot");
  Expect(stats.frames_in_use == with_frame, "a frame is lost, or counted that nobody has");
  Expect(stats.slots == with_slot && tier_.slots_taken() == with_slot, "a slot is lost, or counted that nobody has");
}

std::string ActedResidency::StateOf(int g) {
  const Granule& granule = GranuleOf(g);
  const Shadow& shadow = shadows_[g];
  const Presence presence = granule.presence.load();
  const auto behind = [&](auto next) {
    int count = 0;
    for (GranuleId id = GranuleId(g); id != Residency::kNone; id = next(id)) ++count;
    return count;
  };
  std::string state;
  const auto add = [&state](int64_t value) { state.push_back(static_cast<char>(value)); };
  for (const bool flag : {granule.fresh, granule.has_slot, granule.clean, granule.writing, granule.dirtied,
                          granule.leaving, granule.refused, granule.no_room, shadow.lost, shadow.pinned}) {
    add(flag);
  }
  for (const std::optional<int64_t>& waits : {shadow.reads, shadow.writes}) {
    add(!waits.has_value() ? 0 : memory_.notices > *waits ? 2 : 1);
  }
  add(granule.live.load() == 0 ? 0 : 1 + shadow.live);
  add(static_cast<int64_t>(presence));
  const bool has_protection = presence == Presence::kMapped || presence == Presence::kFetching;
  add(has_protection ? static_cast<int64_t>(granule.protection) : 0);
  add(presence == Presence::kFetching ? granule.retries : 0);
  add(!granule.demanded ? 0 : behind([&](GranuleId id) { return GranuleId(GranuleOf(id.value()).next_demand); }));
  add(!granule.in_lru ? 0 : behind([&](GranuleId id) { return residency_->NewerLocked(id); }));
  // Which of the copies is the last that was written.
  const bool matters = shadow.live && shadow.written && !shadow.lost;
  const Page last = PageOf(shadow.version);
  Page page;
  if (presence == Presence::kMapped) Read(AddressOf(g), &page);
  if (presence == Presence::kEvicting) Read(residency_->frames().Home(granule.frame), &page);
  add(shadow.live && !shadow.written ? 2 : matters && page == last);
  add(matters && granule.has_slot && std::memcmp(tier_.SlotMemory(granule.slot), last.data(), kGranule.count()) == 0);
  add(!shadow.transfer.has_value() ? 0 : 1 + (matters && shadow.bytes_at_begin == last));
  return state;
}

std::string ActedResidency::State() {
  Residency::Lock lock(*residency_);
  std::string states[kGranules];
  for (int g = 0; g < kGranules; ++g) states[g] = StateOf(g);
  std::sort(std::begin(states), std::end(states));
  return absl::StrCat(absl::StrJoin(states, ""), memory_.full, residency_->frames_leaving(),
                      residency_->writes_failing(), residency_->failed_writes_in_row(), residency_->HasStrandedLocked(),
                      residency_->HasTroubleLocked());
}

// ---------------------------------------------------------------------------------------------------------------------
// The end.

bool ActedResidency::Settle() {
  for (int turn = 0; turn < kMostTurns; ++turn) {
    bool quiet = true;
    for (int g = 0; g < kGranules; ++g) {
      Shadow& shadow = shadows_[g];
      if (shadow.transfer.has_value()) End(g, Act::kEndWithBytesOfNow);
      if (shadow.reads.has_value() && memory_.notices > *shadow.reads) Touch(g, /*write=*/false);
      if (shadow.writes.has_value() && memory_.notices > *shadow.writes) Touch(g, /*write=*/true);
      quiet &= !shadow.transfer.has_value() && !shadow.reads.has_value() && !shadow.writes.has_value();
    }
    if (quiet) return true;
    mover_->RunOnce(0);
    Check();
  }
  return false;
}

void ActedResidency::LetGo() {
  memory_.full = false;
  for (int g = 0; g < kGranules; ++g) Do({Act::kUnpin, g});
  Expect(Settle(), "a touch waits for ever");
  for (int g = 0; g < kGranules; ++g) {
    if (!Do({Act::kRead, g})) continue;
    Expect(Settle(), "a touch of what is at rest waits for ever");
  }
  // What is clean and then written to must not leave as if it were clean.
  for (int g = 0; g < kGranules; ++g) {
    if (!GranuleOf(g).clean || !Do({Act::kWrite, g})) continue;
    Do({Act::kRelease, g});
    Do({Act::kRead, g});
    Expect(Settle(), "a touch of what was just written to waits for ever");
  }
  for (int g = 0; g < kGranules; ++g) Do({Act::kFree, g});
  for (int turn = 0; turn < 3; ++turn) mover_->RunOnce(0);
  {
    Residency::Lock lock(*residency_);
    residency_->ReclaimDeadLocked(kFrames);
  }
  const arena::ResidencyStats stats = residency_->Stats();
  Expect(stats.frames_in_use == 0 && stats.slots == 0 && stats.backed == 0, "something is left of what was freed");
  was_full_ = false;
}

}  // namespace thermocline::migrate

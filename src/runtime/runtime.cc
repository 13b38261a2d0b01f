#include "src/runtime/runtime.h"

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstring>
#include <new>
#include <utility>

#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"
#include "src/os/choose_memory.h"
#include "src/os/memory.h"
#include "src/plan/granule_for.h"
#include "src/plan/make_planner.h"
#include "src/plan/plan_file.h"
#include "src/plan/rebase.h"
#include "src/profile/choose_gate.h"
#include "src/runtime/fork_guard.h"
#include "src/runtime/memory_owner.h"
#include "src/tier/measure_link.h"
#include "src/tier/verifying_tier.h"
#include "src/trace/trace_file.h"

namespace thermocline::runtime {
namespace {

constexpr int64_t kMostScratchFrames = 16;
// Address space costs nothing; short of it the planned area and the general one would get in each other's way.
constexpr int64_t kAddressSpacePerMemory = 16;
// How long a shrinking budget waits for one more granule to leave.
constexpr int64_t kPatienceNanos = 3'000'000'000;
// The start-up measurement may write so much of the day's cap, and needs so many granules.
constexpr int64_t kMeasuredShareOfCap = 8;
constexpr int64_t kFewestMeasured = 8;
constexpr BytesPerSecond kAssumedSpeed(1e9);
constexpr size_t kMostLogged = 1 << 16;

}  // namespace

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::Create(const Settings& settings) {
  auto slow = tier::MakeBlockTier(settings.slow, settings.granule_bytes);
  if (!slow.ok()) return slow.status();
  return CreateOn(settings, *std::move(slow));
}

absl::StatusOr<std::unique_ptr<Runtime>> Runtime::CreateOn(const Settings& settings,
                                                           std::unique_ptr<tier::BlockTier> slow) {
  auto runtime = std::unique_ptr<Runtime>(new Runtime(settings));
  runtime->tier_ = std::move(slow);
  if (absl::Status status = runtime->Open(); !status.ok()) return status;
  return runtime;
}

absl::Status Runtime::Open() {
  if (settings_.verify) tier_ = std::make_unique<tier::VerifyingTier>(std::move(tier_));
  if (settings_.planner != "lru") {
    auto planners = plan::MakeTrialPlanners(settings_.planner);
    if (!planners.ok()) return planners.status();
    planners_ = *std::move(planners);
    plans_ = EnoughToPlanWith(settings_.fast);
    if (!plans_) SayByDemand();
  }
  arena::ResidencyOptions options;
  options.granule_bytes = settings_.granule_bytes;
  options.frames = settings_.fast / settings_.granule_bytes;
  budget_.store((settings_.granule_bytes * options.frames).count(), std::memory_order_relaxed);
  options.most_frames =
      std::max(options.frames, std::min(settings_.most_fast / settings_.granule_bytes, os::MostMappedFrames()));
  options.address_space =
      RoundUp(std::max(GiB(64), os::PhysicalMemory() * kAddressSpacePerMemory), settings_.granule_bytes * 4);
  auto watched = os::MakeWatchedMemory(settings_.kernel_faults, settings_.held_frames);
  if (!watched.ok()) return watched.status();
  watched_memory_ = *std::move(watched);
  os::Memory& memory = watched_memory_ != nullptr ? *watched_memory_ : os::RealMemory();
  auto residency = arena::Residency::Create(options, memory, *tier_, clock_);
  if (!residency.ok()) return residency.status();
  residency_ = *std::move(residency);
  auto gate = profile::MakeGate(settings_.profiler, os::RealMemory());
  if (!gate.ok()) return gate.status();
  gate_ = *std::move(gate);
  residency_->SetAccessGate(gate_.get());
  auto allocator = arena::Allocator::Create(*residency_);
  if (!allocator.ok()) return allocator.status();
  allocator_ = *std::move(allocator);
  if (absl::Status status = MeasureLink(); !status.ok()) return status;
  migrate::MoverOptions mover_options;
  mover_options.on_trouble = [this](const absl::Status& trouble) { ReportTrouble(trouble); };
  mover_ = std::make_unique<migrate::Mover>(*residency_, *tier_, clock_, mover_options);
  recorder_ = std::make_unique<StepRecorder>(*residency_, clock_);
  if (absl::Status status = TakeGivenPlan(); !status.ok()) return status;
  mover_->Start();
  GuardForks(this);
  AddMemoryOwner(this, residency_->base(), residency_->size());
  return absl::OkStatus();
}

Runtime::~Runtime() {
  RemoveMemoryOwner(this);
  UnguardForks(this);
  if (mover_ != nullptr) mover_->Stop();
}

// Uses frames of the budget as scratch memory, before anything else needs them.
absl::Status Runtime::MeasureLink() {
  plan::TierSpec spec;
  // Not byte_addressable, whatever the tier is: a running program copies what it touches.
  spec.name = tier_->Describe();
  spec.capacity = tier_->capacity();
  if (planners_.empty()) return absl::OkStatus();
  if (settings_.link.has_value() || !plans_) {
    // Where SetBudget lets it plan later, plans after two steps go by the link as those saw it.
    spec.in = settings_.link.has_value() ? settings_.link->in : kAssumedSpeed;
    spec.out = settings_.link.has_value() ? settings_.link->out : kAssumedSpeed;
    machine_.slow = {spec};
    return absl::OkStatus();
  }
  tier::LinkMeasurement how;
  if (const Bytes cap = settings_.slow.daily_write_cap; cap.count() > 0) {
    how.most_written = cap / kMeasuredShareOfCap;
    if (how.most_written < settings_.granule_bytes * kFewestMeasured) {
      std::fprintf(
          stderr,
          "thermocline: daily_writes of %s is too little to measure the slow tier's speed with; %.0f GB/s each "
          "way are assumed. THERMOCLINE_LINK=in=..,out=.. says what it is.\n",
          FormatBytes(cap).c_str(), kAssumedSpeed.rate() / 1e9);
      spec.in = spec.out = kAssumedSpeed;
      machine_.slow = {spec};
      return absl::OkStatus();
    }
  }
  std::vector<FrameId> frames;
  const int64_t wanted = std::min(kMostScratchFrames, residency_->frames().limit());
  for (int64_t i = 0; i < wanted; ++i) frames.push_back(residency_->frames().Take());
  char* const begin = residency_->frames().Home(frames.front());
  const Bytes scratch = settings_.granule_bytes * wanted;  // the first frames lie side by side
  std::memset(begin, 1, scratch.count());
  const auto speed = tier::MeasureLink(*tier_, absl::MakeSpan(begin, scratch.count()), how);
  for (FrameId frame : frames) residency_->frames().Give(frame);
  residency_->frames().ForgetPeak();
  if (!speed.ok()) return speed.status();
  spec.in = speed->in;
  spec.out = speed->out;
  // What is fetched ahead of time stands behind a queue of its like.
  const migrate::MoverOptions queue;
  spec.latency_seconds =
      speed->latency_seconds + SecondsFor(settings_.granule_bytes * queue.Depth(settings_.granule_bytes), speed->mixed);
  spec.full_duplex = !speed->half_duplex;
  if (speed->half_duplex) {
    spec.in = std::min(spec.in, speed->mixed);
    spec.out = std::min(spec.out, speed->mixed);
  }
  machine_.slow = {spec};
  return absl::OkStatus();
}

// The plan says where everything lies; the profile that it was made from is not needed to execute it.
absl::StatusOr<std::unique_ptr<Shape>> Runtime::ShapeOfGivenPlan() {
  absl::StatusOr<plan::MigrationPlan> saved = plan::LoadPlan(settings_.plan_in);
  if (!saved.ok()) return saved.status();
  if (saved->budget > settings_.fast || saved->granule_bytes != settings_.granule_bytes) {
    return absl::InvalidArgumentError(
        absl::StrCat(settings_.plan_in, " was made for a budget of ", FormatBytes(saved->budget), " in granules of ",
                     FormatBytes(saved->granule_bytes), ", this run has ", FormatBytes(settings_.fast),
                     " in granules of ", FormatBytes(settings_.granule_bytes), "; give the same, or no plan"));
  }
  if (absl::Status status = plan::Rebase(allocator_->planned_begin(), allocator_->planned_end(), &*saved);
      !status.ok()) {
    return absl::Status(status.code(), absl::StrCat(settings_.plan_in, ": ", status.message(), ", or give none"));
  }
  profile::Profile profile;
  profile.layers.resize(saved->layers.size());
  auto shape = std::make_unique<Shape>(std::move(profile), *std::move(saved));
  shape->profile_known = false;
  return shape;
}

absl::StatusOr<std::unique_ptr<Shape>> Runtime::ShapeOfGivenProfile() {
  if (planners_.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(settings_.profile_in, " is of no use to the planner ",
                                                   settings_.planner,
                                                   ", which runs by demand; give another planner, "
                                                   "or no profile"));
  }
  absl::StatusOr<trace::TraceFile> saved = trace::ReadTrace(settings_.profile_in);
  if (!saved.ok()) return saved.status();
  const Trial trial(static_cast<int>(planners_.size()));
  absl::StatusOr<plan::MigrationPlan> plan = MakePlan(saved->profile, {.planner = trial.current(), .given = true});
  if (!plan.ok()) {
    return absl::Status(plan.status().code(), absl::StrCat(settings_.profile_in, ": ", plan.status().message()));
  }
  auto shape = std::make_unique<Shape>(std::move(saved->profile), *std::move(plan));
  shape->trial = trial;
  shape->made_for = budget();
  WatchTimes(*shape);
  return shape;
}

absl::Status Runtime::TakeGivenPlan() {
  if (settings_.GivenFile().empty()) return absl::OkStatus();
  // A budget that is too small to plan with makes a profile useless, not wrong.
  if (!plans_ && settings_.plan_in.empty() && settings_.planner != "lru") return absl::OkStatus();
  auto shape = settings_.plan_in.empty() ? ShapeOfGivenProfile() : ShapeOfGivenPlan();
  if (!shape.ok()) return shape.status();
  shapes_.push_back(*std::move(shape));
  shapes_.back()->given = true;
  CountShapes();
  return absl::OkStatus();
}

// Where steps are marked, their status says that writes fail; nobody but this says that a thread waits.
void Runtime::ReportTrouble(const absl::Status& trouble) {
  const bool marked = explicit_steps_.load() || phase_.load() != Phase::kDemand;
  if (marked && !absl::IsResourceExhausted(trouble)) return;
  // Not by stdio: whoever holds the lock of stderr may be the thread that waits for the room which is missing.
  const std::string line = absl::StrCat("thermocline: ", trouble.message(), "\n");
  static_cast<void>(!write(STDERR_FILENO, line.data(), line.size()));
}

const void* Runtime::ThreadMark() {
  static thread_local char mark;
  return &mark;
}

// ---------------------------------------------------------------------------------------------------------------------
// Allocation.

void* Runtime::Allocate(Bytes bytes, Bytes alignment, const void* call_site) {
  if (follows_rhythm_.load(std::memory_order_relaxed)) return AllocateInRhythm(bytes, alignment, call_site);
  const Phase phase = phase_.load(std::memory_order_relaxed);
  const bool large = arena::Allocator::IsLarge(bytes);
  // Between explicit steps nothing is matched. Where steps are not marked, what lies between belongs to the last layer.
  const bool between = explicit_steps_.load(std::memory_order_relaxed) && !in_step_.load(std::memory_order_relaxed);
  if (phase == Phase::kDemand || between) return AllocateAnywhere(bytes, alignment, false, nullptr);
  if (large && OnDrivingThread()) SplitLayer(bytes);
  uint64_t serial = 0;
  Identity identity{layer_.load(std::memory_order_relaxed), -1, arena::Allocator::Rounded(bytes)};
  void* pointer = nullptr;
  if (large && OnDrivingThread()) {
    identity.ordinal = ordinal_;
    // Only what comes before the first mismatch decides on the shape; a program that never ends a step logs no further.
    if (step_mismatched_ == 0 && step_log_.size() < kMostLogged) step_log_.push_back(identity);
    if (phase == Phase::kPlaced && alignment <= arena::Allocator::kPage) {
      pointer = AllocateMatched(bytes, &serial, &identity);
    }
  }
  if (pointer == nullptr) pointer = AllocateAnywhere(bytes, alignment, phase == Phase::kProfiling, &serial);
  if (phase == Phase::kProfiling && pointer != nullptr && serial != 0) {
    RecordAllocation(identity, pointer, bytes, serial);
  }
  if (identity.ordinal >= 0 && pointer != nullptr) ++ordinal_;  // what failed may be asked for again
  return pointer;
}

void* Runtime::AllocateAnywhere(Bytes bytes, Bytes alignment, bool own_pages, uint64_t* serial) {
  void* pointer = allocator_->Allocate(bytes, alignment, own_pages, serial);
  if (pointer == nullptr) {
    // Perhaps the room is still kept for forked children that have ended meanwhile.
    PollForks();
    pointer = allocator_->Allocate(bytes, alignment, own_pages, serial);
  }
  return Secured(pointer, bytes);
}

// Memory that no frame can be had for, as the slow tier takes no more, is none.
void* Runtime::Secured(void* pointer, Bytes bytes) {
  if (pointer == nullptr || residency_->Secure(residency_->RangeOf(pointer, bytes))) return pointer;
  allocator_->Free(pointer, nullptr);
  return nullptr;
}

// What the profile can't have is not allocated either: the caller hears that there is no memory.
void Runtime::RecordAllocation(const Identity& identity, void* pointer, Bytes bytes, uint64_t serial) {
  try {
    recorder_->OnAllocate(serial, static_cast<char*>(pointer), bytes, identity.rounded, LayerId(identity.layer),
                          identity.ordinal);
  } catch (const std::bad_alloc&) {
    allocator_->Free(pointer, nullptr);
    throw;
  }
}

void* Runtime::AllocateMatched(Bytes bytes, uint64_t* serial, Identity* identity) {
  int64_t offset = shapes_[active_]->OffsetFor(*identity);
  if (offset == Shape::kUnknown && step_mismatched_ == 0) {
    TryAnotherShape(*identity);
    offset = shapes_[active_]->OffsetFor(*identity);
  }
  if (offset == Shape::kUnknown) {
    NoteMismatch(*identity);
    mismatched_.fetch_add(1, std::memory_order_relaxed);
    return nullptr;
  }
  ++step_matched_;
  matched_.fetch_add(1, std::memory_order_relaxed);
  return offset == Shape::kAnywhere ? nullptr : Secured(allocator_->AllocateAt(offset, bytes, serial), bytes);
}

// The step turns out to be of another shape than the last one: go on with the plan of a shape that fits so far.
void Runtime::TryAnotherShape(const Identity& failed) {
  for (size_t i = 0; i < shapes_.size(); ++i) {
    if (i == active_ || shapes_[i]->OffsetFor(failed) == Shape::kUnknown || !Matches(*shapes_[i], step_log_)) continue;
    Activate(i, failed.layer);
    return;
  }
}

bool Runtime::Free(void* pointer) {
  arena::Allocation freed;
  if (!allocator_->Free(pointer, &freed)) return false;
  if (phase_.load(std::memory_order_relaxed) == Phase::kProfiling && freed.serial != 0) {
    recorder_->OnFree(freed.serial, freed.address, LayerId(layer_.load(std::memory_order_relaxed)));
  }
  if (follows_rhythm_.load(std::memory_order_relaxed) && freed.serial != 0) FreedInRhythm(freed);
  return true;
}

// ---------------------------------------------------------------------------------------------------------------------
// Hints.

absl::Status Runtime::Pin(const void* pointer, Bytes bytes) {
  if (bytes.count() <= 0 || !Contains(pointer) || !Contains(static_cast<const char*>(pointer) + bytes.count() - 1)) {
    return absl::InvalidArgumentError("the range to pin is not this runtime's memory");
  }
  return residency_->Pin(residency_->RangeOf(pointer, bytes));
}

absl::Status Runtime::Unpin(const void* pointer, Bytes bytes) {
  if (bytes.count() <= 0 || !Contains(pointer) || !Contains(static_cast<const char*>(pointer) + bytes.count() - 1)) {
    return absl::InvalidArgumentError("the range to unpin is not this runtime's memory");
  }
  return residency_->Unpin(residency_->RangeOf(pointer, bytes));
}

absl::Status Runtime::Prefetch(const void* pointer, Bytes bytes) {
  if (bytes.count() <= 0 || !Contains(pointer) || !Contains(static_cast<const char*>(pointer) + bytes.count() - 1)) {
    return absl::InvalidArgumentError("the range to prefetch is not this runtime's memory");
  }
  const arena::Residency::Range range = residency_->RangeOf(pointer, bytes);
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) {
    if (!residency_->IsMapped(GranuleId(i))) residency_->Ask(GranuleId(i));
  }
  return absl::OkStatus();
}

absl::Status Runtime::Touch(const void* pointer, Bytes bytes, bool writes) {
  if (phase_.load(std::memory_order_relaxed) == Phase::kProfiling) recorder_->Declare(pointer, writes);
  // Under a plan, recency decides nothing, and what is needed is fetched already.
  if (plan_running_) return absl::OkStatus();
  if (absl::Status status = Prefetch(pointer, bytes); !status.ok()) return status;
  const arena::Residency::Range range = residency_->RangeOf(pointer, bytes);
  for (uint32_t i = range.first.value(); i <= range.last.value(); ++i) residency_->MarkUsed(GranuleId(i));
  return absl::OkStatus();
}

absl::Status Runtime::SetBudget(Bytes budget) {
  const int64_t frames = budget / settings_.granule_bytes;
  constexpr int64_t kFewest = arena::Residency::kFewestFrames;
  if (frames < kFewest || frames > residency_->frames().most()) {
    return absl::InvalidArgumentError(absl::StrCat("a budget of ", FormatBytes(budget), " is not possible here; from ",
                                                   FormatBytes(settings_.granule_bytes * kFewest), " to ",
                                                   FormatBytes(settings_.granule_bytes * residency_->frames().most()),
                                                   " with granules of ", FormatBytes(settings_.granule_bytes),
                                                   ", which THERMOCLINE_GRANULE chooses at start"));
  }
  if (const int64_t pinned = residency_->Stats().pinned; pinned > frames - kFewest) {
    return absl::FailedPreconditionError(
        absl::StrCat(FormatBytes(settings_.granule_bytes * pinned), " are pinned; a budget of ", FormatBytes(budget),
                     " would leave too little to everything else. Unpin first, or give at least ",
                     FormatBytes(settings_.granule_bytes * (pinned + kFewest))));
  }
  residency_->SetFrameLimit(frames);
  budget_.store((settings_.granule_bytes * frames).count(), std::memory_order_relaxed);
  if (absl::Status status = AwaitFrames(frames); !status.ok()) return status;
  os::LockGuard guard(marks_lock_);
  plans_ = plans_ || (!planners_.empty() && EnoughToPlanWith(budget));
  profile_next_ = !shapes_.empty();  // its plans were made for another budget
  return absl::OkStatus();
}

bool Runtime::EnoughToPlanWith(Bytes budget) const {
  return budget >= settings_.granule_bytes * plan::kFewestPlannedFrames;
}

void Runtime::SayByDemand() const {
  std::fprintf(stderr,
               "thermocline: the fast budget of %s is %ld granules of %s, too few to plan with: running by "
               "demand. From %s on it is planned.\n",
               FormatBytes(settings_.fast).c_str(), static_cast<long>(settings_.fast / settings_.granule_bytes),
               FormatBytes(settings_.granule_bytes).c_str(),
               FormatBytes(settings_.granule_bytes * plan::kFewestPlannedFrames).c_str());
}

// Waits until no more frames are in use than that; gives up when nothing leaves any more: pinned, or writes fail.
absl::Status Runtime::AwaitFrames(int64_t frames) {
  int64_t fewest = residency_->Stats().frames_in_use;
  int64_t give_up = clock_.NowNanos() + kPatienceNanos;
  for (int64_t in_use = fewest; in_use > frames; in_use = residency_->Stats().frames_in_use) {
    if (in_use < fewest) {
      fewest = in_use;
      give_up = clock_.NowNanos() + kPatienceNanos;
    } else if (clock_.NowNanos() > give_up) {
      return absl::FailedPreconditionError(absl::StrCat(
          FormatBytes(settings_.granule_bytes * in_use), " are still in fast memory, over the new budget of ",
          FormatBytes(settings_.granule_bytes * frames), ": pinned, or the slow tier takes no more (",
          residency_->last_error().message(), "). They leave as soon as they can; nothing else comes in before"));
    }
    tier_->Wake();
    os::FutexWait(settling_, 0, 1'000'000);
  }
  return absl::OkStatus();
}

RuntimeStats Runtime::Stats() const {
  RuntimeStats stats;
  stats.tier = tier_->Stats();
  {
    arena::Residency::Lock lock(*residency_);
    stats.budget = settings_.granule_bytes * residency_->frames().budget();
  }
  stats.residency = residency_->Stats();
  stats.fast = settings_.granule_bytes * stats.residency.frames_in_use + stats.tier.cached;
  stats.peak_fast = std::max(stats.residency.peak_fast, stats.fast);
  stats.allocator = allocator_->Stats();
  stats.mover = mover_->Stats();
  stats.steps = steps_.load();
  stats.matched = matched_.load();
  stats.mismatched = mismatched_.load();
  stats.replans = replans_.load();
  stats.profiles = profiles_.load();
  stats.metadata =
      stats.allocator.metadata + residency_->MetadataBytes() + Bytes(shape_bytes_.load() + record_bytes_.load());
  return stats;
}

// ---------------------------------------------------------------------------------------------------------------------
// Fork.

void Runtime::PrepareFork() {
  mover_->Pause();
  allocator_->PrepareFork();
  residency_->PrepareFork();
}

void Runtime::AfterForkInParent() {
  residency_->ParentAfterFork();
  allocator_->AfterFork(false);
  mover_->Resume();
}

void Runtime::AfterForkInChild() {
  residency_->ChildAfterFork();
  allocator_->AfterFork(true);
  mover_->AbandonAfterFork();
  marks_lock_.ResetAfterFork();  // another thread, which is not here, may have held it
  phase_.store(Phase::kDemand);
  driver_.store(nullptr);
  in_step_.store(false);
  plan_running_.store(false);
  in_forked_child_ = true;
}

}  // namespace thermocline::runtime

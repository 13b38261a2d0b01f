// Mover: moves granules in the background, as the plan says and as touches demand. It knows no policy: what leaves when
// nothing is planned is a VictimPolicy's choice.
//
// One thread runs it (Start), or a test steps it by hand (RunOnce). Order of service: what someone waits for; what
// frees frames; then planned arrivals by deadline. All that is under way shares the link and ends late together. So no
// more is begun than keeps the link busy; and while something is due, as its layer has begun or is held up by it,
// nothing else is begun but the evictions that it needs. Thread safety: EnterLayer, SetPlan, Pause, Resume, Stats from
// any thread. OnDemand from anywhere. Ownership: borrows residency, tier and clock. Errors: a failed transfer is
// handled by the residency; nothing throws. Where there is no memory left, what was begun is ended and what is asked
// for is served all the same, as room for the bookkeeping of both is kept; a new plan or layer is taken up once there
// is memory again.
#ifndef THERMOCLINE_MIGRATE_MOVER_H_
#define THERMOCLINE_MIGRATE_MOVER_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <unordered_map>
#include <vector>

#include "src/arena/residency.h"
#include "src/base/clock.h"
#include "src/migrate/victim_policy.h"
#include "src/os/futex.h"
#include "src/plan/migration_plan.h"
#include "src/tier/block_tier.h"

namespace thermocline::migrate {

struct MoverOptions {
  // So much under way, in at least so many transfers, keeps the link busy. The more, the longer each takes and holds
  // its frame. Demand may go beyond.
  Bytes busy = MiB(8);
  int least_depth = 4;
  int read_ahead = 4;         // by demand: granules after the touched one that are fetched with it
  int read_ahead_depth = 12;  // no more is read ahead while so many are under way
  int64_t reserve = 8;        // by demand: frames kept free, so that a touch need not wait for a write
  // What the system caches of the slow tier is counted after so many transfers, and when none is left: it is a system
  // call.
  int64_t count_cached_after = 16;
  int queued_depth = 2;  // while so many stay under way the link is busy: what it then does is its speed
  // After so many write-outs that failed in a row nothing is evicted any more, but for one try in each pause.
  int64_t most_failures = 64;
  int64_t failure_pause_nanos = 50'000'000;
  // Told once each time that writes begin to fail, that touches begin to wait for frames that can't be freed, or that
  // there is no memory left. Called on the mover's thread, with no lock held. Null: nobody is told.
  std::function<void(const absl::Status&)> on_trouble;

  int Depth(Bytes granule) const { return static_cast<int>(std::max<int64_t>(busy / granule, least_depth)); }
};

// One transfer, for reports.
struct MoveRecord {
  GranuleId granule;
  tier::Direction direction = tier::Direction::kIn;
  bool demanded = false;
  int64_t position = 0;      // the layer in which it was started, in the endless sequence
  int64_t issued_nanos = 0;  // the plan's layer began, or a touch asked
  int64_t started_nanos = 0;
  int64_t ended_nanos = 0;
  int error = 0;
};

struct MoverStats {
  Bytes bytes_in;
  Bytes bytes_out;
  int64_t demand_fetches = 0;
  int64_t planned_fetches = 0;
  int64_t skipped_actions = 0;  // planned moves that the real state did not allow or need
  // How long at least `queued_depth` transfers were in flight, and what was moved in that time: the link's speed, as it
  // never ran dry then. A transfer that was under way before or after that too has moved a part of its bytes in it.
  Bytes queued_in;
  Bytes queued_out;
  int64_t queued_nanos = 0;
};

class Mover final : public arena::DemandSink {
 public:
  Mover(arena::Residency& residency, tier::BlockTier& tier, const Clock& clock, const MoverOptions& options);
  ~Mover() override;

  void Start();
  // Ends the thread once the transfers in flight have ended.
  void Stop();
  // What the thread does in one turn: waits up to timeout_nanos for something to do, and does it.
  void RunOnce(int64_t timeout_nanos);

  // The plan to execute from `position` on, which is entered at once; nullptr: by demand only. At the start of a step
  // (position is a multiple of the plan's layers) what the plan does not want in fast memory then leaves it, and what
  // it wants comes.
  void SetPlan(std::shared_ptr<const plan::MigrationPlan> plan, int64_t position);
  // The layer at `position` of the endless sequence of layers begins: the plan's layer is position modulo its layers.
  void EnterLayer(int64_t position);

  void OnDemand() override { tier_.Wake(); }

  // No transfer is in flight and none starts between the two: for fork, and for changes that need quiet.
  void Pause();
  void Resume();
  // The child of a fork has no mover thread.
  void AbandonAfterFork();

  // From now on transfers are recorded, until TakeRecords.
  void StartRecording();
  std::vector<MoveRecord> TakeRecords();
  MoverStats Stats() const;

 private:
  struct Arrival {
    int64_t deadline;
    GranuleId granule;
    bool provide;
    bool for_writing;
    int64_t issued_nanos;
    bool operator<(const Arrival& other) const { return deadline < other.deadline; }
  };

  struct WriteOut {
    GranuleId granule;
    int64_t issued_nanos;
  };

  // A transfer that the tier has taken: when, and what queued_nanos_ was then.
  struct Flight {
    GranuleId granule;
    int64_t began_nanos;
    int64_t queued_nanos;
  };

  // A fetch under way that someone waits for from this layer on.
  struct Fetching {
    GranuleId granule;
    int64_t deadline;
  };

  void Loop();
  bool Turn(int64_t timeout_nanos);
  void SayTrouble();
  void TurnLocked();
  void ReserveLocked();
  void NoteNoMemory() { no_memory_ = retry_soon_ = true; }
  void SayNoMemory();
  std::optional<Bytes> CachedIfDue();
  void FinishAllLocked();
  void CountQueued();
  Bytes EndFlight(GranuleId id);
  void TakeNewLayersLocked();
  void AdoptPlanLocked();
  void TakeActionsLocked(int64_t position);
  void ServeDemandsLocked();
  void NoteAskedLocked(GranuleId id);
  void FetchByDemandLocked(GranuleId id);
  void ReadAheadLocked(GranuleId id);
  void MakeRoomLocked(int64_t wanted);
  void EvictLocked(GranuleId id, int64_t issued_nanos = 0);
  void ReleaseLocked(GranuleId id, int64_t now);
  void KeepLocked(GranuleId id);
  int64_t FramesComing() const { return residency_.frames_leaving() + std::ssize(evictions_); }
  bool WritesFail() const { return residency_.failed_writes_in_row() > options_.most_failures; }
  bool MayWriteLocked();
  void WriteOutLocked();
  void BeginWriteBackLocked(const WriteOut& queued);
  void ServeArrivalsLocked(int64_t most);
  bool Serve(Arrival& arrival);
  int64_t FramesDueLocked() const;
  bool MayWriteOutLocked(bool evict, int64_t frames_due) const;
  void RecordStart(const tier::Transfer& transfer, bool demanded, int64_t issued_nanos);
  void RecordEnd(const tier::Completion& completion);
  int ReadAheadDepth() const;
  bool LinkIsBusy() const;
  bool IsDueUnderWay() const;
  // `issued_nanos`: when it was asked for; 0: at this moment.
  void Push(std::optional<tier::Transfer> transfer, bool demanded, int64_t issued_nanos = 0);
  void SubmitAll();
  int InFlight() const { return in_flight_ + static_cast<int>(outgoing_.size()); }

  arena::Residency& residency_;
  tier::BlockTier& tier_;
  const Clock& clock_;
  const MoverOptions options_;

  // Shared with the callers; guarded by the residency lock, but for the atomics.
  std::shared_ptr<const plan::MigrationPlan> next_plan_;
  bool plan_changed_ = false;
  int64_t plan_position_ = 0;
  std::atomic<int64_t> position_{-1};
  std::atomic<bool> stop_{false};
  std::atomic<bool> pause_{false};
  std::atomic<uint32_t> paused_{0};
  std::atomic<bool> recording_{false};
  std::vector<MoveRecord> records_;
  MoverStats stats_;

  // The mover's own.
  std::shared_ptr<const plan::MigrationPlan> plan_;
  std::unique_ptr<VictimPolicy> policy_;
  int64_t taken_ = -1;                // layers up to this position have been taken
  std::vector<Arrival> arrivals_;     // sorted by deadline
  std::deque<WriteOut> evictions_;    // out of sight, then written: their frames come free. They go first
  std::deque<WriteOut> write_backs_;  // copied while they stay readable
  std::unordered_map<GranuleId, int64_t> asked_nanos_;  // of demands that wait for a frame, while recording
  std::vector<tier::Transfer> outgoing_;
  std::vector<tier::Completion> completions_;  // with room for all in flight
  std::vector<MoveRecord> open_records_;
  std::vector<Fetching> fetching_;
  std::vector<Flight> flights_;
  int in_flight_ = 0;
  int64_t counted_nanos_ = 0;   // when in_flight_ last changed
  int64_t queued_nanos_ = 0;    // that the link was busy, up to then
  int64_t uncounted_ = 0;       // transfers that have ended since the cache was counted
  int64_t next_try_nanos_ = 0;  // while all writes fail
  bool retry_soon_ = false;     // something is to be tried again without being asked for
  bool no_memory_ = false;      // in the last turn
  bool no_memory_before_ = false, no_memory_to_say_ = false;
  std::atomic<uint32_t> never_{0};
  std::thread thread_;
};

}  // namespace thermocline::migrate

#endif  // THERMOCLINE_MIGRATE_MOVER_H_

// RhythmFollower: listens to a program's large allocations and frees, finds their rhythm, and says for each event where
// in the step it stands. It decides; the runtime acts.
//
// The thread that allocates is listened to on its own, and all threads together: a program that works on one thread is
// found in the one, whatever others do beside it; one that passes the step from thread to thread in the other. Rhythms
// that were found are kept, and taken up again when they come back after an evaluation phase or an odd batch.
// Thread safety: none of its own; one caller at a time. Memory: bounded, whatever the program does.
#ifndef THERMOCLINE_RUNTIME_RHYTHM_FOLLOWER_H_
#define THERMOCLINE_RUNTIME_RHYTHM_FOLLOWER_H_

#include <array>
#include <cstdint>
#include <vector>

#include "src/runtime/rhythm.h"

namespace thermocline::runtime {

// Where an event stands.
struct Cue {
  enum class Action : uint8_t {
    kNone,   // nothing begins here
    kBegin,  // a step begins; the one before, if any, is over
    kLayer,  // `layer` begins
    kLost,   // the rhythm was followed and is no more
  };
  Action action = Action::kNone;
  int32_t rhythm = -1;  // of the step: equal numbers for equal rhythms, never used for another one
  int32_t layer = 0;
  int32_t ordinal = -1;  // of an allocation in its layer; -1: not part of the rhythm
};

class RhythmFollower {
 public:
  explicit RhythmFollower(const RhythmOptions& options = {}) : options_(options) {}

  // `thread`: any value that tells threads apart. `worthwhile`: a rhythm that were found now would be followed; while
  // it is false the follower only listens.
  Cue OnEvent(const RhythmEvent& event, const void* thread, bool worthwhile);

  bool following() const { return followed_ >= 0 && started_; }
  // The events of this thread belong to the rhythm that is followed.
  bool Follows(const void* thread) const {
    return followed_ >= 0 && (followed_thread_ == nullptr || followed_thread_ == thread);
  }
  // The one that is followed. REQUIRES: following().
  const Rhythm& rhythm() const { return known_[followed_].rhythm; }
  int64_t found() const { return found_; }
  int64_t lost() const { return lost_; }
  // Of allocations that were expected and did not come, and that came and were not expected, in steps that were
  // followed.
  int64_t missed() const { return missed_; }

 private:
  static constexpr int kThreads = 4;
  static constexpr size_t kMostEvents = 32768;
  static constexpr size_t kMostRhythms = 8;

  // What one thread did, or all of them.
  struct Stream {
    const void* thread = nullptr;
    std::vector<RhythmEvent> events;
    size_t search_at = 0;
    uint64_t last_heard = 0;
  };
  struct Known {
    int32_t number;
    Rhythm rhythm;
    size_t heard = 0;  // beats of it that came in a row, while nothing is followed
    int64_t steps = 0;
    int64_t losses = 0;
    uint64_t last_used = 0;
  };

  Stream& StreamOf(const void* thread);
  void Listen(Stream& stream, const RhythmEvent& event);
  bool SearchIn(Stream& stream);
  bool FindsLonger();
  bool IsManySteps(const Rhythm& rhythm) const;
  bool TakeUpKnown(const RhythmEvent& event, const void* thread);
  void Follow(int32_t index, const void* thread, size_t next);
  int32_t Remember(Rhythm rhythm);
  static bool Broken(const Known& known) { return known.losses >= 3 && known.steps < 4 * known.losses; }
  Cue Advance(const RhythmEvent& event);
  Cue At(size_t beat);
  Cue Lose();

  const RhythmOptions options_;
  Stream all_;
  std::array<Stream, kThreads> streams_;
  uint64_t clock_ = 0;
  std::vector<Known> known_;
  int32_t followed_ = -1;  // index into known_
  int32_t next_number_ = 0;
  const void* followed_thread_ = nullptr;  // nullptr: all
  bool started_ = false;                   // a step of it has begun
  size_t next_ = 0;
  int32_t layer_ = 0;
  int64_t wrong_in_row_ = 0;
  int64_t wrong_in_step_ = 0;
  int64_t found_ = 0, lost_ = 0, missed_ = 0;
  int64_t missed_at_search_ = 0;
};

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_RHYTHM_FOLLOWER_H_

#include "src/runtime/rhythm_follower.h"

#include <algorithm>
#include <utility>

namespace thermocline::runtime {
namespace {

// Allocations of the rhythm that may be left out at one place.
constexpr int kMostSkipped = 8;
// So many allocations out of rhythm in a row, and it is lost.
constexpr int64_t kMostWrongInRow = 12;
constexpr double kMostWrongShare = 0.1;
constexpr int64_t kFewestBetweenSearches = 32;
// A rhythm of fewer allocations may be a repeat within a step; one of more is a step.
constexpr int32_t kFewestOfAStep = 32;

}  // namespace

Cue RhythmFollower::OnEvent(const RhythmEvent& event, const void* thread, bool worthwhile) {
  ++clock_;
  Stream& stream = StreamOf(thread);
  Listen(stream, event);
  Listen(all_, event);
  if (followed_ >= 0) {
    if (!Follows(thread)) return {};
    const Cue cue = Advance(event);
    if (followed_ < 0 || !FindsLonger()) return cue;
    return started_ ? Lose() : cue;
  }
  if (!worthwhile || TakeUpKnown(event, thread)) return {};
  if (SearchIn(stream)) return {};
  // One thread alone is all of them.
  if (all_.events.size() != stream.events.size()) SearchIn(all_);
  return {};
}

RhythmFollower::Stream& RhythmFollower::StreamOf(const void* thread) {
  Stream* oldest = &streams_[0];
  for (Stream& stream : streams_) {
    if (stream.thread == thread) {
      stream.last_heard = clock_;
      return stream;
    }
    if (stream.last_heard < oldest->last_heard) oldest = &stream;
  }
  *oldest = Stream();
  oldest->thread = thread;
  oldest->last_heard = clock_;
  return *oldest;
}

void RhythmFollower::Listen(Stream& stream, const RhythmEvent& event) {
  if (stream.events.size() >= kMostEvents) {
    stream.events.erase(stream.events.begin(), stream.events.begin() + kMostEvents / 2);
    stream.search_at = std::max(stream.search_at, kMostEvents / 2) - kMostEvents / 2;
  }
  stream.events.push_back(event);
}

// An epoch, say: its steps are known, and one odd batch at its end is no reason to plan for all of them as one.
bool RhythmFollower::IsManySteps(const Rhythm& rhythm) const {
  return std::any_of(known_.begin(), known_.end(), [&](const Known& known) {
    return !Broken(known) && known.rhythm.allocations >= kFewestOfAStep &&
           rhythm.beats.size() >= 2 * known.rhythm.beats.size();
  });
}

// Seldom, so that all searches together cost a few operations an event.
bool RhythmFollower::SearchIn(Stream& stream) {
  const size_t size = stream.events.size();
  if (size < stream.search_at) return false;
  stream.search_at = size + std::max<size_t>(kFewestBetweenSearches, size / 16);
  std::optional<Rhythm> rhythm = FindRhythm(stream.events, options_);
  if (!rhythm.has_value() || IsManySteps(*rhythm)) return false;
  const size_t next = rhythm->next;
  const int32_t index = Remember(*std::move(rhythm));
  if (Broken(known_[index])) return false;
  ++found_;
  Follow(index, stream.thread, next);
  return true;
}

// What is followed may be a repeat within the step, which the step's other events disturb in every round: then there is
// a longer rhythm. Said once; the search that follows finds it.
bool RhythmFollower::FindsLonger() {
  if (missed_ == missed_at_search_ || known_[followed_].rhythm.allocations >= kFewestOfAStep) return false;
  Stream* stream = followed_thread_ == nullptr ? &all_ : &StreamOf(followed_thread_);
  const size_t size = stream->events.size();
  if (size < stream->search_at) return false;
  stream->search_at = size + std::max<size_t>(kFewestBetweenSearches, size / 16);
  missed_at_search_ = missed_;
  const std::optional<Rhythm> rhythm = FindRhythm(stream->events, options_);
  if (!rhythm.has_value() || rhythm->beats.size() < 2 * known_[followed_].rhythm.beats.size()) return false;
  known_[followed_].losses += 3;
  known_[followed_].steps = 0;
  stream->search_at = size;
  return true;
}

// A known rhythm has been heard once through.
bool RhythmFollower::TakeUpKnown(const RhythmEvent& event, const void* thread) {
  for (size_t i = 0; i < known_.size(); ++i) {
    Known& known = known_[i];
    const std::vector<Beat>& beats = known.rhythm.beats;
    if (known.heard > 0 && beats[known.heard].key != event.key && !event.allocates()) continue;
    // Frees may come a little earlier or later.
    while (event.allocates() && known.heard < beats.size() && !beats[known.heard].allocates) ++known.heard;
    if (known.heard >= beats.size() || beats[known.heard].key != event.key) known.heard = 0;
    if (beats[known.heard].key == event.key) ++known.heard;
    const bool whole = std::all_of(beats.begin() + static_cast<int64_t>(known.heard), beats.end(),
                                   [](const Beat& beat) { return !beat.allocates; });
    if (!whole) continue;
    const size_t next = known.heard % beats.size();
    known.heard = 0;
    if (Broken(known)) continue;
    Follow(static_cast<int32_t>(i), thread, next);
    return true;
  }
  return false;
}

void RhythmFollower::Follow(int32_t index, const void* thread, size_t next) {
  followed_ = index;
  followed_thread_ = thread;
  started_ = false;
  next_ = next;
  layer_ = 0;
  wrong_in_row_ = wrong_in_step_ = 0;
  known_[index].last_used = clock_;
}

int32_t RhythmFollower::Remember(Rhythm rhythm) {
  const auto same = [](const Beat& a, const Beat& b) { return a.key == b.key && a.allocates == b.allocates; };
  for (size_t i = 0; i < known_.size(); ++i) {
    const std::vector<Beat>& beats = known_[i].rhythm.beats;
    if (std::equal(beats.begin(), beats.end(), rhythm.beats.begin(), rhythm.beats.end(), same)) {
      return static_cast<int32_t>(i);
    }
  }
  if (known_.size() < kMostRhythms) {
    known_.push_back({next_number_++, std::move(rhythm), 0, 0, 0, clock_});
    return static_cast<int32_t>(known_.size()) - 1;
  }
  const auto oldest = std::min_element(known_.begin(), known_.end(),
                                       [](const Known& a, const Known& b) { return a.last_used < b.last_used; });
  *oldest = {next_number_++, std::move(rhythm), 0, 0, 0, clock_};
  return static_cast<int32_t>(oldest - known_.begin());
}

Cue RhythmFollower::Advance(const RhythmEvent& event) {
  const std::vector<Beat>& beats = known_[followed_].rhythm.beats;
  // The allocations give the place; a free counts only where it is expected before the next of them.
  int skipped = 0;
  for (size_t i = 0; i < beats.size() && skipped <= kMostSkipped; ++i) {
    const size_t at = (next_ + i) % beats.size();
    if (beats[at].key == event.key) {
      if (event.allocates()) {
        missed_ += started_ ? skipped : 0;
        wrong_in_step_ += skipped;
        wrong_in_row_ = 0;
      }
      return At(at);
    }
    if (!beats[at].allocates) continue;
    if (!event.allocates()) return {};
    ++skipped;
  }
  if (!event.allocates()) return {};
  missed_ += started_ ? 1 : 0;
  ++wrong_in_step_;
  ++wrong_in_row_;
  const double most = std::max<double>(kMostWrongInRow, kMostWrongShare * known_[followed_].rhythm.allocations);
  return wrong_in_row_ >= kMostWrongInRow || static_cast<double>(wrong_in_step_) > most ? Lose() : Cue();
}

// The event is the beat `at`.
Cue RhythmFollower::At(size_t at) {
  Known& known = known_[followed_];
  const Beat& beat = known.rhythm.beats[at];
  const bool begins = at == 0 || at < next_;  // a step that lost its first beats begins a little late
  next_ = at + 1;
  Cue cue;
  if (begins) {
    started_ = true;
    ++known.steps;
    wrong_in_step_ = 0;
    cue.action = Cue::Action::kBegin;
  } else if (!started_) {
    return {};
  } else if (beat.layer != layer_) {
    cue.action = Cue::Action::kLayer;
  }
  layer_ = beat.layer;
  cue.rhythm = known.number;
  cue.layer = beat.layer;
  cue.ordinal = beat.ordinal;
  return cue;
}

Cue RhythmFollower::Lose() {
  const bool started = started_;
  Known& known = known_[followed_];
  ++known.losses;
  ++lost_;
  followed_ = -1;
  started_ = false;
  for (Known& other : known_) other.heard = 0;
  Cue cue;
  if (started) cue.action = Cue::Action::kLost;
  return cue;
}

}  // namespace thermocline::runtime

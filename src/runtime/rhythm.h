// Rhythm: the period of a program that marks no steps, found in its sequence of large allocations and frees.
//
// A training program allocates the same sizes from the same places in every step. The period is looked for from the end
// backwards, so that start-up, an evaluation phase or another batch size before it don't matter. Three things keep the
// repeats within a step (equal blocks of a network) from being taken for it: what repeats must hold for two whole
// periods, must free as much as it allocates, and of several the one that explains most of the past is chosen. Thread
// safety: pure functions and plain data. Ownership: by value. Errors: none; std::nullopt where there is no rhythm.
#ifndef THERMOCLINE_RUNTIME_RHYTHM_H_
#define THERMOCLINE_RUNTIME_RHYTHM_H_

#include <cstdint>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "src/base/units.h"

namespace thermocline::runtime {

// One large allocation or free.
struct RhythmEvent {
  uint64_t key = 0;  // of size, call site and kind: equal in every step
  Bytes bytes;       // what it adds to the live bytes; negative for a free
  int64_t nanos = 0;

  bool allocates() const { return bytes.count() > 0; }
};

// The key of an allocation of `rounded` bytes from the call site, and of the free of so many bytes (negative).
uint64_t RhythmKey(Bytes rounded, const void* call_site);

// One event of the period, with the layer that runs from it on.
struct Beat {
  uint64_t key = 0;
  bool allocates = false;
  int32_t layer = 0;
  int32_t ordinal = -1;  // among the allocations of its layer; -1 for a free
};

struct Rhythm {
  std::vector<Beat> beats;  // the first is an allocation, where least is alive
  int32_t layers = 0;
  int32_t allocations = 0;
  double seconds = 0;  // of the last period
  size_t next = 0;     // the beat that the stream's next event should be
};

struct RhythmOptions {
  // What repeats must have been seen for two periods, and for so many events more than one.
  int64_t least_repeated = 48;
  // Share of the events of a run that may be out of rhythm.
  double most_noise = 0.02;
  // Share of a period's allocated bytes that may be left over at its end.
  double most_imbalance = 0.02;
  // An event so long after the one before begins a layer: something was computed in between.
  int64_t layer_nanos = 20'000;
};

std::optional<Rhythm> FindRhythm(absl::Span<const RhythmEvent> events, const RhythmOptions& options = {});

}  // namespace thermocline::runtime

#endif  // THERMOCLINE_RUNTIME_RHYTHM_H_

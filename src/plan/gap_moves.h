// GapMoves: the cheapest way for one granule through a step, when frames and link time have prices.
//
// A granule leaves in some of its gaps. Where it leaves it pays the link for a fetch, if the next use needs the
// content, and for one write-back for all gaps between two writes; where it stays it pays for the frame. Given the
// prices, the choice is exact: for each write, the gap with which it is best to begin, and each later one by itself.
//
// Thread safety: const functions may run at the same time.
#ifndef THERMOCLINE_PLAN_GAP_MOVES_H_
#define THERMOCLINE_PLAN_GAP_MOVES_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "src/plan/gaps.h"

namespace thermocline::plan {

// What is decided for one gap. Positions as in Gap.
struct GapMove {
  static constexpr int32_t kNone = INT32_MIN;  // no such transfer, or one that the step waits for between two layers
  bool leaves = false;
  int32_t write = kNone, fetch = kNone;         // the layer in which the transfer runs
  bool late_write = false, late_fetch = false;  // the step waits for it
  int32_t free_from = 0, free_to = -1;          // the layers in which others have the frame
};

class GapMoves {
 public:
  explicit GapMoves(int32_t layers);

  // One price for each layer: of holding a frame, of a fetch and of a write-back in it; and what a transfer costs that
  // the step waits for. All in seconds. `fetch` and `write` are looked at until the next call.
  void SetPrices(absl::Span<const double> frame, absl::Span<const double> fetch, absl::Span<const double> write,
                 double late_fetch, double late_write);

  // `gaps`: all of one granule, in order. Writes a move for each. Returns their cost, against staying all along.
  double Choose(absl::Span<const Gap> gaps, std::vector<GapMove>* moves) const;

 private:
  struct Priced {
    double cost = 0;
    GapMove move;
  };
  // A position's layer, and what a frame costs from position 0 up to it.
  struct Cursor {
    int32_t layer;
    double before;
  };
  Cursor At(int32_t position) const;
  double Held(const Cursor& at) const { return at.before + held_[at.layer]; }
  void Advance(Cursor* at) const;
  Priced Leave(const Gap& gap, bool pays_write) const;
  double ChooseEpoch(absl::Span<const Gap> gaps, size_t start, size_t* done, std::vector<GapMove>* moves) const;

  const int32_t layers_;
  std::vector<double> held_;  // frame prices summed up to each layer, and to the step's end
  absl::Span<const double> fetch_, write_;
  double late_fetch_ = 0, late_write_ = 0;
};

}  // namespace thermocline::plan

#endif  // THERMOCLINE_PLAN_GAP_MOVES_H_

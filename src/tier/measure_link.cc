#include "src/tier/measure_link.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"
#include "src/tier/file_system.h"

namespace thermocline::tier {
namespace {

enum class Pattern { kOut, kIn, kMixed };
constexpr int64_t kFewestWrites = 8;

class Measurer {
 public:
  Measurer(BlockTier& tier, absl::Span<char> scratch, const LinkMeasurement& how)
      : tier_(tier), how_(how), granule_(tier.granule_bytes().count()), scratch_(scratch) {}
  ~Measurer() {
    for (SlotId slot : slots_) tier_.FreeSlot(slot);
  }

  absl::Status TakeSlots() {
    depth_ = static_cast<int>(std::min<int64_t>(
        {int64_t{how_.depth}, int64_t{tier_.max_in_flight()}, static_cast<int64_t>(scratch_.size()) / granule_}));
    if (depth_ < 1) {
      return absl::InvalidArgumentError(absl::StrCat("measuring a link needs at least one granule of ",
                                                     FormatBytes(tier_.granule_bytes()), " as scratch memory"));
    }
    int64_t wanted = std::max<int64_t>(2 * depth_, how_.most_bytes.count() / granule_);
    if (how_.most_written.count() > 0) {
      if (how_.most_written < tier_.granule_bytes() * kFewestWrites) {
        return absl::InvalidArgumentError(absl::StrCat("measuring a link writes at least ",
                                                       FormatBytes(tier_.granule_bytes() * kFewestWrites), ", not ",
                                                       FormatBytes(how_.most_written)));
      }
      wanted = std::min(wanted, how_.most_written.count() / granule_ / 4);
    }
    for (int64_t i = 0; i < wanted; ++i) {
      const SlotId slot = tier_.AllocateSlot();
      if (slot == kNoSlot) break;
      slots_.push_back(slot);
    }
    // An even number: then the mixed pattern never reads a slot that it also writes.
    if (slots_.size() > 1 && slots_.size() % 2 != 0) {
      tier_.FreeSlot(slots_.back());
      slots_.pop_back();
    }
    depth_ = std::min(depth_, static_cast<int>(slots_.size()));
    if (slots_.empty()) {
      return absl::ResourceExhaustedError(absl::StrCat(tier_.Describe(), " is full: no room to measure it"));
    }
    return absl::OkStatus();
  }

  // Bytes a second of transfers after this pattern: once over all slots for kOut (all of them must have been written
  // before they are read), else for about `seconds`.
  // Writes no more than up to `share` of the limit, counted from the first run.
  absl::StatusOr<double> Run(Pattern pattern, int depth, double seconds, int64_t at_least, double share = 1) {
    const double limit = how_.most_written.count() > 0 ? how_.most_written.count() * share : 1e300;
    std::vector<int> idle;
    for (int i = depth; i-- > 0;) idle.push_back(i);
    const int64_t start = how_.clock->NowNanos();
    const int64_t end = start + static_cast<int64_t>(seconds * 1e9);
    int64_t started = 0, done = 0;
    int error = 0;
    bool more = true;
    while (more || done < started) {
      more = more && error == 0 && (started < at_least || how_.clock->NowNanos() < end);
      while (more && !idle.empty()) {
        const int frame = idle.back();
        const bool writes = pattern == Pattern::kOut || pattern == Pattern::kMixed;
        if (writes && static_cast<double>((written_ + 1) * granule_) > limit) {
          more = false;
          break;
        }
        const bool out = pattern == Pattern::kOut || (pattern == Pattern::kMixed && started % 2 == 0);
        const Transfer transfer{static_cast<uint64_t>(frame), out ? Direction::kOut : Direction::kIn,
                                slots_[started % slots_.size()], scratch_.data() + frame * granule_};
        if (tier_.Submit({transfer}) == 0) break;
        idle.pop_back();
        ++started;
        written_ += out ? 1 : 0;
      }
      completions_.clear();
      if (done < started) tier_.Reap(&completions_, -1);
      for (const Completion& completion : completions_) {
        if (completion.error != 0) error = completion.error;
        idle.push_back(static_cast<int>(completion.tag));
        ++done;
      }
    }
    if (error != 0) {
      return absl::UnavailableError(absl::StrCat("measuring ", tier_.Describe(), ": a transfer of ",
                                                 FormatBytes(tier_.granule_bytes()), " failed with ",
                                                 ErrnoText(error)));
    }
    const double took = static_cast<double>(std::max<int64_t>(1, how_.clock->NowNanos() - start)) * 1e-9;
    return static_cast<double>(done * granule_) / took;
  }

  int depth() const { return depth_; }
  int64_t slots() const { return static_cast<int64_t>(slots_.size()); }
  double granule() const { return static_cast<double>(granule_); }

 private:
  BlockTier& tier_;
  const LinkMeasurement& how_;
  const int64_t granule_;
  const absl::Span<char> scratch_;
  int depth_ = 0;
  int64_t written_ = 0;  // transfers
  std::vector<SlotId> slots_;
  std::vector<Completion> completions_;
};

}  // namespace

absl::StatusOr<LinkSpeed> MeasureLink(BlockTier& tier, absl::Span<char> scratch, const LinkMeasurement& how) {
  Measurer measurer(tier, scratch, how);
  if (absl::Status status = measurer.TakeSlots(); !status.ok()) return status;
  // Bytes that no device can compress or recognise as zeros.
  uint64_t state = 0x9e3779b97f4a7c15u;
  for (size_t at = 0; at + 8 <= scratch.size(); at += 8) {
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    std::memcpy(scratch.data() + at, &state, 8);
  }
  const int depth = measurer.depth();
  // The first writes to a slot also allocate it: not what later steps see.
  absl::StatusOr<double> rate = measurer.Run(Pattern::kOut, depth, 0, measurer.slots(), 0.25);
  if (!rate.ok()) return rate.status();
  const double share = how.seconds / 4;
  LinkSpeed speed;
  if (!(rate = measurer.Run(Pattern::kOut, depth, share, 4, 0.625)).ok()) return rate.status();
  speed.out = BytesPerSecond(*rate);
  if (!(rate = measurer.Run(Pattern::kIn, depth, share, 4)).ok()) return rate.status();
  speed.in = BytesPerSecond(*rate);
  if (!(rate = measurer.Run(Pattern::kMixed, depth, share, 4)).ok()) return rate.status();
  speed.mixed = BytesPerSecond(*rate);
  if (!(rate = measurer.Run(Pattern::kIn, 1, share / 4, 4)).ok()) return rate.status();
  speed.latency_seconds = std::max(0.0, measurer.granule() / *rate - measurer.granule() / speed.in.rate());
  // A byte each way takes the sum of both times on a shared link, and the longer of them on two links.
  const double time_in = 1 / speed.in.rate(), time_out = 1 / speed.out.rate();
  speed.half_duplex = 2 / speed.mixed.rate() > (time_in + time_out + std::max(time_in, time_out)) / 2;
  return speed;
}

}  // namespace thermocline::tier

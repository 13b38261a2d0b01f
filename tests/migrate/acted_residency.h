// ActedResidency: a residency of a few granules and fewer frames on which a test acts every part by hand: the threads
// that touch, the mover, the slow tier. There is no other thread, so that a list of acts always gives the same state.
//
// A touch is a system call on the tensor's bytes, which answers where a load or store would fault, and the residency's
// own fault path, called directly; where that says to wait, the touch stays pending. The slow tier is as unkind as it
// may be: what it writes is the bytes of a transfer's begin or of its end, and what fails leaves rubbish.
// A shadow of what was last written says what every read must return. What is wrong is added to `wrong`.
#ifndef THERMOCLINE_TESTS_MIGRATE_ACTED_RESIDENCY_H_
#define THERMOCLINE_TESTS_MIGRATE_ACTED_RESIDENCY_H_

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "src/arena/residency.h"
#include "src/migrate/mover.h"
#include "tests/tier/held_tier.h"

namespace thermocline::migrate {

enum class Act : uint8_t {
  // Threads.
  kAllocate,
  kFree,
  kRead,
  kWrite,
  kPin,
  kUnpin,
  // The mover, whatever its plan is.
  kEvict,
  kWriteBack,
  kRelease,
  kFetch,
  kFetchForWriting,
  kProvide,
  // The slow tier.
  kEndWithBytesOfBegin,
  kEndWithBytesOfNow,
  kEndWithError,
  kEndForGood,  // with an error, and so does each new try
  // The kernel: nothing can be mapped at a tensor's address from now on.
  kFillMappings,
  kCount,
};

struct Step {
  Act act;
  int granule;
};
std::string ToString(const std::vector<Step>& steps);

// The real calls; nothing can be mapped at a tensor's address while `full`. Counts when waiters are told to look again.
class ActedMemory final : public os::Memory {
 public:
  absl::StatusOr<char*> Reserve(Bytes size, Bytes alignment) override { return real_.Reserve(size, alignment); }
  int MapFresh(char* at, Bytes size, bool huge) override { return real_.MapFresh(at, size, huge); }
  int Attach(char* home, char* at, Bytes size, os::Protection p) override {
    return full ? ENOMEM : real_.Attach(home, at, size, p);
  }
  int Detach(char* at, char* home, Bytes size) override { return real_.Detach(at, home, size); }
  int Protect(char* at, Bytes size, os::Protection p) override { return real_.Protect(at, size, p); }
  int Discard(char* at, Bytes size) override { return real_.Discard(at, size); }
  void Collapse(char* at, Bytes size) override { real_.Collapse(at, size); }
  int Unmap(char* at, Bytes size) override { return real_.Unmap(at, size); }
  void NotifyWaiters() override { ++notices; }

  bool full = false;
  int64_t notices = 0;

 private:
  os::Memory& real_ = os::RealMemory();
};

class ActedResidency {
 public:
  static constexpr Bytes kGranule{4096};
  static constexpr int kGranules = 3;
  static constexpr int kFrames = 2;

  explicit ActedResidency(bool planned);
  ~ActedResidency();

  // False where its actor may not do it now; nothing is changed then. What the mover does is never refused here: a
  // wrong plan may cost time only.
  bool Do(Step step);
  // Everything that decides what happens from now on, but for which granule, frame or slot it is.
  std::string State();
  // The slow tier and the kernel behave, the mover does its work: every pending touch goes through, every byte is as it
  // was last written, and when all is freed nothing is left. All is as at the beginning then.
  void LetGo();

  std::vector<std::string> wrong;

 private:
  using Page = std::vector<int32_t>;
  static constexpr int kWords = 1024;
  struct Shadow {
    bool live = false;
    bool written = false;  // else its bytes are anything
    bool lost = false;     // the slow tier could not read them
    bool pinned = false;
    int32_t version = 0;
    // Pending touches: the notices when they began to wait.
    std::optional<int64_t> reads, writes;
    std::optional<tier::Transfer> transfer;
    Page bytes_at_begin;
  };

  char* AddressOf(int g) { return residency_->AddressOf(GranuleId(g)); }
  const arena::Granule& GranuleOf(int g) { return residency_->GranuleLocked(GranuleId(g)); }
  static Page PageOf(int32_t version) { return Page(kWords, version); }
  bool Read(const void* from, Page* page);
  void Touch(int g, bool write);
  bool Access(int g, bool write);
  bool Pin(int g);
  bool Move(Step step);
  void End(int g, Act how);
  void Check();
  void Expect(bool right, const std::string& what) {
    if (!right) wrong.push_back(what);
  }
  std::string StateOf(int g);
  bool Settle();

  const bool planned_;
  ActedMemory memory_;
  tier::HeldTier tier_;
  std::unique_ptr<arena::Residency> residency_;
  std::unique_ptr<Mover> mover_;
  int file_ = -1;          // what a store's bytes come from
  bool was_full_ = false;  // since the beginning: touches may have been refused
  int32_t next_version_ = 1;
  Shadow shadows_[kGranules];
};

}  // namespace thermocline::migrate

#endif  // THERMOCLINE_TESTS_MIGRATE_ACTED_RESIDENCY_H_

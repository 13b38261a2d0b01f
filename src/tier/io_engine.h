// IoEngine: moves ranges of one file to and from memory in the background.
//
// Short transfers are continued, EINTR and EAGAIN retried: a result is the whole range or an error.
// Thread safety: Submit and Reap belong to one thread; Wake may be called from any thread and from a signal handler.
// Ownership: the file descriptor and the memory stay the caller's and must outlive the transfer. The destructor waits
// for what is in flight.
#ifndef THERMOCLINE_TIER_IO_ENGINE_H_
#define THERMOCLINE_TIER_IO_ENGINE_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/types/span.h"
#include "src/tier/block_tier.h"
#include "src/tier/file_system.h"

namespace thermocline::tier {

struct IoRequest {
  uint64_t tag = 0;
  Direction direction = Direction::kIn;
  int64_t offset = 0;
  char* memory = nullptr;
  int64_t bytes = 0;
};

struct IoResult {
  uint64_t tag = 0;
  Direction direction = Direction::kIn;
  int error = 0;
};

class IoEngine {
 public:
  virtual ~IoEngine() = default;
  virtual std::string Describe() const = 0;
  // REQUIRES: with these, at most the engine's depth is in flight. Without memory it throws std::bad_alloc, and has
  // begun none.
  virtual void Submit(absl::Span<const IoRequest> requests) = 0;
  // As BlockTier::Reap. True when a wake-up was taken, which is not told again.
  virtual bool Reap(std::vector<IoResult>* results, int64_t timeout_nanos) = 0;
  virtual void Wake() = 0;
};

// Both engines name, in an error, the call and the errno that the system answered. `request_bytes`: the largest
// request.
absl::StatusOr<std::unique_ptr<IoEngine>> MakeUringEngine(FileSystem& files, int fd, int depth, Bytes request_bytes);
// `drop_cache`: the file goes through the page cache; each range is written back and dropped before it is reported.
absl::StatusOr<std::unique_ptr<IoEngine>> MakeThreadEngine(FileSystem& files, int fd, int threads, bool drop_cache);

// A few threads that each do a request at a time with `transfer`, which returns 0 or an errno. Takes over `event_fd`.
absl::StatusOr<std::unique_ptr<IoEngine>> MakeWorkEngine(int event_fd, int threads,
                                                         std::function<int(const IoRequest&)> transfer);

// What a request that goes through the page cache has there at a time.
constexpr int64_t kCachedPiece = 256 << 10;

// Does one request on the calling thread. `drop_cache`: piece by piece. Returns 0 or the errno. Async-signal-safe.
int TransferNow(FileSystem& files, int fd, const IoRequest& request, bool drop_cache);

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_IO_ENGINE_H_

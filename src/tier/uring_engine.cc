// The engine on io_uring: one ring, used by one thread, with an eventfd read armed in it so that others can wake it.
//
// A granule goes as pieces of 1 MiB: on a virtual SSD two such were 10-30% faster than one transfer of 2 MiB, each way,
// at the same number of bytes in flight; 512 KiB was the same, 256 KiB slower.
#include <errno.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/tier/io_engine.h"

namespace thermocline::tier {
namespace {

constexpr uint64_t kWakeData = ~uint64_t{0};
constexpr int kMaxRetries = 64;
constexpr int64_t kBlock = 4096;
constexpr int64_t kPieceBytes = int64_t{1} << 20;
constexpr int64_t kMaxPieces = 8;  // of one request, so that the ring stays small

class UringEngine final : public IoEngine {
 public:
  UringEngine(FileSystem& files, int fd, int depth, int64_t request_bytes) : files_(files), fd_(fd), ops_(depth) {
    const int64_t count = std::clamp((request_bytes + kPieceBytes - 1) / kPieceBytes, int64_t{1}, kMaxPieces);
    piece_bytes_ = ((request_bytes + count - 1) / count + kBlock - 1) / kBlock * kBlock;
    pieces_.resize(depth * count);
    queued_.reserve(pieces_.size() + 1);
    finished_.reserve(depth);
    for (int i = depth; i-- > 0;) idle_.push_back(i);
    for (int i = static_cast<int>(pieces_.size()); i-- > 0;) idle_pieces_.push_back(i);
  }

  ~UringEngine() override {
    if (!ready_) return;
    std::vector<IoResult> ignored;
    while (idle_.size() < ops_.size()) Reap(&ignored, 1'000'000);
    // The kernel must have let go of event_count_: a cancellation by closing the ring would come some time later.
    Wake();
    for (int tries = 0; armed_ && tries < 1000; ++tries) {
      Flush();
      Wait(1'000'000);
      Drain();
    }
    io_uring_queue_exit(&ring_);
    files_.Close(event_fd_);
  }

  absl::Status Start() {
    event_fd_ = files_.EventFd();
    if (event_fd_ < 0) return absl::UnavailableError(absl::StrCat("eventfd: ", ErrnoText(event_fd_)));
    const int result = files_.RingSetup(static_cast<unsigned>(pieces_.size()) + 2, &ring_);
    if (result < 0) {
      files_.Close(event_fd_);
      return absl::UnavailableError(absl::StrCat("io_uring_setup: ", ErrnoText(result)));
    }
    ready_ = true;
    // Without it a wait with a time limit takes an entry of the submission queue, and Reap could find it full.
    if ((ring_.features & IORING_FEAT_EXT_ARG) == 0) {
      return absl::UnavailableError("io_uring_setup: this kernel's io_uring is older than Linux 5.11");
    }
    return absl::OkStatus();
  }

  std::string Describe() const override { return "io_uring"; }

  void Submit(absl::Span<const IoRequest> requests) override {
    for (const IoRequest& request : requests) {
      const int index = idle_.back();
      idle_.pop_back();
      ops_[index] = {request, 0, 0};
      for (int64_t start = 0; start < request.bytes; start += piece_bytes_) {
        const int piece = idle_pieces_.back();
        idle_pieces_.pop_back();
        pieces_[piece] = {index, start, std::min(piece_bytes_, request.bytes - start), 0};
        ++ops_[index].pieces_left;
        queued_.push_back(piece);
        Prepare(piece);
      }
    }
    Flush();
  }

  bool Reap(std::vector<IoResult>* results, int64_t timeout_nanos) override {
    const int64_t deadline = timeout_nanos <= 0 ? 0 : MonotonicClock().NowNanos() + timeout_nanos;
    const size_t before = results->size();
    for (;;) {
      ArmWake();
      Flush();
      const bool woken = Drain();
      results->insert(results->end(), finished_.begin(), finished_.end());
      finished_.clear();
      if (io_uring_sq_ready(&ring_) > 0) Flush();  // what Drain continued
      if (woken || results->size() > before || timeout_nanos == 0) return woken;
      int64_t left = -1;
      if (timeout_nanos > 0 && (left = deadline - MonotonicClock().NowNanos()) <= 0) return false;
      if (!armed_ && refused_ == 0) continue;  // never wait where nobody could wake us
      Wait(left);
    }
  }

  void Wake() override {
    const int saved = errno;
    const uint64_t one = 1;
    while (write(event_fd_, &one, sizeof(one)) < 0 && errno == EINTR) {
    }
    errno = saved;
  }

 private:
  struct Op {
    IoRequest request;
    int pieces_left = 0;
    int error = 0;
  };
  struct Piece {
    int op = 0;
    int64_t start = 0;  // what is left of it, within the request
    int64_t bytes = 0;
    int retries = 0;
  };

  IoRequest Rest(const Piece& piece) const {
    const IoRequest& whole = ops_[piece.op].request;
    return {whole.tag, whole.direction, whole.offset + piece.start, whole.memory + piece.start, piece.bytes};
  }

  void Prepare(int index) {
    if (refused_ != 0) return;  // Flush does it without the ring
    const IoRequest rest = Rest(pieces_[index]);
    // Never null: the ring has room for every piece and the armed read.
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    if (rest.direction == Direction::kIn) {
      io_uring_prep_read(sqe, fd_, rest.memory, static_cast<unsigned>(rest.bytes), rest.offset);
    } else {
      io_uring_prep_write(sqe, fd_, rest.memory, static_cast<unsigned>(rest.bytes), rest.offset);
    }
    io_uring_sqe_set_data64(sqe, index);
  }

  // Armed on the thread that reaps: the kernel cancels a thread's requests when it exits.
  void ArmWake() {
    if (armed_ || refused_ != 0) return;
    io_uring_sqe* sqe = io_uring_get_sqe(&ring_);
    io_uring_prep_read(sqe, event_fd_, &event_count_, sizeof(event_count_), 0);
    io_uring_sqe_set_data64(sqe, kWakeData);
    armed_ = true;
    queued_.push_back(kWakeIndex);
  }

  // Hands what is queued to the kernel. What it refuses for good (a seccomp filter that came after the ring, say) is
  // done here and now without the ring, and so is everything after it.
  void Flush() {
    while (refused_ == 0 && !queued_.empty()) {
      const int taken = files_.RingSubmit(&ring_);
      if (taken == -EAGAIN || taken == -EBUSY || taken == -EINTR) return;  // the next Reap tries again
      if (taken < 0) {
        refused_ = -taken;
        break;
      }
      if (taken == 0) return;
      queued_.erase(queued_.begin(), queued_.begin() + std::min<size_t>(taken, queued_.size()));
    }
    if (refused_ == 0) return;
    for (int index : queued_) {
      if (index == kWakeIndex) {
        armed_ = false;
        continue;
      }
      Finish(index, TransferNow(files_, fd_, Rest(pieces_[index]), false));
    }
    queued_.clear();
  }

  // Takes every completion there is. True when one of them was a wake-up.
  bool Drain() {
    bool woken = false;
    io_uring_cqe* cqe = nullptr;
    while (io_uring_peek_cqe(&ring_, &cqe) == 0 && cqe != nullptr) {
      const uint64_t data = io_uring_cqe_get_data64(cqe);
      const int result = cqe->res;
      io_uring_cqe_seen(&ring_, cqe);
      if (data == kWakeData) {
        armed_ = false;
        woken |= result == static_cast<int>(sizeof(event_count_));
        // ECANCELED: the thread that armed it has exited. Anything else would fail again at once.
        if (result < 0 && result != -ECANCELED && result != -EINTR && result != -EAGAIN) refused_ = -result;
      } else {
        Completed(static_cast<int>(data), result);
      }
    }
    if (refused_ != 0 && !armed_) woken |= TakeEvent(0);
    return woken;
  }

  void Completed(int index, int raw_result) {
    Piece& piece = pieces_[index];
    const int result = files_.RingResult(ops_[piece.op].request.direction, raw_result);
    if (result > 0) {
      piece.start += result;
      piece.bytes -= result;
      piece.retries = 0;
      if (piece.bytes <= 0) return Finish(index, 0);
    } else {
      // ECANCELED: the thread that submitted it has exited since.
      const bool again = result == -EINTR || result == -EAGAIN || result == -ECANCELED;
      if (!again || ++piece.retries > kMaxRetries) return Finish(index, result == 0 ? EIO : -result);
    }
    queued_.push_back(index);
    Prepare(index);
  }

  void Finish(int piece, int error) {
    const int index = pieces_[piece].op;
    idle_pieces_.push_back(piece);
    Op& op = ops_[index];
    if (op.error == 0) op.error = error;
    if (--op.pieces_left > 0) return;
    finished_.push_back({op.request.tag, op.request.direction, op.error});
    idle_.push_back(index);
  }

  void Wait(int64_t nanos) {
    constexpr int64_t kPoll = 1'000'000;
    if (refused_ == 0) {
      // What the kernel would not take just now must not wait behind a long sleep.
      const int64_t limit = queued_.empty() ? nanos : nanos < 0 ? kPoll : std::min(nanos, kPoll);
      const int result = files_.RingWait(&ring_, limit);
      if (result < 0 && result != -ETIME && result != -EINTR && result != -EAGAIN && result != -EBUSY) {
        refused_ = -result;
      }
      return;
    }
    pollfd entry{event_fd_, POLLIN, 0};
    const bool in_kernel = armed_ || idle_.size() < ops_.size();  // their completions come without a call
    int64_t limit = nanos;
    if (in_kernel) limit = nanos < 0 ? kPoll : std::min(nanos, kPoll);
    const timespec time{limit / 1'000'000'000, limit % 1'000'000'000};
    ppoll(&entry, 1, limit < 0 ? nullptr : &time, nullptr);
  }

  // Reads the eventfd without the ring.
  bool TakeEvent(int timeout_millis) {
    pollfd entry{event_fd_, POLLIN, 0};
    return poll(&entry, 1, timeout_millis) == 1 &&
           read(event_fd_, &event_count_, sizeof(event_count_)) == sizeof(event_count_);
  }

  static constexpr int kWakeIndex = -1;

  FileSystem& files_;
  const int fd_;
  int event_fd_ = -1;
  io_uring ring_{};
  bool ready_ = false;
  bool armed_ = false;        // the read of the eventfd is in the ring
  uint64_t event_count_ = 0;  // where it reads to
  int refused_ = 0;           // the errno with which the kernel refused the ring for good
  std::vector<Op> ops_;
  std::vector<int> idle_;  // ops not in use
  int64_t piece_bytes_ = 0;
  std::vector<Piece> pieces_;
  std::vector<int> idle_pieces_;
  std::vector<int> queued_;  // pieces prepared, not yet taken by the kernel, in the ring's order
  std::vector<IoResult> finished_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<IoEngine>> MakeUringEngine(FileSystem& files, int fd, int depth, Bytes request_bytes) {
  auto engine = std::make_unique<UringEngine>(files, fd, depth, request_bytes.count());
  if (absl::Status status = engine->Start(); !status.ok()) return status;
  return engine;
}

}  // namespace thermocline::tier

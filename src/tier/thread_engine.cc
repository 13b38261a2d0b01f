// The engine for machines where io_uring is forbidden, and for files that go through the page cache: a few threads
// that pread and pwrite. The memory tier's copies run on the same threads.
#include <errno.h>
#include <signal.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/clock.h"
#include "src/base/reserve.h"
#include "src/tier/io_engine.h"
#include "src/tier/wake_event.h"

namespace thermocline::tier {
namespace {

constexpr int kMaxRetries = 64;  // without progress, before EAGAIN is taken for an answer

class ThreadEngine final : public IoEngine {
 public:
  ThreadEngine(int event_fd, std::function<int(const IoRequest&)> transfer)
      : transfer_(std::move(transfer)), event_(event_fd) {}

  ~ThreadEngine() override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      stopping_ = true;
    }
    work_.notify_all();
    for (std::thread& thread : threads_) thread.join();
  }

  // The number of threads that could be started.
  int Start(int count) {
    // The program's handlers must never run on our threads: they may touch tensors that these threads bring in.
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    try {
      while (static_cast<int>(threads_.size()) < count) threads_.emplace_back([this] { Run(); });
    } catch (const std::system_error&) {
      // Fewer threads are slower, not wrong.
    }
    pthread_sigmask(SIG_SETMASK, &before, nullptr);
    return static_cast<int>(threads_.size());
  }

  std::string Describe() const override { return absl::StrCat(threads_.size(), " threads"); }

  void Submit(absl::Span<const IoRequest> requests) override {
    {
      std::lock_guard<std::mutex> lock(mutex_);
      // A thread that has done its work, and Reap, must find room.
      ReserveFor(done_, unreaped_ + requests.size());
      ReserveFor(queue_, queue_.size() + requests.size());
      queue_.insert(queue_.end(), requests.begin(), requests.end());
      unreaped_ += requests.size();
    }
    requests.size() == 1 ? work_.notify_one() : work_.notify_all();
  }

  bool Reap(std::vector<IoResult>* results, int64_t timeout_nanos) override {
    const int64_t deadline = timeout_nanos <= 0 ? 0 : MonotonicClock().NowNanos() + timeout_nanos;
    for (;;) {
      const bool woken = woken_.exchange(false);
      if (TakeDone(results) || woken || timeout_nanos == 0) return woken;
      int64_t left = -1;
      if (timeout_nanos > 0 && (left = deadline - MonotonicClock().NowNanos()) <= 0) return false;
      event_.Wait(left);
    }
  }

  void Wake() override {
    woken_.store(true);
    event_.Signal();
  }

 private:
  void Run() {
    std::unique_lock<std::mutex> lock(mutex_);
    for (;;) {
      work_.wait(lock, [this] { return stopping_ || !queue_.empty(); });
      if (queue_.empty()) return;  // stopping, and all that was asked for is done
      const IoRequest request = queue_.front();
      queue_.erase(queue_.begin());
      lock.unlock();
      const int error = transfer_(request);
      lock.lock();
      done_.push_back({request.tag, request.direction, error});
      if (done_.size() == 1) event_.Signal();
    }
  }

  bool TakeDone(std::vector<IoResult>* results) {
    std::lock_guard<std::mutex> lock(mutex_);
    if (done_.empty()) return false;
    results->insert(results->end(), done_.begin(), done_.end());
    unreaped_ -= done_.size();
    done_.clear();
    return true;
  }

  const std::function<int(const IoRequest&)> transfer_;
  WakeEvent event_;
  std::atomic<bool> woken_{false};
  std::mutex mutex_;
  std::condition_variable work_;
  std::vector<IoRequest> queue_;
  std::vector<IoResult> done_;
  size_t unreaped_ = 0;  // submitted, and not in the results of a Reap yet
  bool stopping_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace

namespace {

int TransferPiece(FileSystem& files, int fd, const IoRequest& request, bool drop_cache) {
  int64_t done = 0;
  int retries = 0;
  while (done < request.bytes) {
    const int64_t offset = request.offset + done;
    const int64_t left = request.bytes - done;
    const int64_t moved = request.direction == Direction::kIn ? files.Pread(fd, request.memory + done, left, offset)
                                                              : files.Pwrite(fd, request.memory + done, left, offset);
    if (moved > 0) {
      done += moved;
      retries = 0;
    } else if ((moved != -EINTR && moved != -EAGAIN) || ++retries > kMaxRetries) {
      return moved == 0 ? EIO : static_cast<int>(-moved);  // 0: the file ends before the slot does
    }
  }
  if (drop_cache) {
    if (request.direction == Direction::kOut) {
      const int error = files.SyncRange(fd, request.offset, request.bytes);
      if (error < 0 && error != -ENOSYS) return -error;
    }
    files.DropCache(fd, request.offset, request.bytes);  // what stays is counted by Stats
  }
  return 0;
}

}  // namespace

int TransferNow(FileSystem& files, int fd, const IoRequest& request, bool drop_cache) {
  if (!drop_cache) return TransferPiece(files, fd, request, false);
  IoRequest piece = request;
  for (int64_t done = 0; done < request.bytes; done += piece.bytes) {
    piece.offset = request.offset + done;
    piece.memory = request.memory + done;
    piece.bytes = std::min(kCachedPiece, request.bytes - done);
    if (const int error = TransferPiece(files, fd, piece, true)) return error;
  }
  return 0;
}

absl::StatusOr<std::unique_ptr<IoEngine>> MakeWorkEngine(int event_fd, int threads,
                                                         std::function<int(const IoRequest&)> transfer) {
  auto engine = std::make_unique<ThreadEngine>(event_fd, std::move(transfer));
  if (engine->Start(threads) == 0) {
    return absl::UnavailableError("no thread could be started for the slow tier; raise the process limit (ulimit -u)");
  }
  return engine;
}

absl::StatusOr<std::unique_ptr<IoEngine>> MakeThreadEngine(FileSystem& files, int fd, int threads, bool drop_cache) {
  const int event_fd = files.EventFd();
  if (event_fd < 0) return absl::UnavailableError(absl::StrCat("eventfd: ", ErrnoText(event_fd)));
  return MakeWorkEngine(event_fd, threads, [&files, fd, drop_cache](const IoRequest& request) {
    return TransferNow(files, fd, request, drop_cache);
  });
}

}  // namespace thermocline::tier

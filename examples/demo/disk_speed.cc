#include "examples/demo/disk_speed.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <thread>
#include <vector>

namespace thermocline::demo {
namespace {

constexpr size_t kBlock = 1 << 20;
constexpr int kBlocks = 256;
constexpr int kAtATime = 8;

// Bytes per second of `transfer(buffer, block)` over all blocks; 0 when one failed.
template <typename F>
double Rate(F transfer) {
  std::atomic<int> next{0};
  std::atomic<bool> failed{false};
  const auto work = [&] {
    const std::unique_ptr<void, void (*)(void*)> buffer(std::aligned_alloc(4096, kBlock), &std::free);
    std::memset(buffer.get(), 0x5a, kBlock);
    for (int block; (block = next++) < kBlocks;) {
      if (transfer(buffer.get(), block) != static_cast<ssize_t>(kBlock)) failed = true;
    }
  };
  const auto start = std::chrono::steady_clock::now();
  std::vector<std::thread> threads;
  for (int i = 0; i < kAtATime; ++i) threads.emplace_back(work);
  for (std::thread& thread : threads) thread.join();
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return failed ? 0 : kBlocks * kBlock / took.count();
}

}  // namespace

DiskSpeed MeasureDisk(const std::string& folder) {
  const std::string path = folder + "/thermocline-demo-speed-" + std::to_string(getpid());
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_DIRECT | O_CLOEXEC, 0600);
  unlink(path.c_str());
  if (fd < 0) return {};
  DiskSpeed speed;
  // The blocks are laid out before the clock runs, as the slow tier's are after its first step.
  if (posix_fallocate(fd, 0, static_cast<off_t>(kBlocks * kBlock)) == 0) {
    const auto write_block = [fd](void* p, int block) {
      return pwrite(fd, p, kBlock, block * static_cast<off_t>(kBlock));
    };
    Rate(write_block);
    speed.out = Rate(write_block);
    speed.in = Rate([fd](void* p, int block) { return pread(fd, p, kBlock, block * static_cast<off_t>(kBlock)); });
  }
  close(fd);
  return speed;
}

}  // namespace thermocline::demo

// file_tier_bench: what the file tier moves a second, one way or both, at a depth and block size; one JSON object on
// stdout. bench/file_tier.py takes turns with fio.
#include <fcntl.h>
#include <sys/mman.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

#include "src/base/clock.h"
#include "src/tier/file_tier.h"

namespace thermocline::tier {
namespace {

struct Flags {
  std::string directory = "/var/tmp";
  std::string mode = "in";
  int depth = 8;
  int64_t block_bytes = 2 << 20;
  int64_t total_bytes = int64_t{1} << 30;
  double seconds = 2;
};

class Bench {
 public:
  explicit Bench(const Flags& flags) : flags_(flags) {
    FileTierOptions options;
    options.directory = flags.directory;
    options.granule_bytes = Bytes(flags.block_bytes);
    options.queue_depth = flags.depth;
    auto tier = FileTier::Create(options);
    if (!tier.ok()) throw std::runtime_error(std::string(tier.status().message()));
    tier_ = *std::move(tier);
    const size_t memory_bytes = static_cast<size_t>(flags.block_bytes) * flags.depth;
    memory_ = static_cast<char*>(
        mmap(nullptr, memory_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0));
    if (memory_ == MAP_FAILED) throw std::runtime_error("mmap: no memory");
    std::memset(memory_, 0x5a, memory_bytes);
    for (int i = 0; i < flags.depth; ++i) free_.push_back(i);
    for (int64_t done = 0; done < flags.total_bytes; done += flags.block_bytes) {
      slots_.push_back(tier_->AllocateSlot());
      if (slots_.back() == kNoSlot) throw std::runtime_error(flags.directory + ": is full");
    }
  }

  // Every slot once.
  void Fill() {
    for (size_t i = 0; i < slots_.size(); ++i) Start(Direction::kOut);
    Drain();
  }

  double BytesPerSecond() {
    const Clock& clock = MonotonicClock();
    const int64_t start = clock.NowNanos(), end = start + static_cast<int64_t>(flags_.seconds * 1e9);
    int64_t count = 0;
    for (; clock.NowNanos() < end; ++count) {
      const bool in = flags_.mode == "in" || (flags_.mode == "mixed" && count % 2 == 0);
      Start(in ? Direction::kIn : Direction::kOut);
    }
    Drain();
    return static_cast<double>(count * flags_.block_bytes) / (static_cast<double>(clock.NowNanos() - start) * 1e-9);
  }

  std::string Describe() const { return tier_->Describe(); }

 private:
  // One transfer more, the next slot's, as soon as there is room in the queue.
  void Start(Direction direction) {
    while (free_.empty()) Reap();
    const int place = free_.back();
    const Transfer transfer{static_cast<uint64_t>(place), direction, slots_[next_++ % slots_.size()],
                            memory_ + int64_t{place} * flags_.block_bytes};
    while (tier_->Submit({&transfer, 1}) == 0) Reap();
    free_.pop_back();
  }
  void Reap() {
    completions_.clear();
    tier_->Reap(&completions_, -1);
    for (const Completion& completion : completions_) {
      if (completion.error != 0)
        throw std::runtime_error(std::string("a transfer failed: ") + std::strerror(completion.error));
      free_.push_back(static_cast<int>(completion.tag));
    }
  }
  void Drain() {
    while (static_cast<int>(free_.size()) < flags_.depth) Reap();
  }

  const Flags flags_;
  std::unique_ptr<FileTier> tier_;
  char* memory_ = nullptr;
  std::vector<SlotId> slots_;
  std::vector<int> free_;  // places in memory_ with no transfer
  std::vector<Completion> completions_;
  size_t next_ = 0;
};

int Main(int argc, char** argv) {
  CLI::App app("Measures the file tier.", "file_tier_bench");
  Flags flags;
  app.option_defaults()->always_capture_default();
  app.add_option("--dir", flags.directory, "folder of the file");
  app.add_option("--mode", flags.mode, "in, out or mixed")->check(CLI::IsMember({"in", "out", "mixed"}));
  app.add_option("--depth", flags.depth, "transfers in flight")->check(CLI::Range(1, 1024));
  app.add_option("--block", flags.block_bytes, "bytes of a transfer")->check(CLI::Range(4096, 1 << 30));
  app.add_option("--bytes", flags.total_bytes, "bytes of the file")->check(CLI::PositiveNumber);
  app.add_option("--seconds", flags.seconds, "how long")->check(CLI::PositiveNumber);
  try {
    app.parse(argc, argv);
    Bench bench(flags);
    bench.Fill();
    const double speed = bench.BytesPerSecond();
    std::printf("%s\n", nlohmann::json{{"bytes_per_second", speed}, {"tier", bench.Describe()}}.dump().c_str());
  } catch (const CLI::ParseError& e) {
    return app.exit(e) == 0 ? 0 : 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "file_tier_bench: %s\n", e.what());
    return 1;
  }
  return 0;
}

}  // namespace
}  // namespace thermocline::tier

int main(int argc, char** argv) { return thermocline::tier::Main(argc, argv); }

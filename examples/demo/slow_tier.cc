#include "examples/demo/slow_tier.h"

#include <sys/statvfs.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>

#include "src/tier/measure_link.h"
#include "src/tier/tier_spec.h"
#include "src/topology/choose_slow.h"
#include "src/topology/discover.h"

namespace thermocline::demo {
namespace {

constexpr char kDirectory[] = "/var/tmp";
constexpr Bytes kGranule = MiB(2);
constexpr int kScratchGranules = 16;

DiskSpeed MeasureFolder(const std::string& folder) {
  const DiskSpeed speed = MeasureDisk(folder);
  if (speed.in > 0 && speed.out > 0) return speed;
  throw std::runtime_error("the disk of " + folder +
                           " can't be measured: it has no room for 256 MiB, or takes no file "
                           "past the page cache; free some, or name another folder: --slow file:DIR");
}

}  // namespace

std::string ChooseSlow(int64_t wanted, std::string* why) {
  const auto topology = topology::DiscoverTopology({});
  if (!topology.ok()) {
    *why = std::string(topology.status().message());
    return std::string("file:") + kDirectory;
  }
  topology::SlowChoice choice = topology::ChooseSlowTier(*topology, kDirectory, Bytes(wanted));
  *why = std::move(choice.why);
  return std::move(choice.spec);
}

int SlowNode(const std::string& spec) {
  const auto request = tier::ParseTierSpec(spec);
  return request.ok() && request->kind == tier::TierRequest::Kind::kNuma ? request->node : -1;
}

int64_t SlowRoom(const std::string& spec) {
  struct statvfs disk;
  const std::string folder = SlowFolder(spec);
  if (folder.empty() || statvfs(folder.c_str(), &disk) != 0) return -1;
  return static_cast<int64_t>(disk.f_bavail) * static_cast<int64_t>(disk.f_frsize);
}

std::string SlowFolder(const std::string& spec) {
  if (spec.rfind("file:", 0) != 0) return "";
  return spec.substr(5, spec.find(',') - 5);
}

DiskSpeed MeasureSlow(const std::string& spec) {
  const auto request = tier::ParseTierSpec(spec);
  if (!request.ok()) throw std::runtime_error("--slow: " + std::string(request.status().message()));
  const auto tier = tier::MakeBlockTier(*request, kGranule);
  if (!tier.ok()) throw std::runtime_error("--slow: " + std::string(tier.status().message()));
  // A file as the figures of earlier tables were measured.
  if (request->kind == tier::TierRequest::Kind::kFile) return MeasureFolder(request->directory);
  const auto bytes = static_cast<size_t>((kGranule * kScratchGranules).count());
  const std::unique_ptr<char, void (*)(void*)> scratch(static_cast<char*>(std::aligned_alloc(4096, bytes)), &std::free);
  if (scratch == nullptr) throw std::runtime_error("no memory to measure the slow tier with");
  std::memset(scratch.get(), 0x5a, bytes);
  const auto speed = tier::MeasureLink(**tier, absl::MakeSpan(scratch.get(), bytes));
  if (!speed.ok()) throw std::runtime_error("--slow: " + std::string(speed.status().message()));
  return {speed->in.rate(), speed->out.rate()};
}

}  // namespace thermocline::demo

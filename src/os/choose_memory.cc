#include "src/os/choose_memory.h"

#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/os/watched_memory.h"

namespace thermocline::os {
namespace {

namespace feature = userfault_feature;
constexpr char kSetting[] = "THERMOCLINE_KERNEL_FAULTS";
constexpr char kDuty[] = "tc_pin what the kernel or a device holds longer than a call";
constexpr char kMovesAreYoung[] =
    "UFFDIO_MOVE is young, and faults in it, mended in Linux 6.14 and in the summer of 2026, take the machine down";

bool Wanted(absl::string_view wish) { return wish == "on"; }

bool Offers(FaultScope scope, uint64_t features, UserfaultCalls& calls) {
  const absl::StatusOr<uint64_t> has = Userfaultfd::SupportedFeatures(scope, calls);
  return has.ok() && (*has & features) == features;
}

}  // namespace

absl::Status CheckKernelFaultsWish(absl::string_view wish) {
  if (wish == "auto" || wish == "on" || wish == "off") return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("kernel faults are '", wish, "'; give auto, on or off"));
}

absl::StatusOr<std::unique_ptr<Memory>> MakeWatchedMemory(absl::string_view kernel_faults, bool held_frames,
                                                          UserfaultCalls& calls) {
  if (absl::Status status = CheckKernelFaultsWish(kernel_faults); !status.ok()) return status;
  WatchedMemory::Options options;
  options.kernel_faults = Wanted(kernel_faults);
  const FaultScope scope = options.kernel_faults ? FaultScope::kKernelFaults : FaultScope::kUserFaults;
  options.held_frames = held_frames && Offers(scope, feature::kMove | feature::kWriteProtect, calls);
  if (!options.kernel_faults && !options.held_frames) return nullptr;
  absl::StatusOr<std::unique_ptr<WatchedMemory>> made = WatchedMemory::Create(options, RealMemory(), calls);
  if (made.ok()) return std::unique_ptr<Memory>(*std::move(made));
  if (!options.kernel_faults) return nullptr;
  return absl::Status(
      made.status().code(),
      absl::StrCat("kernel faults are not to be had here: ", made.status().message(), ". Take auto or off"));
}

namespace {

ProbeRecord ProbeHeldFrames(FaultScope scope, bool wanted, UserfaultCalls& calls) {
  ProbeRecord record;
  record.what = "frames that the kernel or a device holds are told (UFFDIO_MOVE, Linux 6.8)";
  const auto has = Userfaultfd::SupportedFeatures(scope, calls);
  constexpr uint64_t kNeeded = feature::kMove | feature::kWriteProtect;
  if (!has.ok() || (*has & kNeeded) != kNeeded) {
    record.answer = has.ok() ? "the kernel lacks UFFDIO_MOVE" : std::string(has.status().message());
    record.fallback =
        absl::StrCat("they are not told", wanted ? ", though THERMOCLINE_HELD_FRAMES=on asks for it" : "", ": ", kDuty);
    return record;
  }
  record.answer = wanted ? "granted, and in use: such a frame stays where it is" : "granted";
  if (!wanted) {
    record.not_default = true;
    record.fallback =
        absl::StrCat("they are not told, as THERMOCLINE_HELD_FRAMES is off, the default: ", kMovesAreYoung, ". ", kDuty,
                     ", or set THERMOCLINE_HELD_FRAMES=on where the kernel has those repairs");
  }
  return record;
}

}  // namespace

std::vector<ProbeRecord> ProbeWatchedMemory(absl::string_view wish, bool held_frames, UserfaultCalls& calls) {
  std::vector<ProbeRecord> records(1);
  ProbeRecord& faults = records[0];
  faults.what = "system calls on tensors that are away (userfaultfd for the kernel's faults)";
  const auto has = Userfaultfd::SupportedFeatures(FaultScope::kKernelFaults, calls);
  constexpr uint64_t kNeeded = feature::kEventRemap | feature::kWriteProtect;
  const bool enough = has.ok() && (*has & kNeeded) == kNeeded;
  faults.answer = enough     ? "granted"
                  : has.ok() ? "the kernel lacks remap events or write protection"
                             : std::string(has.status().message());
  if (!enough && Wanted(wish)) {
    faults.fallback = absl::StrCat("none: ", kSetting, "=on insists on it");
  } else if (!enough || !Wanted(wish)) {
    faults.fallback = absl::StrCat("a raw system call on what is away gets EFAULT",
                                   enough ? absl::StrCat("; ", kSetting, "=on lets it wait for the bytes") : "");
  }
  const FaultScope scope = enough && Wanted(wish) ? FaultScope::kKernelFaults : FaultScope::kUserFaults;
  records.push_back(ProbeHeldFrames(scope, held_frames, calls));
  return records;
}

}  // namespace thermocline::os

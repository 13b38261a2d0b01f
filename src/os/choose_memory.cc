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
constexpr char kDuty[] = "the program's duty: tc_pin what the kernel or a device holds longer than a call";

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

std::vector<ProbeRecord> ProbeWatchedMemory(absl::string_view wish, UserfaultCalls& calls) {
  std::vector<ProbeRecord> records(2);
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
  ProbeRecord& held = records[1];
  held.what = "frames that the kernel or a device holds are told (UFFDIO_MOVE, Linux 6.8)";
  const FaultScope scope = enough && Wanted(wish) ? FaultScope::kKernelFaults : FaultScope::kUserFaults;
  const auto moves = Userfaultfd::SupportedFeatures(scope, calls);
  const bool tells = moves.ok() && (*moves & feature::kMove) != 0 && (*moves & feature::kWriteProtect) != 0;
  held.answer = tells        ? "granted: with THERMOCLINE_HELD_FRAMES=on such a frame stays where it is"
                : moves.ok() ? "the kernel lacks UFFDIO_MOVE"
                             : std::string(moves.status().message());
  held.fallback = tells ? absl::StrCat("without that setting ", kDuty) : kDuty;
  return records;
}

}  // namespace thermocline::os

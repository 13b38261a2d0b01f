#include "src/tier/backing.h"

#include <errno.h>
#include <sys/sysmacros.h>

#include <array>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"

namespace thermocline::tier {
namespace {

struct Known {
  uint32_t magic;
  const char* name;
  bool in_memory;
};
constexpr uint32_t kOverlay = 0x794c7630;
constexpr std::array<Known, 11> kKnown = {{{0x01021994, "tmpfs", true},
                                           {0x858458f6, "ramfs", true},
                                           {0x958458f6, "hugetlbfs", true},
                                           {0xef53, "ext2/3/4", false},
                                           {0x58465342, "xfs", false},
                                           {0x9123683e, "btrfs", false},
                                           {0x2fc12fc1, "zfs", false},
                                           {0xf2f52010, "f2fs", false},
                                           {0x6969, "nfs", false},
                                           {0x01021997, "9p", false},
                                           {kOverlay, "overlay", false}}};

const Known* Find(uint32_t magic) {
  for (const Known& known : kKnown) {
    if (known.magic == magic) return &known;
  }
  return nullptr;
}

// The upper directory of the overlay on which `directory` lies, from mountinfo; empty when it is not told. The deepest
// mount point that is a prefix of the path is the one.
std::string OverlayUpper(FileSystem& files, const std::string& directory) {
  std::string upper;
  size_t deepest = 0;
  const std::string text = files.ReadText("/proc/self/mountinfo");
  for (absl::string_view line : absl::StrSplit(text, '\n')) {
    const std::vector<absl::string_view> halves = absl::StrSplit(line, absl::MaxSplits(" - ", 1));
    if (halves.size() != 2 || !absl::StartsWith(halves[1], "overlay ")) continue;
    const std::vector<absl::string_view> fields = absl::StrSplit(halves[0], ' ');
    if (fields.size() < 5) continue;
    const absl::string_view point = fields[4];
    const bool holds = point == "/" || directory == point || absl::StartsWith(directory, absl::StrCat(point, "/"));
    if (!holds || point.size() < deepest) continue;
    deepest = point.size();
    upper.clear();
    for (absl::string_view option : absl::StrSplit(halves[1], absl::ByAnyChar(" ,"))) {
      if (absl::ConsumePrefix(&option, "upperdir=")) upper = std::string(option);
    }
  }
  return upper;
}

// A disk whose sectors are memory: a ram disk, compressed memory, or a loop device over a file in memory.
void LookAtDevice(FileSystem& files, int fd, Backing* backing) {
  struct stat info;
  if (files.Fstat(fd, &info) < 0) return;
  const std::string device = absl::StrFormat("/sys/dev/block/%u:%u/", major(info.st_dev), minor(info.st_dev));
  const std::string uevent = files.ReadText((device + "uevent").c_str());
  for (absl::string_view line : absl::StrSplit(uevent, '\n')) {
    if (!absl::ConsumePrefix(&line, "DEVNAME=")) continue;
    if (absl::StartsWith(line, "zram") || absl::StartsWith(line, "ram") || absl::StartsWith(line, "pmem")) {
      if (!absl::StartsWith(line, "pmem")) backing->in_memory = absl::StrCat("its device ", line, " is memory");
    }
  }
  std::string loop = files.ReadText((device + "loop/backing_file").c_str());
  loop = std::string(absl::StripSuffix(loop, "\n"));
  struct statfs below;
  if (loop.empty() || files.Statfs(loop.c_str(), &below) < 0) return;
  const Known* known = Find(static_cast<uint32_t>(below.f_type));
  if (known != nullptr && known->in_memory) {
    backing->in_memory = absl::StrCat("it is a loop device over ", loop, ", which lies on ", known->name);
  }
}

}  // namespace

int FindBacking(FileSystem& files, int fd, const std::string& directory, Backing* backing) {
  struct statfs info;
  if (const int result = files.Fstatfs(fd, &info); result < 0) return result;
  const uint32_t magic = static_cast<uint32_t>(info.f_type);
  const Known* known = Find(magic);
  backing->kind = known != nullptr ? known->name : absl::StrFormat("filesystem 0x%x", magic);
  if (known != nullptr && known->in_memory) {
    backing->in_memory = absl::StrCat(known->name, " keeps its files in memory");
    return 0;
  }
  if (magic == kOverlay) {
    const std::string upper = OverlayUpper(files, directory);
    struct statfs below;
    if (upper.empty() || files.Statfs(upper.c_str(), &below) < 0) {
      backing->unknown = "what lies under the overlay can't be seen from here";
      return 0;
    }
    known = Find(static_cast<uint32_t>(below.f_type));
    if (known != nullptr && known->in_memory) {
      backing->in_memory = absl::StrCat("the overlay's upper directory ", upper, " lies on ", known->name);
    }
    return 0;
  }
  LookAtDevice(files, fd, backing);
  return 0;
}

}  // namespace thermocline::tier

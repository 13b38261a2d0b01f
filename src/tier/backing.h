// Says whether a file's bytes lie in memory, whatever the path looks like: tmpfs accepts O_DIRECT and gains nothing.
//
// Thread safety: a pure function of what the FileSystem answers. Errors: what can't be told is said in `unknown`.
#ifndef THERMOCLINE_TIER_BACKING_H_
#define THERMOCLINE_TIER_BACKING_H_

#include <string>

#include "src/tier/file_system.h"

namespace thermocline::tier {

struct Backing {
  std::string kind;       // "ext2/3/4", "tmpfs", "filesystem 0x1234"
  std::string in_memory;  // why its bytes are in memory ("tmpfs keeps files in memory"); empty: they are not
  std::string unknown;    // what could not be looked at; empty: nothing
};

// `fd`: an open file in `directory`. A failure of fstatfs itself is returned as minus the errno.
int FindBacking(FileSystem& files, int fd, const std::string& directory, Backing* backing);

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_BACKING_H_

// WriteFileAtomically: a file is replaced as a whole or not at all.
//
// Thread safety: may be called from any thread; of two writers of one path, the later one wins, whole.
// Errors: the status of the errno, naming the path, the call and what to do. The old file is then as it was, and
// nothing is left beside it.
#ifndef THERMOCLINE_BASE_ATOMIC_FILE_H_
#define THERMOCLINE_BASE_ATOMIC_FILE_H_

#include <string>

#include "absl/status/status.h"
#include "absl/strings/string_view.h"

namespace thermocline {

// Writes `contents` to a file without a name in the directory of `path`, to the disk, and gives it that name. A new
// file gets mode 0666 less the umask; one that is replaced keeps its mode. A symbolic link is followed: what it points
// to is replaced. Something that is no regular file (/dev/stdout, a pipe) is written to as it is. A process that is
// killed leaves the old file or the new one, whole. Beside it `path`.tmp.PID.N may be left, which nobody reads and
// anybody may delete: the whole new file, if killed between two system calls of a replacement, or a part of it where
// the file system has no unnamed files (O_TMPFILE).
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_ATOMIC_FILE_H_

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

// Writes `contents` to a temporary file beside `path`, to the disk, and renames it. A new file gets mode 0666 less the
// umask; one that is replaced keeps its mode. A symbolic link is followed: what it points to is replaced. Something
// that is no regular file (/dev/stdout, a pipe) is written to as it is.
absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents);

}  // namespace thermocline

#endif  // THERMOCLINE_BASE_ATOMIC_FILE_H_

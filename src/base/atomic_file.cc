#include "src/base/atomic_file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <memory>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"

namespace thermocline {
namespace {

absl::Status Failed(const std::string& path, absl::string_view call, absl::string_view advice) {
  return absl::ErrnoToStatus(errno, absl::StrCat("cannot write ", path, ": ", call, " failed; ", advice));
}

absl::Status WriteAll(int fd, const std::string& path, absl::string_view contents) {
  while (!contents.empty()) {
    const ssize_t count = write(fd, contents.data(), contents.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return Failed(path, "write", "is the disk full?");
    contents.remove_prefix(static_cast<size_t>(count));
  }
  return absl::OkStatus();
}

// The umask can only be read by setting it, which other threads would notice; a file made by open has it applied.
absl::Status WriteTemporary(int fd, const std::string& path, absl::string_view contents, const struct stat* replaced) {
  if (replaced != nullptr && fchmod(fd, replaced->st_mode & 07777) != 0) {
    return Failed(path, "fchmod", "check who owns the file");
  }
  if (absl::Status status = WriteAll(fd, path, contents); !status.ok()) return status;
  if (fsync(fd) != 0) return Failed(path, "fsync", "check the disk");
  return absl::OkStatus();
}

std::string TemporaryName(const std::string& target, int attempt) {
  return absl::StrCat(target, ".tmp.", getpid(), ".", attempt);
}

int OpenTemporary(const std::string& target, std::string* name) {
  for (int attempt = 0;; ++attempt) {
    *name = TemporaryName(target, attempt);
    const int fd = open(name->c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd >= 0 || errno != EEXIST || attempt > 1000) return fd;
  }
}

// A file without a name, in the directory of `target`: a process that is killed while it writes leaves nothing behind.
int OpenUnnamed(const std::string& target) {
  const size_t slash = target.rfind('/');
  const std::string directory = slash == std::string::npos ? "." : target.substr(0, slash + 1);
  return open(directory.c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0666);
}

// Gives it the name; false, and nothing is changed, where the system can't. What is there already can only be replaced
// by a file that has a name: for the moment between two system calls it has another one.
bool Name(int fd, const std::string& target) {
  const std::string self = absl::StrCat("/proc/self/fd/", fd);
  const auto link_as = [&self](const std::string& name) {
    return linkat(AT_FDCWD, self.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
  };
  if (link_as(target)) return true;
  for (int attempt = 0; errno == EEXIST && attempt <= 1000; ++attempt) {
    const std::string temporary = TemporaryName(target, attempt);
    if (!link_as(temporary)) continue;
    if (rename(temporary.c_str(), target.c_str()) == 0) return true;
    unlink(temporary.c_str());
    return false;
  }
  return false;
}

// True when it was done this way; otherwise a file with a name must do.
bool WriteUnnamed(const std::string& target, const std::string& path, absl::string_view contents,
                  const struct stat* replaced) {
  const int fd = OpenUnnamed(target);
  if (fd < 0) return false;
  const absl::Cleanup close_it = [fd] { close(fd); };
  return WriteTemporary(fd, path, contents, replaced).ok() && Name(fd, target);
}

absl::Status WriteInPlace(const std::string& path, absl::string_view contents) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return Failed(path, "open", "give the name of a file that you may write");
  const absl::Cleanup close_it = [fd] { close(fd); };
  return WriteAll(fd, path, contents);
}

}  // namespace

absl::Status WriteFileAtomically(const std::string& path, absl::string_view contents) {
  struct stat info = {};
  const bool exists = stat(path.c_str(), &info) == 0;
  if (exists && !S_ISREG(info.st_mode)) return WriteInPlace(path, contents);
  std::string target = path;
  if (exists) {
    const std::unique_ptr<char, void (*)(void*)> real(realpath(path.c_str(), nullptr), free);
    if (real != nullptr) target = real.get();
  }
  if (WriteUnnamed(target, path, contents, exists ? &info : nullptr)) return absl::OkStatus();
  std::string temporary;
  const int fd = OpenTemporary(target, &temporary);
  if (fd < 0) return Failed(path, "open", "check that its directory exists and that you may write there");
  absl::Cleanup remove_it = [&temporary] { unlink(temporary.c_str()); };
  absl::Status status = WriteTemporary(fd, path, contents, exists ? &info : nullptr);
  if (close(fd) != 0 && status.ok()) status = Failed(path, "close", "check the disk");
  if (!status.ok()) return status;
  if (rename(temporary.c_str(), target.c_str()) != 0)
    return Failed(path, "rename", "check the directory's permissions");
  std::move(remove_it).Cancel();
  return absl::OkStatus();
}

}  // namespace thermocline

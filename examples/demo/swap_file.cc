#include "examples/demo/swap_file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <vector>

#include "examples/demo/interrupt.h"

namespace thermocline::demo {
namespace {

constexpr int kPriority = 32767;

// Every block of it, since a swap file may have no holes.
int Fill(int fd, int64_t bytes) {
  if (posix_fallocate(fd, 0, bytes) == 0) return 0;
  const std::vector<char> zeros(4 << 20);
  for (int64_t done = 0; done < bytes;) {
    ThrowIfInterrupted();
    const ssize_t count = write(fd, zeros.data(), std::min<int64_t>(zeros.size(), bytes - done));
    if (count < 0) return errno;
    done += count;
  }
  return fsync(fd) == 0 ? 0 : errno;
}

// Runs mkswap, quietly; true when it succeeded.
bool RunMkswap(const std::string& path) {
  for (const char* program : {"/sbin/mkswap", "/usr/sbin/mkswap"}) {
    char* const argv[] = {const_cast<char*>(program), const_cast<char*>("-q"), const_cast<char*>(path.c_str()),
                          nullptr};
    pid_t pid = -1;
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0);
    const int error = posix_spawn(&pid, program, &actions, nullptr, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    int status = 0;
    if (error == 0 && waitpid(pid, &status, 0) == pid) return status == 0;
  }
  return false;
}

}  // namespace

std::unique_ptr<SwapFile> SwapFile::Create(const std::string& folder, int64_t bytes, UndoJournal* journal,
                                           std::string* why_not) {
  const std::string path = folder + "/thermocline-demo-swap-" + std::to_string(getpid());
  journal->Add(UndoJournal::Kind::kSwapFile, path);
  std::unique_ptr<SwapFile> file(new SwapFile(path, journal));
  const int fd = open(path.c_str(), O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
  const int error = fd < 0 ? errno : Fill(fd, bytes);
  if (fd >= 0) close(fd);
  if (error != 0) {
    *why_not = path + " could not be made: " + std::strerror(error);
    return nullptr;
  }
  if (!RunMkswap(path)) {
    *why_not = "mkswap is missing or failed on " + path;
    return nullptr;
  }
  // Preferred to any swap that is there already, so that it is this disk that the row measures.
  if (swapon(path.c_str(), SWAP_FLAG_PREFER | (kPriority << SWAP_FLAG_PRIO_SHIFT)) != 0) {
    *why_not = "swapon " + path + ": " + std::strerror(errno);
    return nullptr;
  }
  return file;
}

SwapTraffic ReadSwapTraffic() {
  std::ifstream file("/proc/vmstat");
  SwapTraffic traffic;
  std::string name;
  for (int64_t pages; file >> name >> pages;) {
    if (name == "pswpin") traffic.in = pages * sysconf(_SC_PAGESIZE);
    if (name == "pswpout") traffic.out = pages * sysconf(_SC_PAGESIZE);
  }
  return traffic;
}

}  // namespace thermocline::demo

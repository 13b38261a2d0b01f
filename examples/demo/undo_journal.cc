#include "examples/demo/undo_journal.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/swap.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <stdexcept>

namespace thermocline::demo {
namespace {

constexpr char kSwapWord[] = "swap";
constexpr char kCgroupWord[] = "cgroup";

bool Say(const std::string& what, const char* call, const char* by_hand) {
  std::fprintf(stderr, "demo_table: %s is left behind: %s: %s. Remove it by hand: %s %s\n", what.c_str(), call,
               std::strerror(errno), by_hand, what.c_str());
  return false;
}

bool RemoveSwapFile(const std::string& path) {
  // EINVAL: it never became a swap area; ENOENT: nor a file; EPERM: nor could it.
  int result = 0;
  do {
    result = swapoff(path.c_str());
  } while (result != 0 && errno == EINTR);  // a second Ctrl-C
  if (result != 0 && errno != EINVAL && errno != ENOENT && errno != EPERM) return Say(path, "swapoff", "swapoff");
  if (unlink(path.c_str()) != 0 && errno != ENOENT) return Say(path, "unlink", "rm");
  return true;
}

bool RemoveCgroup(const std::string& path) {
  // The last process of a group takes a moment to leave it.
  for (int tries = 0; tries < 100; ++tries) {
    if (rmdir(path.c_str()) == 0 || errno == ENOENT) return true;
    if (errno != EBUSY) break;
    std::ifstream members(path + "/cgroup.procs");
    for (pid_t pid; members >> pid;) kill(pid, SIGKILL);
    usleep(20000);
  }
  return Say(path, "rmdir", "rmdir");
}

bool UndoOne(UndoJournal::Kind kind, const std::string& what) {
  return kind == UndoJournal::Kind::kSwapFile ? RemoveSwapFile(what) : RemoveCgroup(what);
}

}  // namespace

UndoJournal::UndoJournal(std::string path) : path_(std::move(path)) {
  std::ifstream file(path_);
  std::string word, what;
  while (file >> word && std::getline(file >> std::ws, what)) {
    entries_.emplace_back(word == kSwapWord ? Kind::kSwapFile : Kind::kCgroup, what);
  }
  file.close();
  UndoAll();
}

UndoJournal::~UndoJournal() { UndoAll(); }

void UndoJournal::Add(Kind kind, const std::string& what) {
  entries_.emplace_back(kind, what);
  Write();
}

bool UndoJournal::Undo(const std::string& what) {
  const auto it = std::find_if(entries_.rbegin(), entries_.rend(), [&](const auto& e) { return e.second == what; });
  if (it == entries_.rend()) return true;
  if (!UndoOne(it->first, it->second)) return false;
  entries_.erase(std::next(it).base());
  Write();
  return true;
}

bool UndoJournal::UndoAll() {
  const size_t before = entries_.size();
  for (size_t i = entries_.size(); i-- > 0;) {
    if (UndoOne(entries_[i].first, entries_[i].second)) entries_.erase(entries_.begin() + i);
  }
  if (before > 0) Write();
  return entries_.empty();
}

void UndoJournal::Write() const {
  if (entries_.empty()) {
    unlink(path_.c_str());
    return;
  }
  std::FILE* file = std::fopen(path_.c_str(), "we");
  bool ok = file != nullptr;
  for (const auto& [kind, what] : entries_) {
    ok = ok && std::fprintf(file, "%s %s\n", kind == Kind::kSwapFile ? kSwapWord : kCgroupWord, what.c_str()) > 0;
  }
  ok = ok && std::fflush(file) == 0 && fsync(fileno(file)) == 0;
  if (file != nullptr) ok = std::fclose(file) == 0 && ok;
  if (!ok) throw std::runtime_error(path_ + ": can't be written: " + std::strerror(errno));
}

}  // namespace thermocline::demo

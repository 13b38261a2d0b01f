#include "examples/demo/memory_cgroup.h"

#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>

namespace thermocline::demo {
namespace {

struct Hierarchy {
  std::string mount;
  bool v1 = false;
};

// Where the memory controller is mounted; an empty mount when it is nowhere.
Hierarchy FindHierarchy(const std::string& root) {
  Hierarchy found;
  std::ifstream mounts(root + "/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    std::istringstream words(line);
    std::string device, mount, type, options;
    words >> device >> mount >> type >> options;
    if (type == "cgroup" && ("," + options + ",").find(",memory,") != std::string::npos) return {root + mount, true};
    if (type == "cgroup2") found = {root + mount, false};
  }
  return found;
}

// This process's own group in version 1's memory hierarchy: a new one belongs below it, so that limits above still
// hold.
std::string OwnGroup(const std::string& root) {
  std::ifstream file(root + "/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t at = line.find(":memory:");
    if (at != std::string::npos) return line.substr(at + std::strlen(":memory:"));
  }
  return "";
}

bool Exists(const std::string& path) { return access(path.c_str(), F_OK) == 0; }

}  // namespace

std::unique_ptr<MemoryCgroup> MemoryCgroup::Create(const std::string& name, UndoJournal* journal, std::string* why_not,
                                                   const CgroupTree& tree) {
  const Hierarchy hierarchy = FindHierarchy(tree.root);
  if (hierarchy.mount.empty()) {
    *why_not = "no cgroup file system with a memory controller is mounted";
    return nullptr;
  }
  std::string parent = hierarchy.mount;
  if (const std::string own = OwnGroup(tree.root); hierarchy.v1 && Exists(parent + own)) parent += own;
  while (parent.size() > 1 && parent.back() == '/') parent.pop_back();
  const std::string path = parent + "/thermocline-demo-" + std::to_string(getpid()) + "-" + name;
  if (access(parent.c_str(), W_OK) != 0) {
    *why_not = "cgroups below " + parent + " may not be made by this user: " + std::strerror(errno);
    return nullptr;
  }
  journal->Add(UndoJournal::Kind::kCgroup, path);
  std::unique_ptr<MemoryCgroup> group(new MemoryCgroup(path, hierarchy.v1, journal));
  if (tree.make_folder(path.c_str(), 0755) != 0) {
    *why_not = "mkdir " + path + ": " + std::strerror(errno);
    return nullptr;
  }
  if (!Exists(path + (hierarchy.v1 ? "/memory.limit_in_bytes" : "/memory.max"))) {
    *why_not = "the memory controller is not enabled for groups below " + parent;
    return nullptr;
  }
  return group;
}

std::string MemoryCgroup::Describe() const {
  return v1_ ? "cgroup v1 memory.max_usage_in_bytes" : "cgroup v2 memory.peak";
}

void MemoryCgroup::Write(const char* name, const std::string& text) const {
  const std::string path = path_ + "/" + name;
  std::ofstream file(path);
  file << text << std::flush;
  if (!file) throw std::runtime_error(path + ": the kernel refused " + text);
}

void MemoryCgroup::SetLimit(int64_t bytes) {
  Write(v1_ ? "memory.limit_in_bytes" : "memory.max", std::to_string(bytes));
  limit_ = bytes;
}

void MemoryCgroup::WaitAtLimit() {
  if (v1_) {
    Write("memory.oom_control", "1");
    return;
  }
  // Version 2 lets processes wait at the soft limit only; the hard one stands a little above.
  constexpr int64_t kRoom = 64 << 20;
  Write("memory.max", std::to_string(limit_ + kRoom));
  Write("memory.high", std::to_string(limit_));
}

void MemoryCgroup::Unstick() {
  if (!v1_) return;
  std::ifstream file(path_ + "/memory.oom_control");
  std::string word;
  int value = 0;
  bool waits = false;
  while (file >> word >> value) waits = waits || (word == "under_oom" && value != 0);
  if (!waits) return;
  // Setting a limit below what is in use makes the kernel look for pages; what it frees wakes the waiting threads.
  try {
    Write("memory.limit_in_bytes", std::to_string(limit_ - limit_ / 32));
  } catch (const std::exception&) {  // it found too few; some are enough
  }
  Write("memory.limit_in_bytes", std::to_string(limit_));
}

void MemoryCgroup::ForbidSwap() { v1_ ? Write("memory.swappiness", "0") : Write("memory.swap.max", "0"); }

int64_t MemoryCgroup::PeakBytes() const {
  std::ifstream file(path_ + (v1_ ? "/memory.max_usage_in_bytes" : "/memory.peak"));
  int64_t bytes = -1;
  return file >> bytes ? bytes : -1;
}

}  // namespace thermocline::demo

// A machine with a second memory node, and refusals, played on a machine with one.
//
// Thread safety: none; a test's own.
#ifndef THERMOCLINE_TESTS_TIER_PLAYED_NUMA_H_
#define THERMOCLINE_TESTS_TIER_PLAYED_NUMA_H_

#include <cstdint>
#include <map>
#include <set>
#include <string>

#include "src/tier/numa_system.h"

namespace thermocline::tier {

// The real calls, of which some fail; and a machine with a node 1 whose free pages are counted.
class PlayedNuma : public NumaSystem {
 public:
  std::map<std::string, int> refused;  // call -> minus errno
  std::set<std::string> made;
  bool two_nodes = false;
  int64_t node1_free_pages = 1 << 20;
  std::set<const void*> on_node1;
  std::map<std::string, std::string> files;  // path -> text, instead of the real one
  MemoryPolicy policy = MemoryPolicy::kDefault;
  uint64_t policy_nodes = 0;

  char* Map(int64_t bytes, int* error) override {
    if ((*error = -Refusal("mmap")) != 0) return nullptr;
    return real_.Map(bytes, error);
  }
  int Unmap(char* at, int64_t bytes) override { return real_.Unmap(at, bytes); }
  int AdviseHugePages(char* at, int64_t bytes, bool wanted) override {
    const int refusal = Refusal("madvise huge pages");
    return refusal != 0 ? refusal : real_.AdviseHugePages(at, bytes, wanted);
  }
  int Populate(char* at, int64_t bytes) override {
    const int refusal = Refusal("populate");
    return refusal != 0 ? refusal : real_.Populate(at, bytes);
  }
  int Discard(char* at, int64_t bytes) override {
    for (int64_t page = 0; page < bytes; page += 4096) node1_free_pages += on_node1.erase(at + page);
    return real_.Discard(at, bytes);
  }
  int Bind(char* at, int64_t bytes, MemoryPolicy wanted, int node, bool check) override {
    const int refusal = Refusal(check ? "mbind to check" : "mbind");
    if (refusal != 0 || two_nodes) return refusal;
    return real_.Bind(at, bytes, wanted, node, check);
  }
  int MovePages(absl::Span<void* const> pages, int node, absl::Span<int> status) override {
    const int refusal = Refusal(node < 0 ? "move_pages to ask" : "move_pages");
    if (refusal != 0) return refusal;
    if (!two_nodes) return real_.MovePages(pages, node, status);
    for (size_t i = 0; i < pages.size(); ++i) {
      if (node == 1 && on_node1.count(pages[i]) == 0 && node1_free_pages > 0) {
        --node1_free_pages;
        on_node1.insert(pages[i]);
      }
      status[i] = node < 0 || on_node1.count(pages[i]) > 0 ? static_cast<int>(on_node1.count(pages[i])) : -ENOMEM;
    }
    return 0;
  }
  int NodeOf(void* at) override {
    const int refusal = Refusal("get_mempolicy");
    if (refusal != 0) return refusal;
    return two_nodes ? static_cast<int>(on_node1.count(at)) : real_.NodeOf(at);
  }
  int Policy(MemoryPolicy* given, uint64_t* nodes) override {
    *given = policy;
    *nodes = policy_nodes;
    return Refusal("get_mempolicy of the process");
  }
  int CopyFrom(void* to, const void* from, int64_t bytes) override {
    const int refusal = Refusal("copy");
    return refusal != 0 ? refusal : real_.CopyFrom(to, from, bytes);
  }
  std::string ReadText(const char* path) override {
    if (Refusal("sysfs") != 0) return "";
    const auto file = files.find(path);
    if (file != files.end()) return file->second;
    if (two_nodes && std::string(path).find("node1/meminfo") != std::string::npos) {
      return "Node 1 MemTotal:        4194304 kB\nNode 1 MemFree:         1048576 kB\n";
    }
    return real_.ReadText(path);
  }
  int EventFd() override {
    const int refusal = Refusal("eventfd");
    return refusal != 0 ? refusal : real_.EventFd();
  }

 private:
  int Refusal(const std::string& call) {
    made.insert(call);
    const auto at = refused.find(call);
    return at == refused.end() ? 0 : at->second;
  }
  NumaSystem& real_ = RealNumaSystem();
};

// A machine whose node 0 has the CPUs and whose node 1 has none.
inline void PlayTwoNodes(PlayedNuma* system) {
  system->two_nodes = true;
  system->files = {{"/sys/devices/system/node/has_memory", "0-1\n"},
                   {"/sys/devices/system/node/node0/cpulist", "0-3\n"},
                   {"/sys/devices/system/node/node1/cpulist", "\n"},
                   {"/proc/self/status", "Cpus_allowed_list:\t0-3\nMems_allowed_list:\t0-1\n"}};
}

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TESTS_TIER_PLAYED_NUMA_H_

// `thermocline run`, `tiers` and `doctor` on a machine with two memory nodes: an unmodified program keeps its budget on
// node 0 and the rest on node 1, as the kernel tells (/proc/PID/numa_maps). It runs in the machine that scripts/test-vm
// boots, with the programs beside it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "src/topology/numa_maps.h"

namespace thermocline {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

constexpr int64_t kMiB = 1 << 20;
constexpr int64_t kNeeded = 48 * kMiB;  // what rhythm.c needs
constexpr int kPatienceMillis = 40'000;
constexpr int kBind = 2;  // MPOL_BIND

std::string Beside(const std::string& name) {
  return std::filesystem::read_symlink("/proc/self/exe").parent_path() / name;
}

// Bytes of a process on each node, as the kernel tells; and of those, the ones in mappings bound to one node.
struct Placement {
  topology::BytesOnNodes on, bound;
};

Placement PlacementOf(pid_t pid, int node) {
  std::ostringstream text;
  text << std::ifstream("/proc/" + std::to_string(pid) + "/numa_maps").rdbuf();
  return {topology::ReadNumaMaps(text.str()), topology::ReadNumaMaps(text.str(), "bind:" + std::to_string(node))};
}

struct Ran {
  int status = -1;
  std::string out, err;
  Placement placement;  // while it waited
};

// Runs a program that waits once after saying "pid N", and looks at it meanwhile. With `memory_node` the program's
// memory policy binds it there, as numactl --membind does.
Ran Watch(const std::vector<std::string>& words, int slow_node = 1, int memory_node = -1) {
  const std::string err_path = "/var/tmp/run_two_nodes.err";
  int in[2], out[2];
  EXPECT_EQ(pipe(in) + pipe(out), 0);
  const pid_t child = fork();
  if (child == 0) {
    setpgid(0, 0);
    dup2(in[0], 0);
    dup2(out[1], 1);
    if (std::freopen(err_path.c_str(), "w", stderr) == nullptr) _exit(126);
    for (int fd : {in[0], in[1], out[0], out[1]}) close(fd);
    const unsigned long mask = memory_node < 0 ? 0 : 1UL << memory_node;
    if (memory_node >= 0 && syscall(SYS_set_mempolicy, kBind, &mask, 65) != 0) _exit(125);
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execv(arguments[0], arguments.data());
    _exit(127);
  }
  close(in[0]);
  close(out[1]);
  Ran ran;
  char chunk[4096];
  int pid = 0;
  for (;;) {
    pollfd poller{out[0], POLLIN, 0};
    const bool there = poll(&poller, 1, kPatienceMillis) == 1;
    const ssize_t got = there ? read(out[0], chunk, sizeof(chunk)) : 0;
    if (!there) {
      ADD_FAILURE() << "it said nothing for " << kPatienceMillis << " ms, and was killed; it had said: " << ran.out;
      kill(-child, SIGKILL);
    }
    if (got <= 0) break;
    ran.out.append(chunk, static_cast<size_t>(got));
    if (pid != 0 || std::sscanf(ran.out.c_str(), "pid %d\n", &pid) != 1) continue;
    ran.placement = PlacementOf(pid, slow_node);
    EXPECT_EQ(write(in[1], "\n", 1), 1);
  }
  close(in[1]);
  close(out[0]);
  int status = 0;
  waitpid(child, &status, 0);
  ran.status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  std::ostringstream text;
  text << std::ifstream(err_path).rdbuf();
  ran.err = text.str();
  return ran;
}

Ran Placed(std::vector<std::string> flags, int steps, int slow_node = 1, int memory_node = -1) {
  std::vector<std::string> words = {Beside("thermocline"), "run"};
  words.insert(words.end(), flags.begin(), flags.end());
  for (const std::string& word : {std::string("--"), Beside("rhythm"), std::to_string(steps)}) words.push_back(word);
  return Watch(words, slow_node, memory_node);
}

std::string Sum(const Ran& ran) {
  const size_t at = ran.out.find("sum ");
  return at == std::string::npos ? "no sum; it said: " + ran.out + ran.err : ran.out.substr(at);
}

class RunOnTwoNodes : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists("/sys/devices/system/node/node1"))
        << "this machine has no memory node 1: run scripts/test-vm";
    // What a run would measure at its start takes an emulated machine some seconds, and says nothing of a real one.
    setenv("THERMOCLINE_LINK", "in=1GB/s,out=1GB/s", 1);
  }
  // The budget lies on `fast`, with what the process needs besides its blocks; the rest on `slow` and nowhere else.
  static void ExpectWithin(const Ran& ran, int64_t budget, int fast, int slow) {
    Placement seen = ran.placement;
    ASSERT_EQ(seen.bound.size(), 1) << "slots lie on another node than " << slow << ", or nowhere; " << ran.err;
    EXPECT_GE(seen.bound[topology::NodeId(slow)], Bytes(kNeeded - budget)) << ran.err;
    EXPECT_LE(seen.on[topology::NodeId(fast)], Bytes(budget + 24 * kMiB));
    EXPECT_GE(seen.on[topology::NodeId(fast)], Bytes(budget / 2)) << "fast memory lies elsewhere";
  }
};

TEST_F(RunOnTwoNodes, AnUnmodifiedProgramKeepsItsBudgetOnNodeZeroAndTheRestOnNodeOne) {
  const Ran plain = Watch({Beside("rhythm"), "8"});
  ASSERT_EQ(plain.status, 0) << plain.err;
  EXPECT_GE(plain.placement.on.at(topology::NodeId(0)), Bytes(kNeeded));
  const Ran ran = Placed({"--fast", "16MiB", "--slow", "numa:1"}, 8);
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(Sum(ran), Sum(plain));
  EXPECT_THAT(ran.err, AllOf(HasSubstr("of 16.0 MiB fast memory"), HasSubstr("rhythm found")));
  ExpectWithin(ran, 16 * kMiB, 0, 1);
}

TEST_F(RunOnTwoNodes, AShareOfThePeakIsLearntByTheFirstRunAndKeptByTheSecond) {
  const Ran first = Placed({"--fast", "20%", "--slow", "numa:1"}, 3);
  EXPECT_EQ(first.status, 0) << first.err;
  EXPECT_THAT(first.err, HasSubstr("this run learns it"));
  const Ran second = Placed({"--fast", "20%", "--slow", "numa:1"}, 3);
  EXPECT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(Sum(second), Sum(first));
  ExpectWithin(second, kNeeded / 5, 0, 1);
}

TEST_F(RunOnTwoNodes, AProcessBoundToNodeOneTakesNodeZeroForItsSlowTier) {
  const Ran ran = Placed({"--fast", "16MiB", "--slow", "numa:0"}, 2, 0, 1);
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(Sum(ran), StartsWith("sum "));
  ExpectWithin(ran, 16 * kMiB, 1, 0);
}

TEST_F(RunOnTwoNodes, TheNodeThatFastMemoryIsTakenFromIsRefusedAsTheSlowTier) {
  const Ran near = Placed({"--fast", "16MiB", "--slow", "numa:0"}, 1);
  EXPECT_EQ(near.status, 1);
  EXPECT_THAT(near.err, AllOf(HasSubstr("fast memory is taken from node 0 too"), HasSubstr("--membind")));
  EXPECT_EQ(near.out, "");
  const Ran bound = Placed({"--fast", "16MiB", "--slow", "numa:1"}, 1, 1, 1);
  EXPECT_EQ(bound.status, 1);
  EXPECT_THAT(bound.err, HasSubstr("fast memory is taken from node 1 too"));
}

TEST_F(RunOnTwoNodes, TiersListsNodeOneAsAByteAddressableSlowTier) {
  const Ran ran = Watch({Beside("thermocline"), "tiers", "--slow", "numa:1", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const auto json = nlohmann::json::parse(ran.out);
  ASSERT_EQ(json["nodes"].size(), 2);
  EXPECT_EQ(json["nodes"][1]["slow"], true);
  EXPECT_EQ(json["nodes"][1]["byte_addressable"], true);
  EXPECT_EQ(json["slow"]["usable"], true) << json;
  EXPECT_EQ(json["slow"]["byte_addressable"], true);
  // What is measured in a machine that is emulated says nothing of which node is the faster.
  const Ran measured = Watch({Beside("thermocline"), "tiers", "--slow", "numa:1", "--measure", "--json"});
  EXPECT_GT(nlohmann::json::parse(measured.out)["slow"]["in_bytes_per_second"], 1e6) << measured.err;
}

TEST_F(RunOnTwoNodes, DoctorListsWhatTheNodeTierAskedTheKernel) {
  const Ran ran = Watch({Beside("thermocline"), "doctor", "--slow", "numa:1"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("yes  placing memory on node 1 (mbind)"),
                             HasSubstr("yes  asking where pages lie (move_pages)"),
                             HasSubstr("yes  keeping memory on node 1"), HasSubstr("numa:1 can be used, as numa:1")));
}

}  // namespace
}  // namespace thermocline

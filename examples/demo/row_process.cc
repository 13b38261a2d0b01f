#include "examples/demo/row_process.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <string_view>

#include "examples/demo/interrupt.h"
#include "src/topology/numa_maps.h"

namespace thermocline::demo {
namespace {

constexpr int kSampleMillis = 50;

// The environment without what would tell the program of another allocator or budget than its row's.
std::vector<std::string> RowEnvironment(const std::string& preload) {
  std::vector<std::string> kept;
  for (char** entry = environ; *entry != nullptr; ++entry) {
    const std::string text = *entry;
    const auto begins = [&](const char* prefix) { return text.rfind(prefix, 0) == 0; };
    if (begins("LD_PRELOAD=") || begins("MALLOC_") || begins("GLIBC_TUNABLES=") || begins("THERMOCLINE_") ||
        begins("THERMOCLINE=") || begins("MIMALLOC_") || begins("TCMALLOC_") || begins("OMP_") || begins("MKL_")) {
      continue;
    }
    kept.push_back(text);
  }
  if (!preload.empty()) kept.push_back("LD_PRELOAD=" + preload);
  return kept;
}

std::vector<char*> Pointers(std::vector<std::string>* texts) {
  std::vector<char*> pointers;
  for (std::string& text : *texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

// In the child, between fork and exec: system calls only.
[[noreturn]] void Become(char* const* arguments, char* const* environment, int input, int output, int log,
                         int members) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);  // no row outlives the table
  setpgid(0, 0);                     // Ctrl-C is for the table, which then ends its rows
  if (members >= 0 && write(members, "0", 1) != 1) _exit(126);
  if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(log, 2) < 0) _exit(126);
  execve(arguments[0], arguments, environment);
  _exit(127);
}

struct OpenFileBytes {
  int64_t memory_files = 0;  // those not mapped are in no other count
  int64_t cached = 0;        // of files without a name, such as the slow tier's, in the page cache
};

// Bytes of the open file that the page cache holds; cachestat where the kernel has it (6.5 on), else by asking of each
// page.
int64_t CachedBytes(int fd, int64_t size) {
  constexpr long kCachestat = 451;
  const uint64_t range[2] = {0, 0};  // all of it
  uint64_t counts[5] = {};           // pages cached, and four more
  const int64_t page = sysconf(_SC_PAGESIZE);
  if (syscall(kCachestat, fd, range, counts, 0) == 0) return static_cast<int64_t>(counts[0]) * page;
  void* view = mmap(nullptr, static_cast<size_t>(size), PROT_READ, MAP_SHARED, fd, 0);
  if (view == MAP_FAILED) return 0;
  std::vector<unsigned char> pages(static_cast<size_t>((size + page - 1) / page));
  const int result = mincore(view, static_cast<size_t>(size), pages.data());
  munmap(view, static_cast<size_t>(size));
  if (result != 0) return 0;
  return std::count_if(pages.begin(), pages.end(), [](unsigned char p) { return (p & 1) != 0; }) * page;
}

void CountFile(const std::string& path, OpenFileBytes* bytes) {
  char target[4096];
  const ssize_t length = readlink(path.c_str(), target, sizeof(target));
  if (length <= 0) return;
  const std::string_view name(target, static_cast<size_t>(length));
  const bool memory_file = name.substr(0, 7) == "/memfd:";
  constexpr std::string_view kDeleted = " (deleted)";
  const bool unnamed = name.size() > kDeleted.size() && name.substr(name.size() - kDeleted.size()) == kDeleted;
  struct stat status;
  if ((!memory_file && !unnamed) || stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return;
  if (memory_file) {
    bytes->memory_files += static_cast<int64_t>(status.st_blocks) * 512;
    return;
  }
  const int fd = status.st_size > 0 ? open(path.c_str(), O_RDONLY | O_CLOEXEC) : -1;
  if (fd < 0) return;
  bytes->cached += CachedBytes(fd, status.st_size);
  close(fd);
}

OpenFileBytes CountOpenFiles(pid_t pid) {
  OpenFileBytes bytes;
  const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
  DIR* dir = opendir(folder.c_str());
  if (dir == nullptr) return bytes;
  while (const dirent* entry = readdir(dir)) CountFile(folder + "/" + entry->d_name, &bytes);
  closedir(dir);
  return bytes;
}

int64_t BytesBoundTo(int node, pid_t pid) {
  if (node < 0) return 0;
  std::stringstream text;
  text << std::ifstream("/proc/" + std::to_string(pid) + "/numa_maps").rdbuf();
  return topology::ReadNumaMaps(text.str(), "bind:" + std::to_string(node))[topology::NodeId(node)].count();
}

std::string LastLines(const std::string& path) {
  std::ifstream file(path);
  std::stringstream all;
  all << file.rdbuf();
  const std::string text = all.str();
  constexpr size_t kMost = 600;
  return text.size() > kMost ? "..." + text.substr(text.size() - kMost) : text;
}

}  // namespace

RowProcess::RowProcess(const RowCommand& command)
    : log_path_(command.log_path), while_waiting_(command.while_waiting), slow_node_(command.slow_node) {
  Start(command);
  try {
    ReadLine();
  } catch (...) {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    throw;
  }
}

RowProcess::~RowProcess() {
  if (to_child_ >= 0) close(to_child_);
  if (from_child_ >= 0) close(from_child_);
  if (pid_ <= 0) return;
  kill(pid_, SIGKILL);
  waitpid(pid_, nullptr, 0);
}

void RowProcess::Start(const RowCommand& command) {
  int input[2], output[2];
  const int log = open(log_path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (log < 0 || pipe2(input, O_CLOEXEC) != 0 || pipe2(output, O_CLOEXEC) != 0) {
    throw std::runtime_error(log_path_ + ": can't be opened: " + std::strerror(errno));
  }
  int members = -1;
  if (!command.cgroup_members_file.empty()) {
    members = open(command.cgroup_members_file.c_str(), O_WRONLY | O_CLOEXEC);
    if (members < 0) throw std::runtime_error(command.cgroup_members_file + ": " + std::strerror(errno));
  }
  std::vector<std::string> arguments = command.arguments;
  std::vector<std::string> environment = RowEnvironment(command.preload);
  const std::vector<char*> argv = Pointers(&arguments), envp = Pointers(&environment);
  pid_ = fork();
  if (pid_ == 0) Become(argv.data(), envp.data(), input[0], output[1], log, members);
  close(input[0]);
  close(output[1]);
  close(log);
  if (members >= 0) close(members);
  to_child_ = input[1];
  from_child_ = output[0];
  if (pid_ < 0) throw std::runtime_error(std::string("fork: ") + std::strerror(errno));
}

nlohmann::json RowProcess::Step() {
  if (write(to_child_, "1\n", 2) != 2) FailEarly();
  return ReadLine();
}

nlohmann::json RowProcess::Finish() {
  close(to_child_);
  to_child_ = -1;
  nlohmann::json summary = ReadLine().at("summary");
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (status != 0) Fail("ended with wait status " + std::to_string(status));
  return summary;
}

nlohmann::json RowProcess::ReadLine() {
  for (;;) {
    const size_t end = buffered_.find('\n');
    if (end != std::string::npos) {
      const std::string line = buffered_.substr(0, end);
      buffered_.erase(0, end + 1);
      return nlohmann::json::parse(line);
    }
    ThrowIfInterrupted();
    Sample();
    if (while_waiting_) while_waiting_();
    pollfd poller{from_child_, POLLIN, 0};
    if (poll(&poller, 1, kSampleMillis) <= 0) continue;
    char chunk[4096];
    const ssize_t count = read(from_child_, chunk, sizeof(chunk));
    if (count == 0) FailEarly();
    if (count > 0) buffered_.append(chunk, static_cast<size_t>(count));
  }
}

void RowProcess::Sample() {
  const auto now = std::chrono::steady_clock::now();
  if (now < next_sample_) return;
  if (slow_node_ >= 0) next_sample_ = now + std::chrono::seconds(1);
  std::ifstream status("/proc/" + std::to_string(pid_) + "/status");
  int64_t anonymous = 0, shared = 0;
  for (std::string line; std::getline(status, line);) {
    if (line.rfind("RssAnon:", 0) == 0) anonymous = std::stoll(line.substr(8)) << 10;
    if (line.rfind("RssShmem:", 0) == 0) shared = std::stoll(line.substr(9)) << 10;
  }
  const OpenFileBytes files = CountOpenFiles(pid_);
  slow_cache_peak_bytes_ = std::max(slow_cache_peak_bytes_, files.cached);
  sampled_peak_bytes_ = std::max(sampled_peak_bytes_, anonymous + std::max(shared, files.memory_files) + files.cached -
                                                          BytesBoundTo(slow_node_, pid_));
}

void RowProcess::FailEarly() {
  int status = 0;
  waitpid(pid_, &status, 0);
  pid_ = -1;
  if (!WIFSIGNALED(status)) Fail("ended early with status " + std::to_string(WEXITSTATUS(status)));
  const int number = WTERMSIG(status);
  Fail(std::string("was killed: ") + strsignal(number) + (number == SIGKILL ? " (out of memory?)" : ""));
}

void RowProcess::Fail(const std::string& what) {
  throw std::runtime_error(what + "; its last words (" + log_path_ + "): " + LastLines(log_path_));
}

}  // namespace thermocline::demo

#include "tests/cli/subprocess.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace thermocline::testing {
namespace {

[[noreturn]] void Exec(const std::vector<std::string>& words, int out, int err) {
  const int null = open("/dev/null", O_RDONLY);
  dup2(null, STDIN_FILENO);
  dup2(out, STDOUT_FILENO);
  dup2(err, STDERR_FILENO);
  std::vector<char*> argv;
  for (const std::string& word : words) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execvp(argv[0], argv.data());
  _exit(127);
}

// Reads both ends until both are closed, so that neither can fill up and block the program.
void Drain(int out, int err, SubprocessResult* result) {
  std::array<pollfd, 2> ends = {{{out, POLLIN, 0}, {err, POLLIN, 0}}};
  std::array<std::string*, 2> texts = {&result->out, &result->err};
  int open_ends = 2;
  while (open_ends > 0) {
    if (poll(ends.data(), ends.size(), -1) < 0 && errno != EINTR) return;
    for (int i = 0; i < 2; ++i) {
      if (ends[i].fd < 0 || ends[i].revents == 0) continue;
      std::array<char, 65536> buffer;
      const ssize_t count = read(ends[i].fd, buffer.data(), buffer.size());
      if (count > 0) {
        texts[i]->append(buffer.data(), count);
      } else if (count == 0 || errno != EINTR) {
        ends[i].fd = -1;
        --open_ends;
      }
    }
  }
}

using Ends = std::array<int, 2>;  // to read from, to write to

SubprocessResult RunWith(const std::vector<std::string>& words, const Ends& out, const Ends& err) {
  SubprocessResult result;
  const pid_t child = fork();
  if (child == 0) Exec(words, out[1], err[1]);
  close(out[1]);
  close(err[1]);
  Drain(out[0], err[0], &result);
  close(out[0]);
  close(err[0]);
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  result.exit_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

}  // namespace

SubprocessResult RunProgram(const std::vector<std::string>& words) {
  Ends out{}, err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0 || pipe2(err.data(), O_CLOEXEC) != 0) return {};
  return RunWith(words, out, err);
}

SubprocessResult RunProgramOnTerminal(const std::vector<std::string>& words) {
  Ends out{}, err{};
  if (pipe2(out.data(), O_CLOEXEC) != 0 || openpty(&err[0], &err[1], nullptr, nullptr, nullptr) != 0) return {};
  return RunWith(words, out, err);
}

}  // namespace thermocline::testing

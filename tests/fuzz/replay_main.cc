// Runs a fuzz target without a fuzzer: over its corpus, over every prefix of it, and over some thousand mutations,
// which are others each day: their seed is the date (UTC, as 20260131), or THERMOCLINE_FUZZ_SEED where that is set, and
// is said. When the target dies, its input goes to stderr, with the seed by which it comes again.
//
// usage: NAME CORPUS_FOLDER [MUTATIONS]
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

const std::string* current = nullptr;  // what the target is looking at
std::string how_again;

void ShowInputAndDie(int signal) {
  if (current != nullptr) {
    for (const std::string& text : {std::string("the target died of this input:\n"), *current, how_again}) {
      if (write(STDERR_FILENO, text.data(), text.size()) < 0) break;
    }
  }
  raise(signal);  // the handler is gone by now
}

void Run(const std::string& input) {
  current = &input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> ReadCorpus(const char* folder) {
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  return corpus;
}

// False when THERMOCLINE_FUZZ_SEED is no number.
bool ReadSeed(uint32_t* seed) {
  const char* const given = std::getenv("THERMOCLINE_FUZZ_SEED");
  if (given == nullptr || *given == '\0') {
    const std::time_t now = std::time(nullptr);
    std::tm day = {};
    gmtime_r(&now, &day);
    *seed = static_cast<uint32_t>((day.tm_year + 1900) * 10000 + (day.tm_mon + 1) * 100 + day.tm_mday);
    return true;
  }
  char* end = nullptr;
  *seed = static_cast<uint32_t>(std::strtoul(given, &end, 10));
  return *end == '\0';
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& corpus, uint32_t seed) : corpus_(corpus), random_(seed) {}

  std::string Next() {
    std::string input = corpus_[Below(corpus_.size())];
    for (size_t changes = 1 + Below(4); changes > 0; --changes) Change(&input);
    return input;
  }

 private:
  // Values that readers trip over.
  static constexpr const char* kTokens[] = {"-1",
                                            "0",
                                            "9223372036854775807",
                                            "9223372036854775808",
                                            "1e308",
                                            "1e999",
                                            "-0.0",
                                            "null",
                                            "[]",
                                            "{}",
                                            "\"\"",
                                            "[[[[[[[[",
                                            "NaN",
                                            ",",
                                            ":",
                                            "\"",
                                            "\\u0000",
                                            "%",
                                            "4294967296",
                                            "TiB",
                                            "true",
                                            "\xff"};

  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }

  void Change(std::string* input) {
    const size_t at = Below(input->size() + 1);
    switch (Below(6)) {
      case 0:
        if (at < input->size()) (*input)[at] = static_cast<char>((*input)[at] ^ (1 << Below(8)));
        break;
      case 1:
        input->erase(at, 1 + Below(16));
        break;
      case 2:
        input->insert(at, kTokens[Below(std::size(kTokens))]);
        break;
      case 3:
        input->insert(at, input->substr(Below(input->size() + 1), Below(64)));
        break;
      case 4:
        ReplaceNumber(input, at);
        break;
      default:
        input->insert(at, 1, static_cast<char>(random_()));
        break;
    }
  }

  // A whole number by another value, so that the input stays well-formed and reaches the checks behind the parser.
  void ReplaceNumber(std::string* input, size_t from) {
    constexpr char kDigits[] = "0123456789.";
    const size_t begin = input->find_first_of(kDigits, from);
    if (begin == std::string::npos) return;
    const size_t end = std::min(input->find_first_not_of(kDigits, begin), input->size());
    input->replace(begin, end - begin, kTokens[Below(std::size(kTokens))]);
  }

  const std::vector<std::string>& corpus_;
  std::minstd_rand random_;
};

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: %s CORPUS_FOLDER [MUTATIONS]\n", argv[0]);
    return 2;
  }
  uint32_t seed = 0;
  if (!ReadSeed(&seed)) {
    std::fprintf(stderr, "THERMOCLINE_FUZZ_SEED is a number, not '%s'\n", std::getenv("THERMOCLINE_FUZZ_SEED"));
    return 2;
  }
  how_again = "\nto see it again: THERMOCLINE_FUZZ_SEED=" + std::to_string(seed) + "\n";
  struct sigaction action = {};
  action.sa_handler = ShowInputAndDie;
  action.sa_flags = static_cast<int>(SA_RESETHAND | SA_NODEFER);
  for (const int signal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE, SIGILL}) sigaction(signal, &action, nullptr);
  const std::vector<std::string> corpus = ReadCorpus(argv[1]);
  if (corpus.empty()) {
    std::fprintf(stderr, "%s holds no corpus\n", argv[1]);
    return 1;
  }
  for (const std::string& input : corpus) {
    const size_t stride = 1 + input.size() / 500;
    for (size_t length = 0; length < input.size(); length += stride) Run(input.substr(0, length));
    Run(input);
  }
  const int mutations = argc > 2 ? std::atoi(argv[2]) : 5000;
  Mutator mutator(corpus, seed);
  for (int i = 0; i < mutations; ++i) Run(mutator.Next());
  std::printf("%zu inputs and %d mutations of them by the seed %u\n", corpus.size(), mutations, seed);
  return 0;
}

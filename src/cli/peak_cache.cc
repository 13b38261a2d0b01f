#include "src/cli/peak_cache.h"

#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "nlohmann/json.hpp"
#include "src/base/atomic_file.h"

namespace thermocline::cli {
namespace {

// As the shell finds it: a name without a slash is looked for in PATH.
std::string ProgramPath(const std::string& name) {
  std::error_code error;
  if (name.find('/') != std::string::npos) return std::filesystem::weakly_canonical(name, error).string();
  const char* path = getenv("PATH");
  for (absl::string_view folder : absl::StrSplit(path != nullptr ? path : "/usr/bin:/bin", ':')) {
    const auto candidate = std::filesystem::path(std::string(folder)) / name;
    if (access(candidate.c_str(), X_OK) == 0) return candidate.string();
  }
  return name;
}

// FNV-1a: stable from run to run, unlike std::hash by promise.
std::string KeyOf(const std::vector<std::string>& command) {
  uint64_t hash = 0xcbf29ce484222325u;
  const auto mix = [&hash](const std::string& text) {
    for (size_t i = 0; i <= text.size(); ++i)
      hash = (hash ^ static_cast<unsigned char>(text.c_str()[i])) * 0x100000001b3u;
  };
  mix(ProgramPath(command[0]));
  for (size_t i = 1; i < command.size(); ++i) mix(command[i]);
  return absl::StrCat(absl::Hex(hash, absl::kZeroPad16));
}

// Empty: there is no place for it.
std::filesystem::path Folder() {
  if (const char* cache = getenv("XDG_CACHE_HOME"); cache != nullptr && *cache == '/') {
    return std::filesystem::path(cache) / "thermocline";
  }
  const char* home = getenv("HOME");
  return home != nullptr && *home == '/' ? std::filesystem::path(home) / ".cache/thermocline" : std::filesystem::path();
}

std::filesystem::path FileOf(const std::vector<std::string>& command) {
  const std::filesystem::path folder = Folder();
  return folder.empty() ? folder : folder / absl::StrCat("peak-", KeyOf(command), ".json");
}

}  // namespace

std::optional<Bytes> RememberedPeak(const std::vector<std::string>& command) {
  const std::filesystem::path file = FileOf(command);
  if (file.empty()) return std::nullopt;
  std::ifstream stream(file);
  const auto json = nlohmann::json::parse(stream, nullptr, false);
  if (!json.is_object() || !json.contains("peak_bytes") || !json["peak_bytes"].is_number_unsigned())
    return std::nullopt;
  if (json.value("command", nlohmann::json()) != nlohmann::json(command)) return std::nullopt;  // another's, by chance
  const int64_t peak = json["peak_bytes"].get<int64_t>();
  return peak > 0 ? std::optional<Bytes>(Bytes(peak)) : std::nullopt;
}

absl::Status RememberPeak(const std::vector<std::string>& command, Bytes peak) {
  const std::filesystem::path file = FileOf(command);
  if (file.empty()) return absl::NotFoundError("neither XDG_CACHE_HOME nor HOME says where to keep the peak; set one");
  std::error_code error;
  std::filesystem::create_directories(file.parent_path(), error);
  if (error) return absl::UnavailableError(absl::StrCat(file.parent_path().string(), ": ", error.message()));
  const nlohmann::json json = {{"command", command}, {"peak_bytes", static_cast<uint64_t>(peak.count())}};
  return WriteFileAtomically(file.string(), json.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace thermocline::cli

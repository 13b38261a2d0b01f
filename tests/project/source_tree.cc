#include "tests/project/source_tree.h"

#include <cctype>
#include <map>
#include <regex>

#include "tests/project/lines.h"

namespace thermocline::project {
namespace {

namespace fs = std::filesystem;

const std::set<std::string> kCode = {".h", ".cc", ".c", ".cu"};
const std::set<std::string> kHeaders = {".h"};

std::map<std::string, int> RanksOf(const std::vector<std::string>& rooms) {
  std::map<std::string, int> ranks;
  for (const std::string& room : rooms) ranks.emplace(room, static_cast<int>(ranks.size()));
  return ranks;
}

// "src/tier/file.h" -> "tier"; "" for a path that is not below src/.
std::string RoomOf(const fs::path& path) {
  auto part = path.begin();
  if (part == path.end() || part->string() != "src" || ++part == path.end()) return "";
  return part->string();
}

struct Include {
  size_t line_index;
  std::string path;
};

std::vector<Include> IncludesOf(const fs::path& file) {
  static const std::regex kInclude(R"(^\s*#\s*include\s*["<]([^">]+)[">])");
  std::vector<Include> includes;
  const std::vector<std::string> lines = LinesOf(file);
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch match;
    if (std::regex_search(lines[i], match, kInclude)) includes.push_back({i, match[1]});
  }
  return includes;
}

// What is wrong with an include in a file of the room `own`; "" when nothing is.
std::string IncludeFault(const fs::path& folder, const std::string& own, const std::string& include,
                         const std::map<std::string, int>& ranks) {
  const std::string room = RoomOf(include);
  if (room.empty()) {
    const std::string top = fs::path(include).begin()->string();
    if (top == "tests" || top == "bench" || top == "examples") return "src/ may not include " + include;
    if (fs::exists(folder / include)) return "write the whole path of " + include + ", from src/ on";
    return "";
  }
  const auto other = ranks.find(room);
  if (other == ranks.end()) return include + " lies in no room of the list";
  if (other->second <= ranks.at(own)) return "";
  return own + " may not include " + include + ", for " + room +
         " comes after it in the list; move what is shared down, or inject it";
}

void AddRoomFaults(const fs::path& root, const std::map<std::string, int>& ranks, Faults* faults) {
  for (const fs::path& file : FilesBelow(root, "src", kCode)) {
    const std::string own = RoomOf(file);
    if (!ranks.contains(own)) {
      faults->push_back(file.string() + ":1: lies in no room of the list; add its folder to src/CMakeLists.txt");
      continue;
    }
    for (const Include& include : IncludesOf(root / file)) {
      const std::string fault = IncludeFault((root / file).parent_path(), own, include.path, ranks);
      if (!fault.empty()) faults->push_back(Place(file, include.line_index) + ": " + fault);
    }
  }
}

// The rooms that a room's files include, itself left out, each with a file that does.
std::map<std::string, fs::path> RoomsIncludedBy(const fs::path& root, const std::string& room) {
  std::map<std::string, fs::path> included;
  for (const fs::path& file : FilesBelow(root, "src/" + room, kCode)) {
    for (const Include& include : IncludesOf(root / file)) {
      const std::string other = RoomOf(include.path);
      if (!other.empty() && other != room) included.emplace(other, file);
    }
  }
  return included;
}

void AddPublicFaults(const fs::path& root, Faults* faults) {
  for (const fs::path& file : FilesBelow(root, "include", kCode)) {
    for (const Include& include : IncludesOf(root / file)) {
      if (!RoomOf(include.path).empty()) {
        faults->push_back(Place(file, include.line_index) + ": a public header may not include " + include.path +
                          ", which is not installed");
      }
    }
  }
  static const std::regex kNumbered(R"(^examples/[0-9])");
  for (const fs::path& file : FilesBelow(root, "examples", kCode)) {
    if (!std::regex_search(file.string(), kNumbered)) continue;
    for (const Include& include : IncludesOf(root / file)) {
      if (!RoomOf(include.path).empty()) {
        faults->push_back(Place(file, include.line_index) + ": a numbered example shows what users can do, and " +
                          include.path + " is not installed");
      }
    }
  }
}

// "src/tier/file_tier.h" -> "THERMOCLINE_TIER_FILE_TIER_H_": src and include are left out, other top folders are not.
std::string GuardOf(const fs::path& file) {
  const std::string top = file.begin()->string();
  std::string path = (top == "src" || top == "include" ? file.lexically_relative(top) : file).string();
  if (!path.starts_with("thermocline/")) path = "thermocline/" + path;
  std::string guard;
  for (const unsigned char c : path) guard += std::isalnum(c) != 0 ? static_cast<char>(std::toupper(c)) : '_';
  return guard + "_";
}

}  // namespace

Faults LayeringFaults(const fs::path& root, const std::vector<std::string>& rooms) {
  Faults faults;
  AddRoomFaults(root, RanksOf(rooms), &faults);
  AddPublicFaults(root, &faults);
  return faults;
}

Faults TargetFaults(const fs::path& root, const std::vector<std::string>& rooms) {
  static const std::regex kRooms(R"(\bROOMS\b([a-z_\s]*))");
  static const std::regex kWord(R"([a-z_]+)");
  const std::map<std::string, int> ranks = RanksOf(rooms);
  Faults faults;
  for (const fs::path& file : FilesBelow(root, "src", {".txt"})) {
    const auto own = ranks.find(RoomOf(file));
    if (own == ranks.end()) continue;
    std::string text;
    for (const std::string& line : LinesOf(root / file)) text += line + "\n";
    for (std::sregex_iterator list(text.begin(), text.end(), kRooms), end; list != end; ++list) {
      const std::string names = (*list)[1];
      for (std::sregex_iterator word(names.begin(), names.end(), kWord); word != end; ++word) {
        const auto other = ranks.find(word->str());
        if (other == ranks.end() || other->second > own->second) {
          faults.push_back(file.string() + ":1: " + own->first + " links the room " + word->str() +
                           ", which is not below it");
        }
      }
    }
  }
  return faults;
}

std::vector<std::string> RoomsOfReadme(const fs::path& root) {
  static const std::regex kRow(R"(^\| *`([a-z_]+)/?`)");
  std::vector<std::string> rooms;
  for (const std::string& line : LinesOf(root / "src/README.md")) {
    std::smatch match;
    if (std::regex_search(line, match, kRow)) rooms.push_back(match[1]);
  }
  return rooms;
}

Faults ReadmeNeedsFaults(const fs::path& root, const std::vector<std::string>& rooms) {
  static const std::regex kRow(R"(^\| *`([a-z_]+)/?` *\|[^|]*\|([^|]*)\|)");
  static const std::regex kSpan(R"(`([a-z_]+)`)");
  const fs::path readme = "src/README.md";
  const std::vector<std::string> lines = LinesOf(root / readme);
  Faults faults;
  for (size_t i = 0; i < lines.size(); ++i) {
    std::smatch row;
    if (!std::regex_search(lines[i], row, kRow)) continue;
    std::map<std::string, fs::path> needed = RoomsIncludedBy(root, row[1]);
    needed.erase(rooms.front());
    const std::string cell = row[2];
    for (std::sregex_iterator span(cell.begin(), cell.end(), kSpan), end; span != end; ++span) {
      if (needed.erase((*span)[1]) == 0) {
        faults.push_back(Place(readme, i) + ": no file of " + row[1].str() + " includes " + (*span)[1].str() +
                         " any more");
      }
    }
    for (const auto& [room, file] : needed) {
      faults.push_back(Place(readme, i) + ": " + row[1].str() + " needs " + room + " too, for " + file.string());
    }
  }
  return faults;
}

Faults HeaderFaults(const fs::path& root) {
  Faults faults;
  for (const char* folder : {"src", "include", "tests", "bench", "examples"}) {
    for (const fs::path& file : FilesBelow(root, folder, kHeaders)) {
      const std::vector<std::string> lines = LinesOf(root / file);
      if (lines.empty() || !(lines[0].starts_with("//") || lines[0].starts_with("/*"))) {
        faults.push_back(file.string() + ":1: a header opens with its contract, as a comment");
      }
      const std::string guard = "#ifndef " + GuardOf(file);
      if (std::find(lines.begin(), lines.end(), guard) == lines.end()) {
        faults.push_back(file.string() + ":1: has no include guard '" + guard + "'");
      }
    }
  }
  return faults;
}

Faults LengthFaults(const fs::path& root, int limit) {
  Faults faults;
  const std::set<std::string> extensions = {".h", ".cc", ".c", ".cu", ".py", ".sh", ".cmake", ".txt", ".js", ""};
  for (const char* folder : {"src", "include", "tests", "bench", "examples", "scripts", "cmake", "python"}) {
    for (const fs::path& file : FilesBelow(root, folder, extensions)) {
      const bool is_data = file.string().find("fixtures/") != std::string::npos;
      const size_t length = is_data ? 0 : LinesOf(root / file).size();
      if (length > static_cast<size_t>(limit)) {
        faults.push_back(file.string() + ":" + std::to_string(length) + ": more than " + std::to_string(limit) +
                         " lines; there are two ideas in it");
      }
    }
  }
  return faults;
}

Faults SkipFaults(const fs::path& root) {
  const std::string skip = std::string("GTEST_SKIP") + "()";  // in two parts, so that this is none
  Faults faults;
  for (const fs::path& file : FilesBelow(root, "tests", {".h", ".cc"})) {
    const std::vector<std::string> lines = LinesOf(root / file);
    for (size_t i = 0; i < lines.size(); ++i) {
      const size_t at = lines[i].find(skip);
      if (at == std::string::npos) continue;
      // The reason may be a constant of that name, or stand in the next line.
      std::string said = lines[i].substr(at) + (i + 1 < lines.size() ? lines[i + 1] : "");
      said = said.substr(0, said.find(';'));
      if (said.find("<< \"needs ") == std::string::npos && said.find("<< kNeeds") == std::string::npos) {
        faults.push_back(file.string() + ":" + std::to_string(i + 1) +
                         ": a skip must say which machine it needs: " + skip + " << \"needs ...\"");
      }
    }
  }
  return faults;
}

}  // namespace thermocline::project

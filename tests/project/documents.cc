// The documents' part of source_tree.h.
#include <regex>

#include "tests/project/lines.h"
#include "tests/project/source_tree.h"

namespace thermocline::project {
namespace {

namespace fs = std::filesystem;

// A link's target without its anchor; "" when it leads out of the checkout or within its own page.
std::string LocalTarget(const std::string& link) {
  if (link.find("://") != std::string::npos || link.starts_with("mailto:")) return "";
  return link.substr(0, link.find('#'));
}

void AddLinkFaults(const fs::path& root, const fs::path& file, size_t index, const std::string& line, Faults* faults) {
  static const std::regex kLink(R"(\]\(([^)\s]+)\))");
  for (std::sregex_iterator link(line.begin(), line.end(), kLink), end; link != end; ++link) {
    const std::string target = LocalTarget((*link)[1]);
    if (!target.empty() && !fs::exists(root / file.parent_path() / target)) {
      faults->push_back(Place(file, index) + ": the link to " + target + " leads nowhere");
    }
  }
}

// A file of the checkout that a document names, be it in a `span` or a command line. Patterns (*, <x>, X.., ...) are
// not file names.
void AddNameFaults(const fs::path& root, const fs::path& file, size_t index, const std::string& line, Faults* faults) {
  static const std::regex kName(
      R"((^|[\s`(])((?:scripts|src|include|docs|bench|examples|tests|cmake|python|\.ci)/[A-Za-z0-9_./-]*[A-Za-z0-9_/])([^\s`]?))");
  for (std::sregex_iterator name(line.begin(), line.end(), kName), end; name != end; ++name) {
    static const std::string kPattern = "*<{[$";
    const std::string after = (*name)[3];
    const bool is_pattern = !after.empty() && kPattern.find(after) != std::string::npos;
    if (!is_pattern && !fs::exists(root / (*name)[2].str())) {
      faults->push_back(Place(file, index) + ": names " + (*name)[2].str() + ", which does not exist");
    }
  }
}

}  // namespace

Faults DocumentFaults(const fs::path& root) {
  Faults faults;
  for (const fs::path& file : FilesBelow(root, "", {".md"})) {
    const std::vector<std::string> lines = LinesOf(root / file);
    bool in_block = false;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].starts_with("```")) in_block = !in_block;
      // In a block of C++ "](" is a lambda.
      if (!in_block) AddLinkFaults(root, file, i, lines[i], &faults);
      AddNameFaults(root, file, i, lines[i], &faults);
    }
  }
  return faults;
}

std::vector<CommandMention> CommandMentions(const fs::path& root) {
  // In a span, or at the start of a line of a code block.
  static const std::regex kMention(R"((?:`|^(?:    |\$ )?)(?:build/bin/)?thermocline ([a-z]+)\b)");
  std::vector<CommandMention> mentions;
  for (const fs::path& file : FilesBelow(root, "", {".md"})) {
    const std::vector<std::string> lines = LinesOf(root / file);
    bool in_block = false;
    for (size_t i = 0; i < lines.size(); ++i) {
      if (lines[i].starts_with("```")) in_block = !in_block;
      for (std::sregex_iterator mention(lines[i].begin(), lines[i].end(), kMention), end; mention != end; ++mention) {
        const bool in_prose = !in_block && mention->str()[0] != '`' && mention->str()[0] != ' ';
        if (!in_prose) mentions.push_back({Place(file, i), (*mention)[1]});
      }
    }
  }
  return mentions;
}

}  // namespace thermocline::project

// The documents' part of source_tree.h.
#include <algorithm>
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

std::string TextOf(const fs::path& file) {
  std::string text;
  for (const std::string& line : LinesOf(file)) text += line + "\n";
  return text;
}

// The string literals at `at`, one after another, as one; "" when there is none.
std::string LiteralAt(const std::string& text, size_t at) {
  std::string literal;
  for (; (at = text.find_first_not_of(" \n", at)) != std::string::npos && text[at] == '"'; ++at) {
    for (++at; at < text.size() && text[at] != '"'; ++at) {
      if (text[at] == '\\') literal += text[at++];
      literal += text[at];
    }
  }
  return literal;
}

// Fewer letters say nothing.
constexpr size_t kShortest = 15;

// True when the message has the words of the span, but for those in capitals, in their order. After its end it may go
// on with something else.
bool IsSaidBy(const std::string& message, const std::string& span) {
  static const std::regex kCapitals(R"(\b[A-Z][A-Z_]*\b)");
  const std::sregex_token_iterator end;
  size_t at = 0;
  size_t length = 0;
  for (std::sregex_token_iterator piece(span.begin(), span.end(), kCapitals, -1); piece != end; ++piece) {
    if (at == message.size()) break;
    at = message.find(piece->str(), at);
    if (at == std::string::npos) return false;
    at += piece->length();
    length += piece->length();
  }
  return length >= kShortest;
}

std::vector<std::string> SpansOf(const std::string& text) {
  static const std::regex kSpan(R"(`([^`\n]+)`)");
  std::vector<std::string> spans;
  for (std::sregex_iterator span(text.begin(), text.end(), kSpan), end; span != end; ++span)
    spans.push_back((*span)[1]);
  return spans;
}

}  // namespace

Faults MessageFaults(const fs::path& root, const std::vector<std::string>& folders) {
  const std::vector<std::string> spans = SpansOf(TextOf(root / "docs/troubleshooting.md"));
  static const std::string kPrefix = "thermocline: ";
  static const std::regex kSaid("\"" + kPrefix + "|\\bComplain\\(");
  Faults faults;
  for (const std::string& folder : folders) {
    for (const fs::path& file : FilesBelow(root, folder, {".cc"})) {
      const std::string text = TextOf(root / file);
      for (std::sregex_iterator said(text.begin(), text.end(), kSaid), end; said != end; ++said) {
        const bool is_literal = (*said)[0] != "Complain(";
        std::string message = LiteralAt(text, is_literal ? said->position() : said->position() + said->length());
        if (message.starts_with(kPrefix)) message = message.substr(kPrefix.size());
        // What is handed on, such as a status, has its words elsewhere.
        if (message.size() < kShortest) continue;
        const auto says = [&message](const std::string& span) { return IsSaidBy(message, span); };
        if (std::none_of(spans.begin(), spans.end(), says)) {
          faults.push_back(Place(file, std::count(text.begin(), text.begin() + said->position(), '\n')) +
                           ": docs/troubleshooting.md does not say what this means: " + message);
        }
      }
    }
  }
  return faults;
}

Faults VariableFaults(const fs::path& root) {
  static const std::regex kVariable(R"re("(THERMOCLINE_[A-Z_]+)")re");
  const std::string documented = TextOf(root / "docs/tuning.md");
  Faults faults;
  for (const fs::path& file : FilesBelow(root, "src", {".cc"})) {
    const std::vector<std::string> lines = LinesOf(root / file);
    for (size_t i = 0; i < lines.size(); ++i) {
      for (std::sregex_iterator name(lines[i].begin(), lines[i].end(), kVariable), end; name != end; ++name) {
        const std::string variable = (*name)[1];
        const std::regex row(std::string("`").append(variable).append("[`=]"));
        if (!std::regex_search(documented, row)) {
          faults.push_back(Place(file, i) + ": docs/tuning.md says nothing of " + variable);
        }
      }
    }
  }
  return faults;
}

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

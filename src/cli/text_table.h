// A table of text for people: columns as wide as their widest cell, numbers to the right.
//
// Thread safety: none. Control characters in a cell are shown as '?', so that a file can't play with the terminal.
#ifndef THERMOCLINE_CLI_TEXT_TABLE_H_
#define THERMOCLINE_CLI_TEXT_TABLE_H_

#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace thermocline::cli {

class TextTable {
 public:
  // A header that starts with '>' is a column of numbers, set to the right.
  explicit TextTable(std::vector<std::string> headers);
  // REQUIRES: as many cells as headers.
  void Add(std::vector<std::string> cells);
  std::string Format() const;

 private:
  std::vector<bool> right_;
  std::vector<std::vector<std::string>> rows_;
};

// The text with control characters replaced by '?'.
std::string Printable(absl::string_view text);

// "12.3 ms", "1.50 s": three significant digits.
std::string FormatSeconds(double seconds);

}  // namespace thermocline::cli

#endif  // THERMOCLINE_CLI_TEXT_TABLE_H_

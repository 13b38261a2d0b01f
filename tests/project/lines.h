// Walks a checkout: its own files, line by line. What git ignores (build folders, .deps, dot folders) is not its own.
//
// Thread safety: pure functions of the file system. Errors: an unreadable file has no lines.
#ifndef THERMOCLINE_TESTS_PROJECT_LINES_H_
#define THERMOCLINE_TESTS_PROJECT_LINES_H_

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <string>
#include <vector>

namespace thermocline::project {

inline std::vector<std::string> LinesOf(const std::filesystem::path& file) {
  std::ifstream stream(file);
  std::vector<std::string> lines;
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

// The files below root/folder ("" for all) with one of these extensions, sorted, as paths from the root.
inline std::vector<std::filesystem::path> FilesBelow(const std::filesystem::path& root, const std::string& folder,
                                                     const std::set<std::string>& extensions) {
  std::vector<std::filesystem::path> files;
  const std::filesystem::path top = root / folder;
  if (!std::filesystem::is_directory(top)) return files;
  for (auto entry = std::filesystem::recursive_directory_iterator(top);
       entry != std::filesystem::recursive_directory_iterator(); ++entry) {
    const std::string name = entry->path().filename().string();
    if (entry->is_directory() && (name.starts_with('.') || name.starts_with("build") || name == "__pycache__")) {
      entry.disable_recursion_pending();
    } else if (entry->is_regular_file() && extensions.contains(entry->path().extension().string())) {
      files.push_back(entry->path().lexically_relative(root));
    }
  }
  std::sort(files.begin(), files.end());
  return files;
}

inline std::string Place(const std::filesystem::path& file, size_t line_index) {
  return file.string() + ":" + std::to_string(line_index + 1);
}

}  // namespace thermocline::project

#endif  // THERMOCLINE_TESTS_PROJECT_LINES_H_

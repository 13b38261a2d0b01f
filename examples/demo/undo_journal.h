// UndoJournal: what the demo changes on the machine (a swap file, cgroups), written down before it is done, so that it
// is undone whatever happens: by the destructor, or after kill -9 by the next `demo_table --restore`.
//
// Thread safety: one thread. Ownership: the file is removed once everything is undone. Errors: undoing goes on past
// what fails, and says on stderr what is left and how to remove it by hand.
#ifndef THERMOCLINE_EXAMPLES_DEMO_UNDO_JOURNAL_H_
#define THERMOCLINE_EXAMPLES_DEMO_UNDO_JOURNAL_H_

#include <string>
#include <utility>
#include <vector>

namespace thermocline::demo {

class UndoJournal {
 public:
  enum class Kind { kSwapFile, kCgroup };

  // Undoes first what an earlier run left in the file at `path`.
  explicit UndoJournal(std::string path);
  ~UndoJournal();
  UndoJournal(const UndoJournal&) = delete;
  UndoJournal& operator=(const UndoJournal&) = delete;

  // Call before the thing comes to be. Throws std::runtime_error when that can't be written down.
  void Add(Kind kind, const std::string& what);
  // Undoes the last thing of this name now; false when something of it is left.
  bool Undo(const std::string& what);

 private:
  bool UndoAll();
  void Write() const;

  const std::string path_;
  std::vector<std::pair<Kind, std::string>> entries_;
};

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_UNDO_JOURNAL_H_

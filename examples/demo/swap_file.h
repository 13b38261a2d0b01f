// SwapFile: a swap area of the operating system's, in a file, while this object lives.
//
// Thread safety: one thread. Ownership: the destructor turns it off and deletes it; so does the journal.
// Errors: Create says why this machine or user has none.
#ifndef THERMOCLINE_EXAMPLES_DEMO_SWAP_FILE_H_
#define THERMOCLINE_EXAMPLES_DEMO_SWAP_FILE_H_

#include <cstdint>
#include <memory>
#include <string>

#include "examples/demo/undo_journal.h"

namespace thermocline::demo {

class SwapFile {
 public:
  static std::unique_ptr<SwapFile> Create(const std::string& folder, int64_t bytes, UndoJournal* journal,
                                          std::string* why_not);
  ~SwapFile() { journal_->Undo(path_); }

 private:
  SwapFile(std::string path, UndoJournal* journal) : path_(std::move(path)), journal_(journal) {}
  const std::string path_;
  UndoJournal* const journal_;
};

// Bytes that the whole machine swapped in and out since it started.
struct SwapTraffic {
  int64_t in = 0;
  int64_t out = 0;
};
SwapTraffic ReadSwapTraffic();

}  // namespace thermocline::demo

#endif  // THERMOCLINE_EXAMPLES_DEMO_SWAP_FILE_H_

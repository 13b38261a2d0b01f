#include "src/profile/operator_check.h"

#include "absl/strings/str_cat.h"

namespace thermocline::profile {

void OperatorCheck::EndLayer(LayerId layer, const std::vector<Tensor>& tensors) {
  if (declared_.empty()) return;
  result_.declared += static_cast<int64_t>(declared_.size());
  int64_t met = 0;
  for (size_t i = 0; i < tensors.size(); ++i) {
    const std::vector<Access>& accesses = tensors[i].accesses;
    if (accesses.empty() || accesses.back().layer != layer) continue;
    const auto found = declared_.find(static_cast<int64_t>(i));
    if (found == declared_.end()) {
      ++result_.undeclared;
      continue;
    }
    ++met;
    ++(accesses.back().write && !found->second ? result_.undeclared_writes : result_.confirmed);
  }
  result_.unseen += static_cast<int64_t>(declared_.size()) - met;
  declared_.clear();
}

std::string OperatorCheck::Describe() const {
  if (result_.declared == 0 || result_.mismatches() == 0) return "";
  return absl::StrCat("of ", result_.declared, " tensor accesses that operators declared, the profiled step confirmed ",
                      result_.confirmed, "; ", result_.unseen, " were not seen, ", result_.undeclared_writes,
                      " were written though declared as read, and ", result_.undeclared,
                      " accesses were not declared. Plans follow what was seen");
}

}  // namespace thermocline::profile

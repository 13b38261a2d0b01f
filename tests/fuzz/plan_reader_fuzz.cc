// Any bytes are a plan or are refused; a plan that is read can be written, and is then written the same again.
#include <cstdint>
#include <cstdlib>

#include "absl/strings/string_view.h"
#include "src/plan/plan_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace thermocline;  // NOLINT: nothing else is here
  const auto plan = plan::PlanFromJson(absl::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
  if (!plan.ok()) {
    if (plan.status().message().empty()) std::abort();
    return 0;
  }
  const std::string written = plan::PlanToJson(*plan);
  const auto again = plan::PlanFromJson(written, "again");
  if (!again.ok() || plan::PlanToJson(*again) != written) std::abort();
  return 0;
}

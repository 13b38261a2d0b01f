// RefusingSystemCalls: the real kernel, but for the calls that a test wants refused or answered otherwise.
//
// Thread safety: none; a test's own.
#ifndef THERMOCLINE_TESTS_TOPOLOGY_FAKE_SYSTEM_CALLS_H_
#define THERMOCLINE_TESTS_TOPOLOGY_FAKE_SYSTEM_CALLS_H_

#include <functional>
#include <map>
#include <utility>

#include "src/topology/system_calls.h"

namespace thermocline::topology {

class RefusingSystemCalls final : public SystemCalls {
 public:
  using Answer = std::function<long(const long (&)[6])>;

  void Refuse(long number, int error) {
    answers_[number] = [error](const long(&)[6]) { return -static_cast<long>(error); };
  }
  void AnswerWith(long number, Answer answer) { answers_[number] = std::move(answer); }
  int CallsOf(long number) const {
    const auto at = counts_.find(number);
    return at == counts_.end() ? 0 : at->second;
  }

  long Call(long number, const long (&arguments)[6]) const override {
    ++counts_[number];
    const auto answer = answers_.find(number);
    return answer != answers_.end() ? answer->second(arguments) : RealSystemCalls().Call(number, arguments);
  }

 private:
  std::map<long, Answer> answers_;
  mutable std::map<long, int> counts_;
};

}  // namespace thermocline::topology

#endif  // THERMOCLINE_TESTS_TOPOLOGY_FAKE_SYSTEM_CALLS_H_

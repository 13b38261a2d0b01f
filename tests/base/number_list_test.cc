#include "src/base/number_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermocline {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(NumberListTest, ReadsRangesAndSingles) {
  EXPECT_THAT(*ParseNumberList("0-2,5"), ElementsAre(0, 1, 2, 5));
  EXPECT_THAT(*ParseNumberList(""), IsEmpty());
  EXPECT_THAT(*ParseNumberList("\t0-1\n"), ElementsAre(0, 1));  // as in /proc/self/status
}

TEST(NumberListTest, RefusesWhatIsNoList) {
  for (const char* text : {"x", "3-1", "-1", "1-2-3", "0-99999999", "1,,x"}) {
    EXPECT_FALSE(ParseNumberList(text).ok()) << text;
  }
}

}  // namespace
}  // namespace thermocline

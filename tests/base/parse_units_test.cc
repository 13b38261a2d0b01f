#include "src/base/parse_units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace thermocline {
namespace {

using ::testing::HasSubstr;

TEST(ParseBytes, TakesBinaryAndDecimalUnits) {
  EXPECT_EQ(*ParseBytes("4096"), Bytes(4096));
  EXPECT_EQ(*ParseBytes("8GiB"), GiB(8));
  EXPECT_EQ(*ParseBytes(" 1.5 g "), Bytes(3 * GiB(1).count() / 2));
  EXPECT_EQ(*ParseBytes("1000MB"), Bytes(1'000'000'000));
  EXPECT_EQ(*ParseBytes("64k"), KiB(64));
}

TEST(ParseBytes, RefusesWhatIsNotASizeAndShowsTheText) {
  for (const char* text : {"", "GiB", "-1", "nan", "inf", "0x10", "1.2.3", "8 GiBs", "1e3", "12,5M", "20%"}) {
    const auto result = ParseBytes(text);
    ASSERT_FALSE(result.ok()) << text;
    EXPECT_THAT(std::string(result.status().message()), HasSubstr(text));
  }
  EXPECT_FALSE(ParseBytes("99999999999TiB").ok());
  EXPECT_FALSE(ParseBytes(std::string(400, '9')).ok());
}

TEST(ParseBudget, TakesPercentOfThePeakOrBytes) {
  EXPECT_EQ(ParseBudget("20%")->Resolve(Bytes(1000)), Bytes(200));
  EXPECT_EQ(ParseBudget("12.5 %")->Resolve(Bytes(1000)), Bytes(125));
  EXPECT_EQ(ParseBudget("512MiB")->Resolve(Bytes(1000)), MiB(512));
}

TEST(ParseBudget, RefusesNoBudgetAtAll) {
  for (const char* text : {"0", "0%", "-5%", "%", "2000%", "nan%", "twenty"}) {
    EXPECT_FALSE(ParseBudget(text).ok()) << text;
  }
}

TEST(ParseBytesPerSecond, NeedsATimeUnit) {
  EXPECT_DOUBLE_EQ(ParseBytesPerSecond("1.3GB/s")->rate(), 1.3e9);
  EXPECT_DOUBLE_EQ(ParseBytesPerSecond("800MiB/s")->rate(), 800.0 * 1024 * 1024);
  EXPECT_FALSE(ParseBytesPerSecond("1.3GB").ok());
  EXPECT_FALSE(ParseBytesPerSecond("0GB/s").ok());
}

TEST(ParseSeconds, TakesTheUsualUnits) {
  EXPECT_DOUBLE_EQ(*ParseSeconds("80us"), 80e-6);
  EXPECT_DOUBLE_EQ(*ParseSeconds("1.5ms"), 1.5e-3);
  EXPECT_FALSE(ParseSeconds("80").ok());
}

TEST(FormatBytes, KeepsThreeDigits) {
  EXPECT_EQ(FormatBytes(Bytes(0)), "0 B");
  EXPECT_EQ(FormatBytes(Bytes(999)), "999 B");
  EXPECT_EQ(FormatBytes(MiB(1)), "1.00 MiB");
  EXPECT_EQ(FormatBytes(Bytes(994'000'000)), "948 MiB");
  EXPECT_EQ(FormatBytes(Bytes((int64_t{1} << 20) - 1)), "1.00 MiB");
}

TEST(FormatBytes, WhatItPrintsCanBeReadAgain) {
  for (int shift = 0; shift <= 61; ++shift) {
    const Bytes bytes(int64_t{3} << shift >> 1);
    const auto again = ParseBytes(FormatBytes(bytes));
    ASSERT_TRUE(again.ok()) << again.status();
    EXPECT_NEAR(static_cast<double>(again->count()), static_cast<double>(bytes.count()),
                0.006 * static_cast<double>(bytes.count()))
        << FormatBytes(bytes);
  }
  EXPECT_EQ(*ParseBytes("2PiB"), Bytes(int64_t{1} << 51));
}

}  // namespace
}  // namespace thermocline

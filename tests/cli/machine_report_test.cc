#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cerrno>

#include "nlohmann/json.hpp"
#include "src/cli/doctor.h"
#include "src/cli/tiers.h"
#include "tests/tier/played_numa.h"

namespace thermocline::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

DoctorReport OneRefusal() {
  DoctorReport report;
  report.sections = {{"Disk",
                      {{"O_DIRECT", "wrote 4096 bytes", ""},
                       {"io_uring", "io_uring_setup: EPERM (Operation not permitted)", "threads that call preadv"}}}};
  report.slow = "file:/var/tmp";
  report.slow_tier = "file:/var/tmp (threads, O_DIRECT)";
  return report;
}

TEST(DoctorReportTest, SaysOfEachRefusalWhatIsUsedInstead) {
  const std::string text = FormatDoctorReport(OneRefusal());
  EXPECT_THAT(text, HasSubstr("yes  O_DIRECT\n"));
  EXPECT_THAT(text, HasSubstr("no   io_uring\n"));
  EXPECT_THAT(text, HasSubstr("EPERM (Operation not permitted)\n       instead: threads that call preadv\n"));
  EXPECT_THAT(text, HasSubstr("1 of 2 probes were granted."));
  EXPECT_THAT(text, HasSubstr("can be used, as file:/var/tmp (threads, O_DIRECT)"));
}

TEST(DoctorReportTest, WhatCanBeHadAndIsNotTheDefaultIsNoRefusal) {
  DoctorReport report = OneRefusal();
  report.sections[0].records[0] = {"userfaultfd", "granted", "mprotect is in use", true};
  const std::string text = FormatDoctorReport(report);
  EXPECT_THAT(text,
              HasSubstr("yes  userfaultfd (can be had, not the default)\n       granted\n       mprotect is in use\n"));
  EXPECT_THAT(text, HasSubstr("1 of 2 probes were granted."));
  const auto json = nlohmann::json::parse(DoctorReportToJson(report))["sections"][0]["probes"];
  EXPECT_EQ(json[0]["available"], true);
  EXPECT_EQ(json[0]["default"], false);
  EXPECT_EQ(json[1]["available"], false);
}

TEST(DoctorReportTest, OfAMemoryNodeItListsWhatTheTierAskedTheKernel) {
  tier::PlayedNuma machine;
  PlayTwoNodes(&machine);
  machine.refused["move_pages to ask"] = -EPERM;
  DoctorReport report;
  report.slow = "numa:1,capacity=8MiB";
  TrySlowTier(*tier::ParseTierSpec(report.slow), &report, machine);
  ASSERT_TRUE(report.slow_status.ok()) << report.slow_status;
  const std::string text = FormatDoctorReport(report);
  EXPECT_THAT(text, HasSubstr("yes  placing memory on node 1 (mbind)\n       mbind(MPOL_PREFERRED): ok\n"));
  EXPECT_THAT(text, HasSubstr("no   asking where pages lie (move_pages)\n       move_pages: EPERM"));
  EXPECT_THAT(text, HasSubstr("instead: get_mempolicy, page by page\n"));
  EXPECT_THAT(text, HasSubstr("yes  keeping memory on node 1"));
}

TEST(DoctorReportTest, OfANodeThatIsFastMemoryItSaysThatItCannotBeUsed) {
  tier::PlayedNuma machine;
  PlayTwoNodes(&machine);
  DoctorReport report;
  report.slow = "numa:0";
  TrySlowTier(*tier::ParseTierSpec(report.slow), &report, machine);
  EXPECT_THAT(FormatDoctorReport(report),
              HasSubstr("numa:0 can't be used: numa:0: fast memory is taken from node 0 too"));
}

TEST(DoctorReportTest, SaysWhyASlowTierCannotBeUsed) {
  DoctorReport report = OneRefusal();
  report.slow_status = absl::InvalidArgumentError("slow directory /dev/shm is in memory");
  EXPECT_THAT(FormatDoctorReport(report), HasSubstr("can't be used: slow directory /dev/shm is in memory"));
  const auto json = nlohmann::json::parse(DoctorReportToJson(report));
  EXPECT_EQ(json["slow"]["usable"], false);
  EXPECT_EQ(json["slow"]["error"], "slow directory /dev/shm is in memory");
}

TEST(DoctorReportTest, AsJsonHasEveryProbe) {
  const auto json = nlohmann::json::parse(DoctorReportToJson(OneRefusal()));
  ASSERT_EQ(json["sections"].size(), 1);
  ASSERT_EQ(json["sections"][0]["probes"].size(), 2);
  EXPECT_EQ(json["sections"][0]["probes"][0]["available"], true);
  EXPECT_EQ(json["sections"][0]["probes"][1]["available"], false);
  EXPECT_EQ(json["sections"][0]["probes"][1]["fallback"], "threads that call preadv");
  EXPECT_EQ(json["slow"]["tier"], "file:/var/tmp (threads, O_DIRECT)");
}

TEST(DoctorReportTest, AnAnswerThatIsNoTextDoesNotBreakTheJson) {
  DoctorReport report = OneRefusal();
  report.sections[0].records[0].answer = "dlopen: \xff\xfe\x1b[2J";
  EXPECT_TRUE(nlohmann::json::accept(DoctorReportToJson(report)));
  EXPECT_THAT(FormatDoctorReport(report), Not(HasSubstr("\x1b")));
}

TiersReport CxlMachine() {
  TiersReport report;
  topology::MemoryNode near;
  near.id = topology::NodeId(0);
  near.bytes = GiB(64);
  near.bytes_source = topology::FigureSource::kHwloc;
  topology::MemoryNode far = near;
  far.id = topology::NodeId(1);
  far.has_cpus = false;
  far.slow = true;
  far.read_bandwidth = {BytesPerSecond(20e9), topology::FigureSource::kSysfs};
  far.latency_seconds = {300e-9, topology::FigureSource::kMeasured};
  report.topology.nodes = {near, far};
  report.topology.remarks = {"Node 0 could not be measured: mbind."};
  report.slow.spec = "file:/var/tmp";
  report.slow.describe = "file:/var/tmp (io_uring, O_DIRECT)";
  report.slow.capacity = GiB(75);
  return report;
}

TEST(TiersReportTest, ListsNodesFastestFirstWithTheSourceOfEachFigure) {
  const std::string text = FormatTiersReport(CxlMachine());
  EXPECT_LT(text.find("fast memory"), text.find("slow tier"));
  EXPECT_THAT(text, HasSubstr("20.00 GB/s (sysfs)"));
  EXPECT_THAT(text, HasSubstr("(measured)"));
  EXPECT_THAT(text, HasSubstr("unknown"));
  EXPECT_THAT(text, HasSubstr("Node 0 could not be measured: mbind."));
  EXPECT_THAT(text, HasSubstr("was not measured (thermocline tiers --measure)"));
}

TEST(TiersReportTest, SaysTheSpeedOfTheSlowTierOnceItIsKnown) {
  TiersReport report = CxlMachine();
  report.slow.in = BytesPerSecond(2e9);
  report.slow.out = BytesPerSecond(1.5e9);
  report.slow.mixed = BytesPerSecond(1.8e9);
  report.slow.latency_seconds = 90e-6;
  const std::string text = FormatTiersReport(report);
  EXPECT_THAT(text, HasSubstr("2.00 GB/s in, 1.50 GB/s out, 1.80 GB/s both ways together"));
  const auto json = nlohmann::json::parse(TiersReportToJson(report));
  EXPECT_EQ(json["slow"]["in_bytes_per_second"], 2e9);
  EXPECT_EQ(json["slow"]["capacity_bytes"], int64_t{75} << 30);
}

TEST(TiersReportTest, SaysOfEachTierWhetherItIsByteAddressable) {
  TiersReport report = CxlMachine();
  EXPECT_THAT(FormatTiersReport(report), HasSubstr("75.0 GiB of room, not byte-addressable"));
  auto json = nlohmann::json::parse(TiersReportToJson(report));
  for (const auto& node : json["nodes"]) EXPECT_EQ(node["byte_addressable"], true);
  EXPECT_EQ(json["slow"]["byte_addressable"], false);
  report.slow.addressable = true;
  EXPECT_THAT(FormatTiersReport(report), HasSubstr("75.0 GiB of room, byte-addressable"));
  EXPECT_EQ(nlohmann::json::parse(TiersReportToJson(report))["slow"]["byte_addressable"], true);
  report.slow.describe.clear();
  report.slow.status = absl::NotFoundError("no such node");
  EXPECT_TRUE(nlohmann::json::parse(TiersReportToJson(report))["slow"]["byte_addressable"].is_null());
}

TEST(TiersReportTest, AsJsonWhatIsUnknownIsNull) {
  const auto json = nlohmann::json::parse(TiersReportToJson(CxlMachine()));
  ASSERT_EQ(json["nodes"].size(), 2);
  EXPECT_TRUE(json["nodes"][0]["read_bytes_per_second"].is_null());
  EXPECT_EQ(json["nodes"][1]["read_bytes_per_second"]["value"], 20e9);
  EXPECT_EQ(json["nodes"][1]["read_bytes_per_second"]["source"], "sysfs");
  EXPECT_EQ(json["nodes"][1]["slow"], true);
  EXPECT_TRUE(json["slow"]["in_bytes_per_second"].is_null());
  EXPECT_TRUE(json["slow"]["error"].is_null());
}

}  // namespace
}  // namespace thermocline::cli

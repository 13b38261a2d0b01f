// This checkout, held against its own rules. Every fault is printed as "file:line: what, why, what to do".
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <sstream>

#include "tests/project/lines.h"
#include "tests/project/source_tree.h"

namespace thermocline::project {
namespace {

using ::testing::IsEmpty;

const std::filesystem::path kRoot = THERMOCLINE_SOURCE_DIR;

// The list of src/CMakeLists.txt.
std::vector<std::string> Rooms() {
  std::istringstream words(THERMOCLINE_ROOMS);
  std::vector<std::string> rooms;
  for (std::string room; words >> room;) rooms.push_back(room);
  return rooms;
}

std::string Lines(const Faults& faults) {
  std::string text;
  for (const std::string& fault : faults) text += "\n  " + fault;
  return text;
}

void ExpectNone(const Faults& faults) { EXPECT_THAT(faults, IsEmpty()) << Lines(faults); }

TEST(Checkout, TheWalkSeesTheSources) {
  // Or everything below would pass on an empty folder.
  ASSERT_GT(FilesBelow(kRoot, "src", {".h", ".cc"}).size(), 5u);
  ASSERT_GT(Rooms().size(), 5u);
}

TEST(Checkout, NoRoomIncludesOneThatComesAfterIt) { ExpectNone(LayeringFaults(kRoot, Rooms())); }

TEST(Checkout, NoRoomLinksOneThatComesAfterIt) { ExpectNone(TargetFaults(kRoot, Rooms())); }

TEST(Checkout, TheReadmeOfSrcListsTheRoomsInTheirOrder) { EXPECT_EQ(RoomsOfReadme(kRoot), Rooms()); }

TEST(Checkout, TheReadmeOfSrcSaysWhatEachRoomNeeds) { ExpectNone(ReadmeNeedsFaults(kRoot, Rooms())); }

TEST(Checkout, EveryHeaderOpensWithItsContractAndIsGuarded) { ExpectNone(HeaderFaults(kRoot)); }

TEST(Checkout, NoFileIsLongerThan600Lines) { ExpectNone(LengthFaults(kRoot, 600)); }

TEST(Checkout, EverySkipSaysWhichMachineItNeeds) { ExpectNone(SkipFaults(kRoot)); }

TEST(Documents, LinkAndNameOnlyWhatExists) { ExpectNone(DocumentFaults(kRoot)); }

TEST(Documents, SayWhatEachMessageMeans) { ExpectNone(MessageFaults(kRoot, {"src/runtime", "src/adapters/preload"})); }

TEST(Documents, NameEveryVariable) { ExpectNone(VariableFaults(kRoot)); }

#ifdef THERMOCLINE_COMMAND
TEST(Documents, NameOnlySubcommandsThatTheCommandHas) {
  std::map<std::string, bool> known;
  for (const CommandMention& mention : CommandMentions(kRoot)) {
    if (!known.contains(mention.subcommand)) {
      const std::string help = std::string(THERMOCLINE_COMMAND) + " " + mention.subcommand + " --help >/dev/null 2>&1";
      known[mention.subcommand] = std::system(help.c_str()) == 0;
    }
    EXPECT_TRUE(known[mention.subcommand])
        << mention.place << ": there is no 'thermocline " << mention.subcommand << "'";
  }
}
#endif

}  // namespace
}  // namespace thermocline::project

// That the checks find what they are for, in checkouts made up for it.
#include "tests/project/source_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

namespace thermocline::project {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class SourceTree : public testing::Test {
 protected:
  SourceTree() : root_(testing::TempDir() + "/tree_" + testing::UnitTest::GetInstance()->current_test_info()->name()) {
    std::filesystem::remove_all(root_);
  }
  ~SourceTree() override { std::filesystem::remove_all(root_); }

  void Write(const std::string& path, const std::string& text) {
    std::filesystem::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text;
  }

  const std::vector<std::string> rooms_ = {"base", "tier", "arena"};
  const std::filesystem::path root_;
};

TEST_F(SourceTree, ARoomMayIncludeItselfAndTheRoomsBeforeIt) {
  Write("src/arena/a.cc", "#include \"src/arena/a.h\"\n#include \"src/base/b.h\"\n#include <vector>\n");
  EXPECT_THAT(LayeringFaults(root_, rooms_), IsEmpty());
}

TEST_F(SourceTree, AnUpwardIncludeIsAFault) {
  Write("src/tier/a.cc", "// Why.\n#include \"src/arena/a.h\"\n");
  EXPECT_THAT(LayeringFaults(root_, rooms_),
              ElementsAre(HasSubstr("src/tier/a.cc:2: tier may not include src/arena/a.h")));
}

TEST_F(SourceTree, AnUpwardIncludeInASubfolderIsAFault) {
  Write("src/tier/uring/a.h", "#  include <src/arena/a.h>\n");
  EXPECT_THAT(LayeringFaults(root_, rooms_), ElementsAre(HasSubstr("src/tier/uring/a.h:1")));
}

TEST_F(SourceTree, AFolderThatIsNoRoomIsAFault) {
  Write("src/util/a.h", "");
  EXPECT_THAT(LayeringFaults(root_, rooms_), ElementsAre(HasSubstr("src/util/a.h:1: lies in no room")));
}

TEST_F(SourceTree, SourcesIncludeNothingOfTheTests) {
  Write("src/tier/a.cc", "#include \"tests/tier/fake.h\"\n");
  EXPECT_THAT(LayeringFaults(root_, rooms_), ElementsAre(HasSubstr("src/ may not include tests/tier/fake.h")));
}

TEST_F(SourceTree, AnIncludeByBareNameIsAFault) {
  Write("src/tier/a.h", "");
  Write("src/tier/a.cc", "#include \"a.h\"\n");
  EXPECT_THAT(LayeringFaults(root_, rooms_), ElementsAre(HasSubstr("src/tier/a.cc:1: write the whole path")));
}

TEST_F(SourceTree, PublicHeadersAndNumberedExamplesIncludeNoInternals) {
  Write("include/thermocline/x.h", "#include \"src/base/units.h\"\n");
  Write("examples/1_hooks/main.c", "#include \"src/base/units.h\"\n");
  EXPECT_THAT(LayeringFaults(root_, rooms_),
              ElementsAre(HasSubstr("include/thermocline/x.h:1"), HasSubstr("examples/1_hooks/main.c:1")));
}

TEST_F(SourceTree, ATargetThatLinksARoomAboveItIsAFault) {
  Write("src/tier/CMakeLists.txt", "thermocline_room(tier\n  SOURCES a.cc\n  ROOMS base\n        arena)\n");
  EXPECT_THAT(TargetFaults(root_, rooms_), ElementsAre(HasSubstr("tier links the room arena")));
}

TEST_F(SourceTree, AHeaderNeedsAContractAndAGuard) {
  Write("src/tier/a.h", "// A contract.\n#ifndef THERMOCLINE_TIER_A_H_\n");
  Write("src/tier/b.h", "#ifndef THERMOCLINE_TIER_B_H_\n");
  Write("tests/tier/c.h", "// A contract.\n#pragma once\n");
  EXPECT_THAT(HeaderFaults(root_), ElementsAre(HasSubstr("src/tier/b.h:1: a header opens"),
                                               HasSubstr("tests/tier/c.h:1: has no include guard")));
}

TEST_F(SourceTree, ALongFileIsAFaultAndAFixtureIsNot) {
  Write("src/tier/a.cc", "1\n2\n3\n4\n");
  Write("src/tier/b.cc", "1\n2\n3\n");
  Write("tests/fixtures/long.txt", "1\n2\n3\n4\n");
  EXPECT_THAT(LengthFaults(root_, 3), ElementsAre(HasSubstr("src/tier/a.cc:4")));
}

TEST_F(SourceTree, ASkipThatDoesNotSayWhatItNeedsIsAFault) {
  const std::string skip =
      "  if (!there) GTEST_SKIP"
      "() << ";
  Write("tests/tier/a_test.cc", skip + "\"not here\";\n" + skip + "\"needs a second memory node\";\n" + skip +
                                    "status;\n" + skip + "kNeeds;\n");
  EXPECT_THAT(SkipFaults(root_), ElementsAre(HasSubstr("a_test.cc:1"), HasSubstr("a_test.cc:3")));
}

TEST_F(SourceTree, ALinkThatLeadsNowhereIsAFault) {
  Write("docs/a.md", "See [b](b.md#part), [web](https://example.org/x), [c](../src/c.md).\n");
  Write("docs/b.md", "");
  EXPECT_THAT(DocumentFaults(root_), ElementsAre(HasSubstr("docs/a.md:1: the link to ../src/c.md")));
}

TEST_F(SourceTree, ALambdaInACodeBlockIsNoLink) {
  Write("a.md", "```cpp\nRun([](int x) { return x; });\n```\n");
  EXPECT_THAT(DocumentFaults(root_), IsEmpty());
}

TEST_F(SourceTree, ANamedFileThatDoesNotExistIsAFault) {
  Write("scripts/test", "");
  Write("a.md",
        "Run `scripts/test` or scripts/gone.\n\n    $ scripts/missing --steps 2\nAny `bench/*` or docs/<name>.\n");
  EXPECT_THAT(DocumentFaults(root_),
              ElementsAre(HasSubstr("a.md:1: names scripts/gone"), HasSubstr("a.md:3: names scripts/missing")));
}

TEST_F(SourceTree, AMessageThatTheDocumentsDoNotExplainIsAFault) {
  Write("docs/troubleshooting.md", "| `the budget of SIZE is below the floor, SIZE` | raise it |\n");
  Write("src/runtime/a.cc",
        "Say(\"thermocline: the budget of %s is below \"\n    \"the floor, %s, set by\", a);\n"
        "Say(\"thermocline: %s\", b);\n"
        "Complain(\"the budget of \\\"%s\\\" is a lie\");\n");
  EXPECT_THAT(MessageFaults(root_, {"src/runtime"}), ElementsAre(HasSubstr("src/runtime/a.cc:4: ")));
}

TEST_F(SourceTree, AVariableThatTheDocumentsDoNotNameIsAFault) {
  Write("docs/tuning.md", "| `THERMOCLINE_FAST` | `THERMOCLINE_SLOWER=1` |\n");
  Write("src/runtime/a.cc", "Get(\"THERMOCLINE_FAST\");\nGet(\"THERMOCLINE_SLOW\");\n");
  EXPECT_THAT(VariableFaults(root_), ElementsAre(HasSubstr("src/runtime/a.cc:2: ")));
}

TEST_F(SourceTree, SubcommandsAreFoundInSpansAndBlocksAndNotInProse) {
  Write("a.md",
        "thermocline is a layer. Run `thermocline doctor`.\n\n    thermocline tiers --json\n```\nbuild/bin/thermocline "
        "run -- x\n```\n");
  std::vector<std::string> names;
  for (const CommandMention& mention : CommandMentions(root_)) names.push_back(mention.subcommand);
  EXPECT_THAT(names, ElementsAre("doctor", "tiers", "run"));
}

TEST_F(SourceTree, TheReadmesRoomsAreItsTablesFirstColumn) {
  Write("src/README.md", "| folder | job |\n|---|---|\n| `base/` | units |\n| `tier/` | uses `base` |\n");
  EXPECT_THAT(RoomsOfReadme(root_), ElementsAre("base", "tier"));
}

TEST_F(SourceTree, WhatTheReadmeSaysOfARoomsNeedsIsWhatItIncludes) {
  const std::string include = "#include \"src/";
  Write("src/tier/a.cc", include + "base/b.h\"\n");
  Write("src/arena/a.cc", include + "arena/a.h\"\n" + include + "tier/a.h\"\n");
  const std::string table = "| folder | job | includes |\n|---|---|---|\n| `base/` | units | |\n";
  Write("src/README.md", table + "| `tier/` | slow | |\n| `arena/` | fast, of `base` | `x/` and `tier` |\n");
  EXPECT_THAT(ReadmeNeedsFaults(root_, rooms_), IsEmpty());
  Write("src/README.md", table + "| `tier/` | slow | `arena` |\n| `arena/` | fast, of `base` | |\n");
  EXPECT_THAT(ReadmeNeedsFaults(root_, rooms_),
              ElementsAre(HasSubstr("src/README.md:4: no file of tier includes arena"),
                          HasSubstr("src/README.md:5: arena needs tier too, for src/arena/a.cc")));
}

TEST_F(SourceTree, WhatGitIgnoresIsNotLookedAt) {
  Write("build/a.md", "[x](gone)\n");
  Write(".deps/torch/a.md", "[x](gone)\n");
  EXPECT_THAT(DocumentFaults(root_), IsEmpty());
}

}  // namespace
}  // namespace thermocline::project

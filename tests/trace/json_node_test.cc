#include "src/trace/json_node.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "src/trace/json_object_reader.h"

namespace thermocline::trace {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string ErrorOf(absl::string_view text) {
  const JsonSource source{"f", text};
  return std::string(ParseJson(source).status().message());
}

TEST(JsonNode, KnowsWhereEachValueStands) {
  const JsonSource source{"f", R"({ "a" : [1, -2.5e3 ,"x,\"y" ], "b": {"c" :null}, "d":true })"};
  const auto root = ParseJson(source);
  ASSERT_TRUE(root.ok()) << root.status();
  ASSERT_EQ(root->children.size(), 3);
  const JsonNode& a = root->children[0];
  EXPECT_EQ(source.Slice(a), R"([1, -2.5e3 ,"x,\"y" ])");
  EXPECT_EQ(source.Slice(a.children[0]), "1");
  EXPECT_EQ(source.Slice(a.children[1]), "-2.5e3");
  EXPECT_EQ(source.Slice(a.children[2]), R"("x,\"y")");
  EXPECT_EQ(a.children[2].text, "x,\"y");
  EXPECT_EQ(source.Slice(root->children[1]), R"({"c" :null})");
  EXPECT_EQ(source.Slice(root->children[1].children[0]), "null");
  EXPECT_EQ(source.Slice(root->children[2]), "true");
}

TEST(JsonNode, HandsOverTheElementsOfStreamedArraysOnly) {
  const JsonSource source{"f", R"({"x":[1,[2]],"s":[{"k":3},4,[5]],"y":{"s":[6]}})"};
  std::vector<std::string> seen;
  const JsonParseOptions options{.streamed = {"s"}};
  const auto root = ParseJson(source, options, [&](absl::string_view member, int64_t index, const JsonNode& node) {
    EXPECT_EQ(member, "s");
    EXPECT_EQ(index, seen.size());
    seen.emplace_back(source.Slice(node));
    return absl::OkStatus();
  });
  ASSERT_TRUE(root.ok()) << root.status();
  EXPECT_THAT(seen, ElementsAre(R"({"k":3})", "4", "[5]"));
  EXPECT_EQ(root->children[0].children.size(), 2);
  EXPECT_TRUE(root->children[1].children.empty());
}

TEST(JsonNode, RefusesWhatIsNotJsonWithLineAndColumn) {
  EXPECT_THAT(ErrorOf("{\n \"a\": nope}"), HasSubstr("f:2:8: not JSON"));
  EXPECT_THAT(ErrorOf("{\"a\": NaN}"), HasSubstr("f:1:7"));
  EXPECT_THAT(ErrorOf("{\"a\": 1e999}"), HasSubstr("f:1:12: not JSON: number overflow"));
  EXPECT_THAT(ErrorOf(""), HasSubstr("f:1:1"));
  EXPECT_THAT(ErrorOf("{\"a\":1"), HasSubstr("f:1:"));
  EXPECT_THAT(ErrorOf("{} {}"), HasSubstr("f:1:4"));
  EXPECT_THAT(ErrorOf("{\"\xff\":1}"), HasSubstr("UTF-8"));
}

TEST(JsonNode, RefusesDepthAndBreadthThatWouldFillMemory) {
  EXPECT_THAT(ErrorOf(std::string(1'000'000, '[')), HasSubstr("nested deeper than 64"));
  const JsonSource source{"f", "[1,2,3,4]"};
  const JsonParseOptions options{.max_values = 4};
  const auto root =
      ParseJson(source, options, [](absl::string_view, int64_t, const JsonNode&) { return absl::OkStatus(); });
  EXPECT_THAT(std::string(root.status().message()), HasSubstr("more than 4 values"));
}

class ObjectReader : public ::testing::Test {
 protected:
  // Reads "n" as an integer from 0 to 9 out of the text.
  absl::Status Read(absl::string_view text) {
    const JsonSource source{"f", text};
    const auto root = ParseJson(source);
    if (!root.ok()) return root.status();
    JsonObjectReader reader(source, *root, "it");
    reader.Integer("n", Presence::kRequired, 0, 9, &n_);
    return reader.Finish(&extras_);
  }
  int64_t n_ = -1;
  ExtraMembers extras_;
};

TEST_F(ObjectReader, KeepsTheTextOfUnknownMembers) {
  ASSERT_TRUE(Read(R"({"x": [1, {"y": 2.50}], "n": 3.0, "z": "\u00e9"})").ok());
  EXPECT_EQ(n_, 3);
  EXPECT_THAT(extras_, ElementsAre(std::pair<std::string, std::string>("x", R"([1, {"y": 2.50}])"),
                                   std::pair<std::string, std::string>("z", R"("\u00e9")")));
}

TEST_F(ObjectReader, RefusesWrongMembersWithTheReason) {
  EXPECT_THAT(Read(R"({"n": 10})").message(),
              HasSubstr("f:1:7: it has 10 in \"n\"; it must be an integer from 0 to 9"));
  EXPECT_THAT(Read(R"({"n": 1.5})").message(), HasSubstr("1.5"));
  EXPECT_THAT(Read(R"({"n": -1})").message(), HasSubstr("-1"));
  EXPECT_THAT(Read(R"({"n": 18446744073709551617})").message(), HasSubstr("18446744073709551617"));
  EXPECT_THAT(Read(R"({"n": "3"})").message(), HasSubstr("a string"));
  EXPECT_THAT(Read(R"({"n": 3, "n": 3})").message(), HasSubstr("has \"n\" twice"));
  EXPECT_THAT(Read("{}").message(), HasSubstr("has no \"n\""));
  EXPECT_THAT(Read("[3]").message(), HasSubstr("must be an object"));
}

}  // namespace
}  // namespace thermocline::trace

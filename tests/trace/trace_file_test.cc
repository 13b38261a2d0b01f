#include "src/trace/trace_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"

namespace thermocline::trace {
namespace {

using ::testing::HasSubstr;
using ::testing::SizeIs;

// A trace with a weight, an activation and a tensor that lives over the end of the step.
constexpr char kTrace[] = R"({"version": 1, "model": "net \"é\"", "batch": 64, "page_bytes": 4096,
 "peak_bytes": 3145728, "importer": {"name": "x", "v": [1, 2.50]},
 "layers": [{"name": "conv1", "seconds": 0.012, "floor_bytes": 1048576, "flops": 1.5e10, "bytes": 2.1e8},
            {"name": "</script>", "seconds": 0.1, "color": "red"},
            {"name": "", "seconds": 0}],
 "tensors": [{"id": 0, "bytes": 1048576, "birth_layer": -1, "death_layer": -1, "reads": [0, 2], "writes": [2]},
             {"id": 7, "bytes": 1048576, "birth_layer": 0, "death_layer": 1, "reads": [1], "writes": [0],
              "overwrites": [0], "counts": {"1": 812}, "ordinal": 0, "birth_event": 3, "death_event": 9, "note": null},
             {"id": 8, "bytes": 1048576, "birth_layer": 2, "death_layer": 0, "reads": [0], "writes": [2],
              "fixed_offset": 2097152}]})";

TraceFile Parsed() {
  auto trace = ParseTrace(kTrace, "t.json");
  EXPECT_TRUE(trace.ok()) << trace.status();
  return trace.ok() ? *trace : TraceFile();
}

// The message for the trace with one piece of text replaced.
std::string ErrorAfter(absl::string_view from, absl::string_view to) {
  const std::string text = absl::StrReplaceAll(kTrace, {{from, to}});
  EXPECT_NE(text, kTrace) << "nothing was replaced";
  const auto trace = ParseTrace(text, "t.json");
  EXPECT_FALSE(trace.ok()) << to;
  return std::string(trace.status().message());
}

TEST(TraceFile, IsReadIntoAProfile) {
  const TraceFile trace = Parsed();
  const profile::Profile& profile = trace.profile;
  EXPECT_EQ(profile.model, "net \"é\"");
  EXPECT_EQ(profile.batch, 64);
  EXPECT_EQ(profile.peak_bytes, MiB(3));
  ASSERT_THAT(profile.layers, SizeIs(3));
  EXPECT_EQ(profile.layers[0].floor, MiB(1));
  EXPECT_EQ(profile.layers[0].flops, 1.5e10);
  EXPECT_EQ(profile.layers[1].name, "</script>");
  ASSERT_THAT(profile.tensors, SizeIs(3));
  EXPECT_TRUE(profile.tensors[0].persistent());
  const profile::Tensor& activation = profile.tensors[1];
  EXPECT_EQ(activation.id, TensorId(7));
  EXPECT_EQ(activation.birth_event, 3);
  ASSERT_THAT(activation.accesses, SizeIs(2));
  EXPECT_EQ(activation.accesses[0], (profile::Access{.layer = LayerId(0), .write = true, .overwrite = true}));
  EXPECT_EQ(activation.accesses[1], (profile::Access{.layer = LayerId(1), .read = true, .pages = 812}));
  EXPECT_EQ(profile.tensors[2].birth, LayerId(2));
  EXPECT_EQ(profile.tensors[2].death, LayerId(0));
  EXPECT_EQ(profile.tensors[2].fixed_offset, 2097152);
}

TEST(TraceFile, ComesBackFromTextAsItWasWithItsUnknownMembers) {
  const TraceFile trace = Parsed();
  const auto text = FormatTrace(trace);
  ASSERT_TRUE(text.ok()) << text.status();
  EXPECT_THAT(*text, HasSubstr(R"("importer":{"name": "x", "v": [1, 2.50]})"));
  EXPECT_THAT(*text, HasSubstr(R"("color":"red")"));
  EXPECT_THAT(*text, HasSubstr(R"("note":null)"));
  const auto again = ParseTrace(*text, "again");
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->profile, trace.profile);
  EXPECT_EQ(again->extras, trace.extras);
  EXPECT_EQ(again->layer_extras, trace.layer_extras);
  EXPECT_EQ(again->tensor_extras, trace.tensor_extras);
  EXPECT_EQ(*FormatTrace(*again), *text);
}

TEST(TraceFile, ComesBackFromEveryKindOfFile) {
  for (const char* suffix : {".json", ".json.gz", ".json.zst"}) {
    const std::string path = absl::StrCat(::testing::TempDir(), "/trace_", getpid(), suffix);
    ASSERT_TRUE(WriteTrace(path, Parsed()).ok());
    const auto trace = ReadTrace(path);
    ASSERT_TRUE(trace.ok()) << trace.status();
    EXPECT_EQ(trace->profile, Parsed().profile);
    unlink(path.c_str());
  }
}

TEST(TraceFile, RefusesWrongMembersWithLineAndReason) {
  EXPECT_THAT(ErrorAfter("\"version\": 1", "\"version\": 2"), HasSubstr("t.json:1:13: the trace has 2 in \"version\""));
  EXPECT_THAT(ErrorAfter("\"version\": 1,", ""), HasSubstr("the trace has no \"version\""));
  EXPECT_THAT(ErrorAfter("\"seconds\": 0.1", "\"seconds\": -0.1"), HasSubstr("t.json:4:46: layer 1 has -0.1"));
  EXPECT_THAT(ErrorAfter("\"seconds\": 0.1", "\"seconds\": NaN"), HasSubstr("t.json:4:"));
  EXPECT_THAT(ErrorAfter("\"bytes\": 2.1e8", "\"bytes\": \"many\""), HasSubstr("layer 0 has a string in \"bytes\""));
  EXPECT_THAT(ErrorAfter("\"id\": 7, \"bytes\": 1048576", "\"id\": 7, \"bytes\": 9223372036854775808"),
              HasSubstr("t.json:7:33: tensor 7 has 9223372036854775808 in \"bytes\""));
  EXPECT_THAT(ErrorAfter("\"id\": 7", "\"id\": 0"), HasSubstr("tensor 0 is there twice"));
  EXPECT_THAT(ErrorAfter("\"writes\": [2]}", "\"writes\": [3]}"), HasSubstr("tensor 0 is touched in layer 3"));
  EXPECT_THAT(ErrorAfter("\"reads\": [1]", "\"reads\": [2]"), HasSubstr("layer 1, which is neither"));
  EXPECT_THAT(ErrorAfter("\"reads\": [1]", "\"reads\": [1,2]"),
              HasSubstr("t.json:7:14: tensor 7 is touched in layer 2"));
  EXPECT_THAT(ErrorAfter("\"overwrites\": [0]", "\"overwrites\": [1]"), HasSubstr("not in \"writes\""));
  EXPECT_THAT(ErrorAfter("{\"1\": 812}", "{\"one\": 812}"), HasSubstr("must be the number of a layer"));
  EXPECT_THAT(ErrorAfter("{\"1\": 812}", "{\"1\": -1}"), HasSubstr("tensor 7 has -1 in \"counts\""));
  EXPECT_THAT(ErrorAfter("\"layers\"", "\"lawyers\""), HasSubstr("has no \"layers\""));
  EXPECT_THAT(ErrorAfter("\"peak_bytes\": 3145728", "\"peak_bytes\": []"), HasSubstr("t.json:2:16"));
}

TEST(TraceFile, RefusesATruncatedFileAtEveryLength) {
  const absl::string_view text(kTrace);
  for (size_t length = 0; length < text.size(); ++length) {
    EXPECT_FALSE(ParseTrace(text.substr(0, length), "t.json").ok()) << length;
  }
}

TEST(TraceFile, RefusesHostileNestingInUnknownMembers) {
  const std::string deep = std::string(100'000, '[') + std::string(100'000, ']');
  EXPECT_THAT(ErrorAfter("\"red\"", deep), HasSubstr("nested deeper"));
}

TEST(TraceFile, IsNotWrittenFromAProfileThatMakesNoSense) {
  TraceFile trace = Parsed();
  trace.profile.layers[0].seconds = -1;
  EXPECT_FALSE(FormatTrace(trace).ok());
}

}  // namespace
}  // namespace thermocline::trace

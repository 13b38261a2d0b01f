#include "src/trace/compressed_file.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <filesystem>
#include <random>

namespace thermocline::trace {
namespace {

using ::testing::HasSubstr;

std::string Noise(size_t size) {
  std::mt19937 random(7);
  std::string text(size, '\0');
  for (char& c : text) c = static_cast<char>(random());
  return text;
}

std::string UnpackError(const std::string& packed, const UnpackLimits& limits = {}) {
  const auto text = Unpack(packed, "f", limits);
  EXPECT_FALSE(text.ok());
  return std::string(text.status().message());
}

class Packed : public ::testing::TestWithParam<Compression> {};

TEST_P(Packed, ComesBackAsItWas) {
  for (const std::string& text : {std::string(), std::string("{}"), Noise(3'000'000), std::string(5'000'000, 'a')}) {
    const auto packed = Pack(text, GetParam());
    ASSERT_TRUE(packed.ok());
    const auto unpacked = Unpack(*packed, "f", {});
    ASSERT_TRUE(unpacked.ok()) << unpacked.status();
    EXPECT_EQ(*unpacked, text);
  }
}

TEST_P(Packed, SeveralInOneFileAreOneText) {
  const auto unpacked = Unpack(*Pack("ab", GetParam()) + *Pack("cd", GetParam()), "f", {});
  ASSERT_TRUE(unpacked.ok()) << unpacked.status();
  EXPECT_EQ(*unpacked, "abcd");
}

TEST_P(Packed, IsRefusedWhenItEndsEarlyOrIsDamaged) {
  const std::string packed = *Pack(Noise(100'000), GetParam());
  EXPECT_THAT(UnpackError(packed.substr(0, packed.size() / 2)), HasSubstr("it ends early"));
  EXPECT_THAT(UnpackError(packed.substr(0, packed.size() - 1)), HasSubstr("it ends early"));
  EXPECT_THAT(UnpackError(packed + "trailing"), HasSubstr("damaged"));
  std::string damaged = packed;
  damaged[6] ^= 0x7f;
  damaged[packed.size() / 2] ^= 0x55;
  if (GetParam() == Compression::kGzip) {
    EXPECT_THAT(UnpackError(damaged), HasSubstr("f: the gzip data is damaged"));
  }
}

TEST_P(Packed, ABombIsRefusedBeforeItFillsMemory) {
  const std::string bomb = *Pack(std::string(MiB(8).count(), '\0'), GetParam());
  EXPECT_THAT(UnpackError(bomb, {.most = MiB(1)}), HasSubstr("more than 1.00 MiB unpacked"));
  EXPECT_THAT(UnpackError(bomb, {.ratio_from = MiB(1)}), HasSubstr("300 times"));
}

INSTANTIATE_TEST_SUITE_P(Formats, Packed, ::testing::Values(Compression::kGzip, Compression::kZstd));

TEST(PackedFile, IsPackedByItsNameAndReadByItsContent) {
  const std::string folder = ::testing::TempDir() + "/packed_" + std::to_string(getpid());
  std::filesystem::create_directories(folder);
  const std::string text(10'000, 'x');
  for (const char* name : {"a.json", "a.json.gz", "a.json.zst"}) {
    const std::string path = folder + "/" + name;
    ASSERT_TRUE(WritePackedFile(path, text).ok());
    EXPECT_EQ(std::filesystem::file_size(path) < 1000, CompressionForName(name) != Compression::kNone);
    std::filesystem::rename(path, folder + "/renamed");
    EXPECT_EQ(*ReadPackedFile(folder + "/renamed"), text);
  }
  EXPECT_THAT(ReadPackedFile(folder + "/none").status().message(), HasSubstr("/none: open failed"));
  EXPECT_THAT(ReadPackedFile(folder).status().message(), HasSubstr("neither a file nor a pipe"));
  EXPECT_THAT(ReadPackedFile("/dev/zero").status().message(), HasSubstr("neither a file nor a pipe"));
  EXPECT_FALSE(ReadPackedFile(folder + "/renamed", {.most = Bytes(10)}).ok());
  std::filesystem::remove_all(folder);
}

}  // namespace
}  // namespace thermocline::trace

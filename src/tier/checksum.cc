#include "src/tier/checksum.h"

#include <array>
#include <cstring>

#ifdef __x86_64__
#include <nmmintrin.h>
#endif

namespace thermocline::tier {
namespace {

constexpr uint32_t kPolynomial = 0x82f63b78;  // reversed

// kTables[k][b]: what byte b contributes when k more bytes follow it (slicing by eight).
using Tables = std::array<std::array<uint32_t, 256>, 8>;
constexpr Tables MakeTables() {
  Tables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? kPolynomial : 0);
    tables[0][byte] = crc;
  }
  for (int k = 1; k < 8; ++k) {
    for (int byte = 0; byte < 256; ++byte) {
      tables[k][byte] = tables[k - 1][byte] >> 8 ^ tables[0][tables[k - 1][byte] & 0xff];
    }
  }
  return tables;
}
constexpr Tables kTables = MakeTables();

#ifdef __x86_64__
__attribute__((target("sse4.2"))) uint32_t Crc32cHardware(const unsigned char* at, size_t bytes) {
  uint64_t crc = 0xffffffff;
  for (; bytes >= 8; at += 8, bytes -= 8) {
    uint64_t word;
    std::memcpy(&word, at, 8);
    crc = _mm_crc32_u64(crc, word);
  }
  uint32_t rest = static_cast<uint32_t>(crc);
  for (; bytes > 0; ++at, --bytes) rest = _mm_crc32_u8(rest, *at);
  return ~rest;
}
#endif

}  // namespace

uint32_t Crc32cPortable(const void* memory, size_t bytes) {
  const unsigned char* at = static_cast<const unsigned char*>(memory);
  uint32_t crc = 0xffffffff;
  for (; bytes >= 8; at += 8, bytes -= 8) {
    uint32_t next = 0;
    for (int i = 0; i < 8; ++i) {
      const uint32_t byte = i < 4 ? (at[i] ^ (crc >> (8 * i) & 0xff)) : at[i];
      next ^= kTables[7 - i][byte];
    }
    crc = next;
  }
  for (; bytes > 0; ++at, --bytes) crc = crc >> 8 ^ kTables[0][(crc ^ *at) & 0xff];
  return ~crc;
}

uint32_t Crc32c(const void* memory, size_t bytes) {
#ifdef __x86_64__
  if (__builtin_cpu_supports("sse4.2")) return Crc32cHardware(static_cast<const unsigned char*>(memory), bytes);
#endif
  return Crc32cPortable(memory, bytes);
}

}  // namespace thermocline::tier

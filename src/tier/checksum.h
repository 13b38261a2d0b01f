// Crc32c: the checksum of a granule, by the processor's own instruction where it has one.
//
// Thread safety: a pure function, async-signal-safe.
#ifndef THERMOCLINE_TIER_CHECKSUM_H_
#define THERMOCLINE_TIER_CHECKSUM_H_

#include <cstddef>
#include <cstdint>

namespace thermocline::tier {

// The Castagnoli CRC (RFC 3720 B.4): "123456789" gives 0xe3069283.
uint32_t Crc32c(const void* memory, size_t bytes);

// The same without the instruction. For other processors, and for the tests to compare.
uint32_t Crc32cPortable(const void* memory, size_t bytes);

}  // namespace thermocline::tier

#endif  // THERMOCLINE_TIER_CHECKSUM_H_

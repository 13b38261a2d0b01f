// The arena's three ways of giving out memory: the allocator that tensors come from, and the slabs and extents under
// it.
#include <cstdlib>
#include <unordered_map>

#include "src/arena/allocator.h"
#include "src/arena/extent_allocator.h"
#include "src/arena/slab_allocator.h"
#include "src/migrate/mover.h"
#include "tests/conformance/allocator_conformance.h"
#include "tests/tier/held_tier.h"

namespace thermocline::arena {
namespace {

constexpr Bytes kGranule = KiB(64);
constexpr int kFrames = 16;
// What a caller makes of the arena's plain "no".
constexpr char kRefusal[] = "foreign, or freed before";

class ArenaUnderTest final : public AllocatorUnderTest {
 public:
  ArenaUnderTest() : tier_(kGranule, 512) {
    ResidencyOptions options;
    options.granule_bytes = kGranule;
    options.address_space = MiB(256);
    options.frames = options.most_frames = kFrames;
    residency_ = *Residency::Create(options, os::RealMemory(), tier_, MonotonicClock());
    allocator_ = *Allocator::Create(*residency_);
    mover_ = std::make_unique<migrate::Mover>(*residency_, tier_, MonotonicClock(), migrate::MoverOptions{});
    mover_->Start();
  }
  ~ArenaUnderTest() override { mover_->Stop(); }

  void* Allocate(size_t bytes) override {
    // Beyond what the type for sizes holds: the callers of the arena refuse it before.
    if (bytes > (size_t{1} << 56)) return nullptr;
    return allocator_->Allocate(Bytes(static_cast<int64_t>(bytes)), Bytes(64), false, nullptr);
  }
  void Free(void* pointer, size_t) override { EXPECT_EQ(allocator_->Free(pointer, nullptr), pointer != nullptr); }
  size_t UsableBytes(void* pointer, size_t) override { return allocator_->UsableBytes(pointer).count(); }
  std::string FreeWrongly(void* pointer) override { return allocator_->Free(pointer, nullptr) ? "" : kRefusal; }
  size_t budget() const override { return kFrames * kGranule.count(); }
  size_t peak_fast_bytes() const override { return residency_->Stats().peak_frames * kGranule.count(); }

 private:
  tier::HeldTier tier_;
  std::unique_ptr<Residency> residency_;
  std::unique_ptr<Allocator> allocator_;
  std::unique_ptr<migrate::Mover> mover_;
};

// Memory for what deals in offsets.
class Ground {
 public:
  explicit Ground(size_t bytes) : memory_(static_cast<char*>(std::aligned_alloc(4096, bytes)), &std::free) {}
  void* At(int64_t offset) const { return memory_.get() + offset; }
  int64_t OffsetOf(const void* pointer) const { return static_cast<const char*>(pointer) - memory_.get(); }

 private:
  std::unique_ptr<char, void (*)(void*)> memory_;
};

class SlabsUnderTest final : public AllocatorUnderTest {
 public:
  SlabsUnderTest() : ground_(kSpans * SlabAllocator::kSpanBytes) {
    for (int64_t i = kSpans; i-- > 0;) free_spans_.push_back(i * SlabAllocator::kSpanBytes);
  }

  void* Allocate(size_t bytes) override {
    if (bytes > largest()) return nullptr;
    const int size_class = SlabAllocator::ClassOf(std::max<int64_t>(1, static_cast<int64_t>(bytes)));
    int64_t offset = slabs_.Allocate(size_class);
    if (offset < 0) {
      if (free_spans_.empty()) return nullptr;
      const int64_t at = free_spans_.back();
      free_spans_.pop_back();
      spans_[at] = slabs_.AddSpan(size_class, at);
      offset = slabs_.Allocate(size_class);
    }
    return ground_.At(offset);
  }
  void Free(void* pointer, size_t) override {
    if (pointer == nullptr) return;
    EXPECT_EQ(FreeWrongly(pointer), "");
  }
  size_t UsableBytes(void* pointer, size_t) override {
    const int64_t offset = ground_.OffsetOf(pointer);
    return slabs_.ObjectBytes(SpanOf(offset), offset);
  }
  std::string FreeWrongly(void* pointer) override {
    const int64_t offset = ground_.OffsetOf(pointer);
    const uint32_t span = SpanOf(offset);
    bool empty = false;
    if (!slabs_.Free(span, offset, &empty)) return kRefusal;
    if (empty) {
      const int64_t at = slabs_.RemoveSpan(span);
      spans_.erase(at);
      free_spans_.push_back(at);
    }
    return "";
  }
  size_t largest() const override { return SlabAllocator::kLargestObject; }

 private:
  static constexpr int64_t kSpans = 128;

  uint32_t SpanOf(int64_t offset) const {
    const auto found = spans_.find(offset / SlabAllocator::kSpanBytes * SlabAllocator::kSpanBytes);
    return found == spans_.end() ? SlabAllocator::kNoSpan : found->second;
  }

  Ground ground_;
  SlabAllocator slabs_;
  std::vector<int64_t> free_spans_;
  std::unordered_map<int64_t, uint32_t> spans_;  // by offset
};

class ExtentsUnderTest final : public AllocatorUnderTest {
 public:
  ExtentsUnderTest() : ground_(kBytes), extents_(0, kBytes) {}

  void* Allocate(size_t bytes) override {
    if (bytes > kBytes) return nullptr;
    const int64_t offset = extents_.Allocate(Rounded(bytes));
    return offset < 0 ? nullptr : ground_.At(offset);
  }
  void Free(void* pointer, size_t bytes) override {
    if (pointer != nullptr) extents_.Free(ground_.OffsetOf(pointer), Rounded(bytes));
  }
  size_t UsableBytes(void*, size_t bytes) override { return Rounded(bytes); }

 private:
  static constexpr size_t kBytes = 32 << 20;
  static int64_t Rounded(size_t bytes) {
    const auto pages =
        static_cast<int64_t>((std::max<size_t>(1, bytes) + ExtentAllocator::kPage - 1)) / ExtentAllocator::kPage;
    return pages * ExtentAllocator::kPage;
  }

  Ground ground_;
  ExtentAllocator extents_;
};

template <typename Under>
AllocatorKind Kind(const char* name) {
  return {name, [] { return std::make_unique<Under>(); }};
}

}  // namespace
}  // namespace thermocline::arena

namespace thermocline {

const AllocatorKind kArena = arena::Kind<arena::ArenaUnderTest>("Arena");
const AllocatorKind kSlabs = arena::Kind<arena::SlabsUnderTest>("Slabs");
const AllocatorKind kExtents = arena::Kind<arena::ExtentsUnderTest>("Extents");

INSTANTIATE_TEST_SUITE_P(Arena, AllocatorConformance, ::testing::Values(kArena, kSlabs, kExtents), AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Arena, ThreadedAllocatorConformance, ::testing::Values(kArena), AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Arena, RefusingAllocatorConformance, ::testing::Values(kArena, kSlabs), AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Arena, ForeignFreeConformance, ::testing::Values(kArena), AllocatorKindName);
INSTANTIATE_TEST_SUITE_P(Arena, BudgetedAllocatorConformance, ::testing::Values(kArena), AllocatorKindName);

}  // namespace thermocline

#include "src/plan/layout.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <tuple>

#include "src/plan/pack.h"
#include "src/profile/lifetime.h"

namespace thermocline::plan {
namespace {

using profile::Lifetime;
using profile::Tensor;

constexpr Bytes kAlignment = KiB(4);
// Above this many blocks a second order is not tried: packing is quadratic.
constexpr size_t kManyBlocks = 4000;

Region RegionOf(const Tensor& tensor, ShortLived short_lived) {
  if (tensor.fixed_offset >= 0) return Region::kFixed;
  if (short_lived == ShortLived::kAmong) return Region::kMigratable;
  const bool one_layer = tensor.birth != kNoLayer && tensor.birth == tensor.death;
  return one_layer ? Region::kShortLived : Region::kMigratable;
}

// Tensors that are laid side by side, as one block.
struct Bundle {
  std::vector<int32_t> tensors;
  Block block;
  LayerId birth = kNoLayer;
};

Lifetime Hull(const Lifetime& a, const Lifetime& b) {
  if ((a.begin2 >= 0) != (b.begin2 >= 0)) return {0, std::max(a.end, b.end)};  // never: same layers, same shape
  Lifetime hull{std::min(a.begin, b.begin), std::max(a.end, b.end), a.begin2, std::max(a.end2, b.end2)};
  return hull;
}

// Layers in which a tensor is touched, as a key: small tensors with equal keys can share granules.
std::vector<int32_t> Pattern(const Tensor& tensor) {
  std::vector<int32_t> pattern = {tensor.birth.value(), tensor.death.value()};
  for (const profile::Access& access : tensor.accesses) pattern.push_back(access.layer.value());
  return pattern;
}

// One bundle for each large tensor, and one for small ones of the same life and use, as far as they fill a granule.
std::vector<Bundle> MakeBundles(const profile::Profile& profile, const std::vector<Lifetime>& lives,
                                const std::vector<int32_t>& members, Bytes granule, bool bundle_small) {
  struct Keyed {
    std::vector<int32_t> pattern;
    int32_t tensor;
  };
  std::vector<Keyed> small;
  std::vector<Bundle> bundles;
  const auto add = [&](Bundle* bundle, int32_t i) {
    const Tensor& tensor = profile.tensors[i];
    const int64_t bytes = RoundUp(tensor.bytes, kAlignment).count();
    bundle->block.life = bundle->tensors.empty() ? lives[i] : Hull(bundle->block.life, lives[i]);
    bundle->block.bytes += bytes;
    bundle->birth = tensor.birth;
    bundle->tensors.push_back(i);
  };
  for (const int32_t i : members) {
    if (bundle_small && profile.tensors[i].bytes < granule / 2) {
      small.push_back({Pattern(profile.tensors[i]), i});
    } else {
      add(&bundles.emplace_back(), i);
    }
  }
  std::stable_sort(small.begin(), small.end(), [](const Keyed& a, const Keyed& b) { return a.pattern < b.pattern; });
  const std::vector<int32_t>* previous = nullptr;
  for (const Keyed& keyed : small) {
    if (previous == nullptr || *previous != keyed.pattern || bundles.back().block.bytes >= granule.count()) {
      bundles.emplace_back();
    }
    add(&bundles.back(), keyed.tensor);
    previous = &keyed.pattern;
  }
  return bundles;
}

std::vector<int32_t> OrderOf(PackOrder order, const std::vector<Bundle>& bundles) {
  std::vector<int32_t> indices(bundles.size());
  std::iota(indices.begin(), indices.end(), 0);
  const auto key = [&](int32_t i) {
    const Block& block = bundles[i].block;
    const int64_t length = block.life.length();
    switch (order) {
      case PackOrder::kSize:
        return std::make_tuple(-block.bytes, -length, block.life.begin);
      case PackOrder::kBirth:
        return std::make_tuple(block.life.begin2 >= 0 ? int64_t{-1} : block.life.begin, -length, -block.bytes);
      case PackOrder::kLifetime:
        return std::make_tuple(-length, -block.bytes, block.life.begin);
    }
    return std::make_tuple(int64_t{0}, int64_t{0}, int64_t{0});
  };
  std::stable_sort(indices.begin(), indices.end(), [&](int32_t a, int32_t b) { return key(a) < key(b); });
  return indices;
}

int64_t RoundUpTo(int64_t offset, Bytes unit) { return RoundUp(Bytes(offset), unit).count(); }

// Packs `members` from `begin` on and writes their offsets. Returns the end.
int64_t PackMembers(PackOrder order, const profile::Profile& profile, const std::vector<Lifetime>& lives,
                    const std::vector<int32_t>& members, Bytes granule, bool bundle_small, int64_t begin,
                    Layout* layout) {
  const std::vector<Bundle> bundles = MakeBundles(profile, lives, members, granule, bundle_small);
  std::vector<Block> blocks;
  blocks.reserve(bundles.size());
  for (const Bundle& bundle : bundles) blocks.push_back(bundle.block);
  const Packed packed = Pack(blocks, OrderOf(order, bundles));
  for (size_t b = 0; b < bundles.size(); ++b) {
    int64_t offset = begin + packed.offsets[b];
    for (const int32_t i : bundles[b].tensors) {
      layout->offsets[i] = offset;
      offset += RoundUp(profile.tensors[i].bytes, kAlignment).count();
    }
  }
  return begin + packed.end;
}

Bytes Footprint(const profile::Profile& profile, const Layout& layout, Bytes granule) {
  std::vector<int64_t> granules;
  for (size_t i = 0; i < profile.tensors.size(); ++i) {
    const int64_t bytes = profile.tensors[i].bytes.count();
    if (bytes == 0) continue;
    const int64_t last = (layout.offsets[i] + bytes - 1) / granule.count();
    for (int64_t g = layout.offsets[i] / granule.count(); g <= last; ++g) granules.push_back(g);
  }
  std::sort(granules.begin(), granules.end());
  granules.erase(std::unique(granules.begin(), granules.end()), granules.end());
  return granule * static_cast<int64_t>(granules.size());
}

}  // namespace

Layout MakeLayoutBy(PackOrder order, const profile::Profile& profile, Bytes granule, int64_t base, ShortLived where) {
  Layout layout;
  layout.offsets.resize(profile.tensors.size(), 0);
  std::vector<int32_t> short_lived;
  std::vector<int32_t> migratable;
  layout.short_lived_begin = RoundUpTo(base, granule);
  for (size_t i = 0; i < profile.tensors.size(); ++i) {
    const Tensor& tensor = profile.tensors[i];
    layout.regions.push_back(RegionOf(tensor, where));
    if (layout.regions[i] == Region::kFixed) {
      layout.offsets[i] = tensor.fixed_offset;
      // New tensors go above what is there already.
      const int64_t above = RoundUpTo(tensor.fixed_offset + tensor.bytes.count(), granule);
      layout.short_lived_begin = std::max(layout.short_lived_begin, above);
    } else {
      (layout.regions[i] == Region::kShortLived ? short_lived : migratable).push_back(static_cast<int32_t>(i));
    }
  }
  const std::vector<Lifetime> lives = profile::Lifetimes(profile);
  const int64_t begin = layout.short_lived_begin;
  const int64_t short_end = PackMembers(PackOrder::kSize, profile, lives, short_lived, granule, false, begin, &layout);
  layout.short_lived_bytes = Bytes(short_end - begin);
  layout.end = PackMembers(order, profile, lives, migratable, granule, true, RoundUpTo(short_end, granule), &layout);
  layout.footprint = Footprint(profile, layout, granule);
  return layout;
}

Layout MakeLayout(const profile::Profile& profile, Bytes granule, int64_t base, ShortLived where) {
  Layout best = MakeLayoutBy(PackOrder::kSize, profile, granule, base, where);
  if (profile.tensors.size() > kManyBlocks) return best;
  for (const PackOrder order : {PackOrder::kBirth, PackOrder::kLifetime}) {
    Layout layout = MakeLayoutBy(order, profile, granule, base, where);
    if (layout.footprint < best.footprint) best = std::move(layout);
  }
  return best;
}

}  // namespace thermocline::plan

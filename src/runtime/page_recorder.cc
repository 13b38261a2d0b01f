#include "src/runtime/page_recorder.h"

#include <algorithm>

#include "src/base/reserve.h"

namespace thermocline::runtime {
namespace {

constexpr int64_t kPage = 4096;
constexpr int64_t kLargeWindow = 64 << 10;
constexpr Bytes kLargeTensor = KiB(256);

}  // namespace

void PageRecorder::AddTensor(char* begin, Bytes rounded, int64_t index) {
  ReserveFor(live_, live_.size() + 1);
  ReserveFor(gone_, gone_.size() + live_.size() + 1);
  const Live live{begin, begin + rounded.count(), index, rounded < kLargeTensor ? kPage : kLargeWindow};
  const auto place = std::upper_bound(live_.begin(), live_.end(), begin,
                                      [](const char* address, const Live& other) { return address < other.begin; });
  live_.insert(place, live);
}

void PageRecorder::RemoveTensor(char* begin) {
  const auto found = std::lower_bound(live_.begin(), live_.end(), begin,
                                      [](const Live& other, const char* address) { return other.begin < address; });
  if (found == live_.end() || found->begin != begin) return;
  if (found->reads + found->writes > 0) gone_.push_back(*found);
  live_.erase(found);
}

int64_t PageRecorder::TensorAt(const char* address) const {
  const auto found = std::upper_bound(live_.begin(), live_.end(), address,
                                      [](const char* a, const Live& other) { return a < other.begin; });
  return found == live_.begin() || address >= (found - 1)->end ? -1 : (found - 1)->index;
}

arena::AccessRecorder::Window PageRecorder::OnTouch(char* address, os::FaultAccess access) {
  ++touches_;
  auto found = std::upper_bound(live_.begin(), live_.end(), address,
                                [](const char* a, const Live& other) { return a < other.begin; });
  if (found == live_.begin() || address >= (found - 1)->end) {
    // No tensor of the profile (a slab, say): one page, uncounted.
    char* const page = reinterpret_cast<char*>(reinterpret_cast<uintptr_t>(address) & ~uintptr_t{kPage - 1});
    return {page, page + kPage};
  }
  Live& live = *(found - 1);
  ++(access == os::FaultAccess::kWrite ? live.writes : live.reads);
  char* const begin = live.begin + (address - live.begin) / live.window * live.window;
  return {begin, std::min(begin + live.window, live.end)};
}

void PageRecorder::EndLayer(LayerId layer, std::vector<profile::Tensor>* tensors) {
  // A tensor has one access a layer.
  for (const std::vector<Live>* lives : {&live_, &gone_}) {
    for (const Live& live : *lives) {
      std::vector<profile::Access>& accesses = (*tensors)[live.index].accesses;
      if (live.reads + live.writes > 0) ReserveFor(accesses, accesses.size() + 1);
    }
  }
  const auto flush = [&](Live& live) {
    if (live.reads + live.writes == 0) return;
    profile::Access access;
    access.layer = layer;
    access.read = live.reads > 0;
    access.write = live.writes > 0;
    const int64_t windows = (live.end - live.begin + live.window - 1) / live.window;
    access.overwrite = live.reads == 0 && live.writes >= windows;
    access.pages = live.reads + live.writes;
    (*tensors)[live.index].accesses.push_back(access);
    live.reads = live.writes = 0;
  };
  for (Live& live : live_) flush(live);
  for (Live& live : gone_) flush(live);
  gone_.clear();
  touches_ = 0;
}

}  // namespace thermocline::runtime

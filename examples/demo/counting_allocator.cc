#include "examples/demo/counting_allocator.h"

#include <c10/core/Allocator.h>
#include <c10/core/CPUAllocator.h>
#include <torch/version.h>

#include <algorithm>
#include <mutex>
#include <unordered_map>

namespace thermocline::demo {
namespace {

class CountingAllocator final : public c10::Allocator {
 public:
#if TORCH_VERSION_MAJOR >= 2
  c10::DataPtr allocate(std::size_t bytes) override { return Make(bytes); }
  void copy_data(void* to, const void* from, std::size_t bytes) const override { default_copy_data(to, from, bytes); }
#else
  c10::DataPtr allocate(std::size_t bytes) const override { return const_cast<CountingAllocator*>(this)->Make(bytes); }
#endif
  c10::DeleterFnPtr raw_deleter() const override { return &Free; }

  static CountingAllocator& Get() {
    static CountingAllocator* const allocator = new CountingAllocator;  // never destroyed: tensors outlive main
    return *allocator;
  }

  int64_t peak() {
    std::lock_guard<std::mutex> lock(mutex_);
    return peak_;
  }

 private:
  c10::DataPtr Make(std::size_t bytes) {
    c10::DataPtr data = inner_->allocate(bytes);
    if (data.get() != nullptr) {
      std::lock_guard<std::mutex> lock(mutex_);
      bytes_of_[data.get()] = static_cast<int64_t>(bytes);
      live_ += static_cast<int64_t>(bytes);
      peak_ = std::max(peak_, live_);
    }
    void* pointer = data.release_context();
    return {pointer, pointer, &Free, c10::Device(c10::DeviceType::CPU)};
  }

  static void Free(void* pointer) {
    if (pointer == nullptr) return;
    CountingAllocator& self = Get();
    {
      std::lock_guard<std::mutex> lock(self.mutex_);
      const auto it = self.bytes_of_.find(pointer);
      self.live_ -= it->second;
      self.bytes_of_.erase(it);
    }
    self.inner_->raw_deleter()(pointer);
  }

  c10::Allocator* const inner_ = c10::GetDefaultCPUAllocator();
  std::mutex mutex_;
  std::unordered_map<void*, int64_t> bytes_of_;
  int64_t live_ = 0;
  int64_t peak_ = 0;
};

}  // namespace

void InstallCountingAllocator() { c10::SetCPUAllocator(&CountingAllocator::Get(), 100); }
int64_t CountedPeakBytes() { return CountingAllocator::Get().peak(); }

}  // namespace thermocline::demo

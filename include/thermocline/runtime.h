// thermocline::Runtime: the C++ face of the library, a thin, header-only layer over the C API, so that one binary
// serves every standard library and compiler.
//
// Thread safety: as thermocline.h says: allocation from any thread; the step's marks from the thread that drives it.
// Ownership: a Runtime owns its memory; what it allocated is gone with it.
// Errors: a Status with a code and a message; allocation returns nullptr. Nothing throws but the memory_resource.
#ifndef THERMOCLINE_RUNTIME_H_
#define THERMOCLINE_RUNTIME_H_

#include <cstddef>
#include <memory>
#include <memory_resource>
#include <new>
#include <string>
#include <utility>

#include "thermocline/thermocline.h"

namespace thermocline {

class [[nodiscard]] Status {
 public:
  Status() = default;
  explicit Status(tc_status code) : code_(code), message_(code == TC_OK ? "" : tc_last_error()) {}
  bool ok() const { return code_ == TC_OK; }
  tc_status code() const { return code_; }
  const std::string& message() const { return message_; }
  void IgnoreError() const {}

 private:
  tc_status code_ = TC_OK;
  std::string message_;
};

// See tc_options. Empty strings and zeros mean the default.
struct Options {
  std::string fast{};
  std::string slow{};
  std::string planner{};
  std::string plan_in{};
  std::string profile_in{};
  std::size_t granule_bytes = 0;
  bool verify = false;
};

class Runtime {
 public:
  // nullptr when the options are wrong or the machine refuses; `status` then says what, where and what to do.
  static std::unique_ptr<Runtime> Create(const Options& options, Status* status = nullptr) {
    tc_options c{};
    c.struct_size = sizeof(c);
    c.fast = OrNull(options.fast);
    c.slow = OrNull(options.slow);
    c.planner = OrNull(options.planner);
    c.plan_in = OrNull(options.plan_in);
    c.profile_in = OrNull(options.profile_in);
    c.granule_bytes = options.granule_bytes;
    c.verify = options.verify ? 1 : 0;
    tc_runtime* handle = nullptr;
    const Status result(tc_create(&c, &handle));
    if (status != nullptr) *status = result;
    return result.ok() ? std::unique_ptr<Runtime>(new Runtime(handle)) : nullptr;
  }
  ~Runtime() { tc_destroy(handle_); }
  Runtime(const Runtime&) = delete;
  Runtime& operator=(const Runtime&) = delete;

  // Aligned to at least 64 bytes; nullptr when neither tier has room.
  void* Allocate(std::size_t bytes) noexcept { return tc_alloc(handle_, bytes); }
  void* Allocate(std::size_t bytes, std::size_t alignment) noexcept {
    return tc_aligned_alloc(handle_, alignment, bytes);
  }
  void Deallocate(void* pointer) noexcept { tc_free(handle_, pointer); }

  Status StartProfile() { return Status(tc_start_profile(handle_)); }
  Status AddLayer() { return Status(tc_add_layer(handle_)); }
  Status AddLayer(const std::string& name) { return Status(tc_add_named_layer(handle_, name.c_str())); }
  Status EndProfile() { return Status(tc_end_profile(handle_)); }
  Status BeginStep() { return Status(tc_begin_step(handle_)); }
  Status EndStep() { return Status(tc_end_step(handle_)); }

  Status Pin(const void* p, std::size_t bytes) { return Status(tc_pin(handle_, p, bytes)); }
  Status Unpin(const void* p, std::size_t bytes) { return Status(tc_unpin(handle_, p, bytes)); }
  Status Prefetch(const void* p, std::size_t bytes) { return Status(tc_prefetch(handle_, p, bytes)); }
  Status Touch(const void* p, std::size_t bytes, bool writes) { return Status(tc_touch(handle_, p, bytes, writes)); }
  Status SetFastBudget(const std::string& fast) { return Status(tc_set_fast_budget(handle_, fast.c_str())); }

  Status SaveProfile(const std::string& path) { return Status(tc_save_profile(handle_, path.c_str())); }
  Status SavePlan(const std::string& path) { return Status(tc_save_plan(handle_, path.c_str())); }
  Status SaveRunLog(const std::string& path) { return Status(tc_save_run_log(handle_, path.c_str())); }

  tc_stats Stats() const {
    tc_stats stats{};
    stats.struct_size = sizeof(stats);
    tc_get_stats(handle_, &stats);
    return stats;
  }
  tc_runtime* handle() const { return handle_; }

 private:
  explicit Runtime(tc_runtime* handle) : handle_(handle) {}
  static const char* OrNull(const std::string& text) { return text.empty() ? nullptr : text.c_str(); }
  tc_runtime* handle_;
};

// std::pmr containers on a runtime's memory. Does not own the runtime. Throws std::bad_alloc when it has no room.
class MemoryResource final : public std::pmr::memory_resource {
 public:
  explicit MemoryResource(Runtime* runtime) : runtime_(runtime) {}

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* pointer = runtime_->Allocate(bytes, alignment < 64 ? 64 : alignment);
    if (pointer == nullptr) throw std::bad_alloc();
    return pointer;
  }
  void do_deallocate(void* pointer, std::size_t, std::size_t) override { runtime_->Deallocate(pointer); }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }

  Runtime* runtime_;
};

// The paper's three calls, on the process's default runtime.
inline Status start_profile() { return Status(tc_start_profile(nullptr)); }
inline Status add_layer() { return Status(tc_add_layer(nullptr)); }
inline Status end_profile() { return Status(tc_end_profile(nullptr)); }

}  // namespace thermocline

#endif  // THERMOCLINE_RUNTIME_H_

// The C API over runtime::Runtime: argument checks, status codes, the thread's last message. No logic of its own.
#include <malloc.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <memory>
#include <mutex>
#include <new>
#include <optional>
#include <string>
#include <type_traits>
#include <utility>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "src/base/parse_units.h"
#include "src/capi/handle.h"
#include "src/capi/run_log.h"
#include "src/plan/plan_file.h"
#include "src/runtime/runtime.h"
#include "src/runtime/settings.h"
#include "src/trace/trace_file.h"
#include "thermocline/thermocline.h"

namespace {

using thermocline::Bytes;
using thermocline::runtime::RawSettings;
using thermocline::runtime::Runtime;
using thermocline::runtime::Settings;

constexpr size_t kMinAlignment = 64;

thread_local std::string t_last_error;
thread_local const char* t_last_literal = nullptr;  // in its place, where the last message needed no memory

tc_status CodeOf(absl::StatusCode code) {
  switch (code) {
    case absl::StatusCode::kOk:
      return TC_OK;
    case absl::StatusCode::kInvalidArgument:
    case absl::StatusCode::kOutOfRange:
      return TC_INVALID_ARGUMENT;
    case absl::StatusCode::kFailedPrecondition:
      return TC_FAILED_PRECONDITION;
    case absl::StatusCode::kResourceExhausted:
      return TC_OUT_OF_MEMORY;
    case absl::StatusCode::kDataLoss:
    case absl::StatusCode::kUnavailable:
      return TC_IO_ERROR;
    case absl::StatusCode::kNotFound:
      return TC_NOT_FOUND;
    case absl::StatusCode::kUnimplemented:
    case absl::StatusCode::kPermissionDenied:
      return TC_UNAVAILABLE;
    default:
      return TC_INTERNAL;
  }
}

tc_status Report(const absl::Status& status) {
  if (status.ok()) return TC_OK;
  t_last_error = std::string(status.message());
  t_last_literal = nullptr;
  return CodeOf(status.code());
}

tc_status Report(absl::StatusCode code, const char* literal) {
  t_last_literal = literal;
  return CodeOf(code);
}

// What a C function returns that has failed.
template <typename Result>
Result Failed(absl::StatusCode code, const char* literal) {
  const tc_status status = Report(code, literal);
  if constexpr (std::is_same_v<Result, tc_status>) return status;
  return Result();
}

// The body of a C function: no exception leaves it. (A cancelled thread unwinds through it, which is none.) Where
// nothing is thrown it costs nothing.
template <typename Body>
auto Guarded(Body body) -> decltype(body()) {
  using Result = decltype(body());
  try {
    return body();
  } catch (const std::bad_alloc&) {
    return Failed<Result>(absl::StatusCode::kResourceExhausted,
                          "the system has no memory left for the library's bookkeeping; free some outside of tensors");
  } catch (const std::exception&) {
    return Failed<Result>(absl::StatusCode::kInternal,
                          "the library threw an exception; that is a defect of it, please report it");
  }
}

std::string OrEmpty(const char* text) { return text == nullptr ? std::string() : std::string(text); }

absl::StatusOr<tc_runtime*> Make(const RawSettings& raw) {
  absl::StatusOr<Settings> settings = ReadSettings(raw, thermocline::runtime::ProcessEnvironment());
  if (!settings.ok()) return settings.status();
  auto handle = std::make_unique<tc_runtime>();
  if (settings->pass_through) return handle.release();
  auto runtime = Runtime::Create(*settings);
  if (!runtime.ok()) return runtime.status();
  handle->runtime = *std::move(runtime);
  return handle.release();
}

tc_runtime* Default() {
  // Never destroyed: threads may use it until the process ends.
  static std::mutex mutex;
  static tc_runtime* runtime = nullptr;
  std::lock_guard<std::mutex> lock(mutex);
  if (runtime != nullptr) return runtime;
  absl::StatusOr<tc_runtime*> made = Make({});
  if (!made.ok()) {
    Report(made.status());
    return nullptr;
  }
  runtime = *made;
  runtime->is_default = true;
  return runtime;
}

// The handle, or the default runtime for NULL; nullptr (and a message) when that can't be made.
tc_runtime* Resolve(tc_runtime* handle) { return handle != nullptr ? handle : Default(); }

// Runs `act` on the runtime; a pass-through has none and succeeds.
template <typename Act>
tc_status With(tc_runtime* handle, Act act) {
  return Guarded([&] {
    tc_runtime* const resolved = Resolve(handle);
    if (resolved == nullptr) return TC_INVALID_ARGUMENT;
    if (resolved->runtime == nullptr) return TC_OK;
    return Report(act(*resolved->runtime));
  });
}

tc_status Create(const tc_options* options, tc_runtime** runtime) {
  RawSettings raw;
  if (options != nullptr) {
    if (options->struct_size != sizeof(tc_options)) {
      return Report(absl::StatusCode::kInvalidArgument,
                    "tc_create: options->struct_size is not sizeof(tc_options); set it, or rebuild with this header");
    }
    raw = {OrEmpty(options->fast),
           OrEmpty(options->slow),
           OrEmpty(options->planner),
           OrEmpty(options->plan_in),
           OrEmpty(options->profile_in),
           static_cast<int64_t>(options->granule_bytes),
           options->verify != 0,
           /*profiler=*/"",
           /*model=*/"",
           /*kernel_faults=*/""};
  }
  absl::StatusOr<tc_runtime*> made = Make(raw);
  if (!made.ok()) return Report(made.status());
  *runtime = *made;
  return TC_OK;
}

void* Allocate(tc_runtime* handle, size_t bytes, size_t alignment) {
  handle = Resolve(handle);
  if (handle == nullptr) return nullptr;
  // Far beyond any machine, and far from where rounding up would overflow.
  constexpr size_t kMost = size_t{1} << 56;
  if (bytes > kMost || alignment > kMost) {
    Report(absl::StatusCode::kResourceExhausted, "more than 2^56 bytes, or an alignment to more, were asked for");
    return nullptr;
  }
  void* pointer = nullptr;
  if (handle->runtime == nullptr) {
    if (posix_memalign(&pointer, alignment, bytes == 0 ? 1 : bytes) != 0) pointer = nullptr;
  } else {
    pointer = handle->runtime->Allocate(Bytes(static_cast<int64_t>(bytes)), Bytes(static_cast<int64_t>(alignment)));
  }
  if (pointer == nullptr) {
    Report(absl::ResourceExhaustedError(
        absl::StrCat("no room for ", bytes,
                     " bytes in the fast and the slow tier; free something, or give the slow tier more space")));
  }
  return pointer;
}

tc_status Free(tc_runtime* handle, void* pointer) {
  handle = Resolve(handle);
  if (handle == nullptr) return TC_INVALID_ARGUMENT;
  if (handle->runtime == nullptr) {
    free(pointer);
    return TC_OK;
  }
  if (handle->runtime->Free(pointer)) return TC_OK;
  return Report(absl::InvalidArgumentError(
      absl::StrCat("tc_free: ", absl::Hex(reinterpret_cast<uintptr_t>(pointer)),
                   " is no live allocation of this runtime: foreign, or freed before. Nothing was changed")));
}

}  // namespace

extern "C" {

tc_status tc_create(const tc_options* options, tc_runtime** runtime) {
  if (runtime == nullptr) return Report(absl::StatusCode::kInvalidArgument, "tc_create: `runtime` is NULL");
  *runtime = nullptr;
  return Guarded([&] { return Create(options, runtime); });
}

void tc_destroy(tc_runtime* runtime) {
  if (runtime != nullptr && !runtime->is_default) delete runtime;
}

tc_runtime* tc_default(void) { return Guarded(Default); }

void* tc_alloc(tc_runtime* runtime, size_t bytes) {
  return Guarded([=] { return Allocate(runtime, bytes, kMinAlignment); });
}

void* tc_aligned_alloc(tc_runtime* runtime, size_t alignment, size_t bytes) {
  if (alignment == 0 || (alignment & (alignment - 1)) != 0) {
    Report(absl::StatusCode::kInvalidArgument, "tc_aligned_alloc: the alignment is not a power of two");
    return nullptr;
  }
  return Guarded([=] { return Allocate(runtime, bytes, alignment < kMinAlignment ? kMinAlignment : alignment); });
}

void* tc_calloc(tc_runtime* runtime, size_t count, size_t bytes) {
  size_t total = 0;
  if (__builtin_mul_overflow(count, bytes, &total)) {
    Report(absl::StatusCode::kResourceExhausted, "tc_calloc: count times bytes overflows");
    return nullptr;
  }
  void* pointer = tc_alloc(runtime, total);
  // Frames are recycled as they are: zeroes must be written.
  if (pointer != nullptr) std::memset(pointer, 0, total);
  return pointer;
}

void* tc_realloc(tc_runtime* runtime, void* pointer, size_t bytes) {
  if (runtime == nullptr) runtime = tc_default();
  if (runtime == nullptr) return nullptr;
  if (pointer == nullptr) return tc_alloc(runtime, bytes);
  const size_t usable = tc_usable_size(runtime, pointer);
  if (usable == 0) {
    Report(absl::StatusCode::kInvalidArgument, "tc_realloc: the pointer is not this runtime's, or was freed before");
    return nullptr;
  }
  if (bytes <= usable && bytes >= usable / 2) return pointer;
  void* moved = tc_alloc(runtime, bytes);
  if (moved == nullptr) return nullptr;
  std::memcpy(moved, pointer, bytes < usable ? bytes : usable);
  tc_free(runtime, pointer);
  return moved;
}

tc_status tc_free(tc_runtime* runtime, void* pointer) {
  if (pointer == nullptr) return TC_OK;
  return Guarded([=] { return Free(runtime, pointer); });
}

size_t tc_usable_size(tc_runtime* runtime, const void* pointer) {
  if (runtime == nullptr) runtime = tc_default();
  if (runtime == nullptr || pointer == nullptr) return 0;
  if (runtime->runtime == nullptr) return malloc_usable_size(const_cast<void*>(pointer));
  return static_cast<size_t>(runtime->runtime->UsableBytes(pointer).count());
}

tc_status tc_start_profile(tc_runtime* runtime) {
  return With(runtime, [](Runtime& r) { return r.StartProfile(); });
}
tc_status tc_add_layer(tc_runtime* runtime) {
  return With(runtime, [](Runtime& r) { return r.AddLayer(""); });
}
tc_status tc_add_named_layer(tc_runtime* runtime, const char* name) {
  return With(runtime, [name](Runtime& r) { return r.AddLayer(name == nullptr ? "" : name); });
}
tc_status tc_end_profile(tc_runtime* runtime) {
  return With(runtime, [](Runtime& r) { return r.EndProfile(); });
}
tc_status tc_begin_step(tc_runtime* runtime) {
  return With(runtime, [](Runtime& r) { return r.BeginStep(); });
}
tc_status tc_end_step(tc_runtime* runtime) {
  return With(runtime, [](Runtime& r) { return r.EndStep(); });
}

tc_status tc_pin(tc_runtime* runtime, const void* pointer, size_t bytes) {
  return With(runtime, [=](Runtime& r) { return r.Pin(pointer, Bytes(static_cast<int64_t>(bytes))); });
}
tc_status tc_unpin(tc_runtime* runtime, const void* pointer, size_t bytes) {
  return With(runtime, [=](Runtime& r) { return r.Unpin(pointer, Bytes(static_cast<int64_t>(bytes))); });
}
tc_status tc_prefetch(tc_runtime* runtime, const void* pointer, size_t bytes) {
  return With(runtime, [=](Runtime& r) { return r.Prefetch(pointer, Bytes(static_cast<int64_t>(bytes))); });
}
tc_status tc_touch(tc_runtime* runtime, const void* pointer, size_t bytes, int writes) {
  return With(runtime, [=](Runtime& r) { return r.Touch(pointer, Bytes(static_cast<int64_t>(bytes)), writes != 0); });
}

tc_status tc_set_fast_budget(tc_runtime* runtime, const char* fast) {
  if (fast == nullptr) return Report(absl::StatusCode::kInvalidArgument, "tc_set_fast_budget: `fast` is NULL");
  return With(runtime, [fast](Runtime& r) -> absl::Status {
    absl::StatusOr<Bytes> bytes = thermocline::ParseBytes(fast);
    return bytes.ok() ? r.SetBudget(*bytes) : bytes.status();
  });
}

tc_status tc_save_profile(tc_runtime* runtime, const char* path) {
  if (path == nullptr) return Report(absl::StatusCode::kInvalidArgument, "tc_save_profile: `path` is NULL");
  return With(runtime, [path](Runtime& r) -> absl::Status {
    const std::optional<thermocline::runtime::ShapeCopy> shape = r.CopyShape();
    if (!shape.has_value()) {
      return absl::FailedPreconditionError("no step has been profiled yet; call tc_save_profile after one has");
    }
    if (!shape->profile_known) {
      return absl::FailedPreconditionError(
          "no step has been profiled, as this run began with a saved plan; save the profile of a run without");
    }
    return thermocline::trace::WriteTrace(path, shape->profile);
  });
}

tc_status tc_save_plan(tc_runtime* runtime, const char* path) {
  if (path == nullptr) return Report(absl::StatusCode::kInvalidArgument, "tc_save_plan: `path` is NULL");
  return With(runtime, [path](Runtime& r) -> absl::Status {
    const std::optional<thermocline::runtime::ShapeCopy> shape = r.CopyShape();
    if (!shape.has_value()) {
      return absl::FailedPreconditionError("no plan has been made yet; call tc_save_plan after a profiled step");
    }
    return thermocline::plan::SavePlan(*shape->plan, path);
  });
}

tc_status tc_save_run_log(tc_runtime* runtime, const char* path) {
  if (path == nullptr) return Report(absl::StatusCode::kInvalidArgument, "tc_save_run_log: `path` is NULL");
  return With(runtime, [path](Runtime& r) { return thermocline::capi::SaveRunLog(r, path); });
}

tc_status tc_get_stats(tc_runtime* runtime, tc_stats* stats) {
  if (stats == nullptr || stats->struct_size != sizeof(tc_stats)) {
    return Report(absl::StatusCode::kInvalidArgument,
                  "tc_get_stats: `stats` is NULL, or its struct_size is not sizeof(tc_stats)");
  }
  *stats = tc_stats{};
  stats->struct_size = sizeof(tc_stats);
  return With(runtime, [stats](Runtime& r) {
    thermocline::capi::FillStats(r, stats);
    return absl::OkStatus();
  });
}

const char* tc_last_error(void) { return t_last_literal != nullptr ? t_last_literal : t_last_error.c_str(); }

const char* tc_status_name(tc_status status) {
  switch (status) {
    case TC_OK:
      return "OK";
    case TC_INVALID_ARGUMENT:
      return "INVALID_ARGUMENT";
    case TC_FAILED_PRECONDITION:
      return "FAILED_PRECONDITION";
    case TC_OUT_OF_MEMORY:
      return "OUT_OF_MEMORY";
    case TC_IO_ERROR:
      return "IO_ERROR";
    case TC_NOT_FOUND:
      return "NOT_FOUND";
    case TC_UNAVAILABLE:
      return "UNAVAILABLE";
    case TC_INTERNAL:
      return "INTERNAL";
  }
  return "UNKNOWN";
}

const char* tc_version(void) { return THERMOCLINE_VERSION; }

}  // extern "C"

/* Thermocline's C API: an allocator whose memory is spread over a fast and a slow tier.
 *
 * Errors: functions that can fail return a tc_status; tc_last_error() is the calling thread's message for the last one
 * that was not TC_OK. Nothing here calls exit or abort.
 *
 * Ownership: a tc_runtime is created by tc_create and destroyed by tc_destroy, after which every pointer that it
 * allocated is invalid. Strings that are passed in are copied. Strings that are handed out live as the function says.
 *
 * Threads: every function may be called from any thread. start_profile, add_layer, end_profile, begin_step and end_step
 * belong to one thread at a time, the one that drives the step: its allocations are the ones that are matched.
 *
 * The C library: a program that is linked with libthermocline.so may hand tensors to read, write, fread, fwrite, recv,
 * send and their like, and may set handlers and masks of SIGSEGV and SIGBUS: the library stands in front of these
 * calls, and does nothing where there is no tensor and no runtime. A raw system call, io_uring, or a program that loads
 * the library while it runs gets EFAULT for a tensor that is away: tc_pin it (docs/troubleshooting.md).
 *
 * A NULL runtime means the process's default runtime, made at first use from the environment: THERMOCLINE_FAST,
 * THERMOCLINE_SLOW, ... (docs/tuning.md). THERMOCLINE=off makes every runtime a pass-through to malloc.
 */
#ifndef THERMOCLINE_THERMOCLINE_H_
#define THERMOCLINE_THERMOCLINE_H_

#include <stddef.h>
#include <stdint.h>

#define TC_EXPORT __attribute__((visibility("default")))
/* What the linker calls tc_NAME: gperftools exports a tc_free, tc_calloc, tc_realloc and tc_version of its own, and its
 * tcmalloc may be in the same program. Look a function up by that name (dlsym, ctypes). */
#define TC_SYMBOL(name) __asm__("thermocline_" #name)

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tc_runtime tc_runtime;

typedef enum tc_status {
  TC_OK = 0,
  TC_INVALID_ARGUMENT = 1,    /* what was passed makes no sense; nothing was changed */
  TC_FAILED_PRECONDITION = 2, /* not now: end_profile without start_profile, say */
  TC_OUT_OF_MEMORY = 3,       /* neither tier has room, or the system has none for the library's own needs */
  TC_IO_ERROR = 4,            /* the slow tier failed; data that could not be written stays in fast memory */
  TC_NOT_FOUND = 5,           /* no such file, tier or pointer */
  TC_UNAVAILABLE = 6,         /* this machine does not offer it */
  TC_INTERNAL = 7             /* a defect of the library; please report it */
} tc_status;

/* What a runtime is made of. Zero it, set struct_size, set what differs from the default. */
typedef struct tc_options {
  size_t struct_size; /* sizeof(tc_options) */
  const char* fast;   /* fast budget: "512MiB", "8GiB". NULL: THERMOCLINE_FAST; with neither, 80% of memory */
  const char* slow;   /* "file:DIR", "numa:NODE", "emulated:in=1GB/s,..."; NULL: THERMOCLINE_SLOW, else file:/var/tmp */
  const char* planner;    /* "lookahead" (default), "lagrangian", "interval", "first_touch", "lru" (by demand only) */
  const char* plan_in;    /* a plan saved before, for this program and budget: no profiled step is needed. NULL: none */
  const char* profile_in; /* or a profile, of which a plan is made at start, for any budget. NULL: none */
  size_t granule_bytes;   /* the unit that moves, a power of two from 64 KiB to 1 GiB; 0: chosen */
  int verify;             /* not 0: checksum every granule that goes to the slow tier and comes back */
} tc_options;

TC_EXPORT tc_status tc_create(const tc_options* options, tc_runtime** runtime) TC_SYMBOL(create);
TC_EXPORT void tc_destroy(tc_runtime* runtime) TC_SYMBOL(destroy);
/* The process's default runtime; NULL when the environment is wrong (see tc_last_error). */
TC_EXPORT tc_runtime* tc_default(void) TC_SYMBOL(default);

/* Memory. Addresses never change while a tensor lives. Aligned to 64 bytes. NULL when neither tier has room. */
TC_EXPORT void* tc_alloc(tc_runtime* runtime, size_t bytes) TC_SYMBOL(alloc);
TC_EXPORT void* tc_calloc(tc_runtime* runtime, size_t count, size_t bytes) TC_SYMBOL(calloc);
TC_EXPORT void* tc_realloc(tc_runtime* runtime, void* pointer, size_t bytes) TC_SYMBOL(realloc);
TC_EXPORT void* tc_aligned_alloc(tc_runtime* runtime, size_t alignment, size_t bytes) TC_SYMBOL(aligned_alloc);
/* TC_INVALID_ARGUMENT for a foreign pointer or one freed before: nothing happens then. NULL is fine. */
TC_EXPORT tc_status tc_free(tc_runtime* runtime, void* pointer) TC_SYMBOL(free);
/* Bytes usable at pointer; 0 when it is not this runtime's. */
TC_EXPORT size_t tc_usable_size(tc_runtime* runtime, const void* pointer) TC_SYMBOL(usable_size);

/* The three hooks of the paper (Ren et al., HPCA 2021). Call start_profile before a step that does what every step
 * does, add_layer at each boundary between layers, end_profile after the step; go on calling add_layer in later steps.
 * With a plan or profile given at start that step runs by it; only one that turns out to be another is profiled, as it
 * comes again.
 * A tensor that is counted shares no page with another: one of 32 KiB or more never does, nor does what is allocated in
 * the profiled step, whatever its size. Objects under 32 KiB from before that step lie many to a page and are not
 * counted: no plan moves them, each leaves room for all of them in the budget, and they come and go by demand. So
 * allocate what is to be planned for in pieces of 32 KiB or more, or in the step. */
TC_EXPORT tc_status tc_start_profile(tc_runtime* runtime) TC_SYMBOL(start_profile);
TC_EXPORT tc_status tc_add_layer(tc_runtime* runtime) TC_SYMBOL(add_layer);
TC_EXPORT tc_status tc_add_named_layer(tc_runtime* runtime, const char* name) TC_SYMBOL(add_named_layer);
TC_EXPORT tc_status tc_end_profile(tc_runtime* runtime) TC_SYMBOL(end_profile);
/* Where a step begins and ends, said explicitly. With them, steps of several shapes can alternate, each with a profile
 * and plan of its own, and profiling is automatic: start_profile and end_profile are then not needed. */
TC_EXPORT tc_status tc_begin_step(tc_runtime* runtime) TC_SYMBOL(begin_step);
TC_EXPORT tc_status tc_end_step(tc_runtime* runtime) TC_SYMBOL(end_step);

/* Hints. The range is rounded out to granules. A pinned range is fast, and stays where it is physically, until as many
 * unpins as pins: for raw system calls, and for buffers that the kernel or a device holds (O_DIRECT, io_uring fixed
 * buffers, RDMA). */
TC_EXPORT tc_status tc_pin(tc_runtime* runtime, const void* pointer, size_t bytes) TC_SYMBOL(pin);
TC_EXPORT tc_status tc_unpin(tc_runtime* runtime, const void* pointer, size_t bytes) TC_SYMBOL(unpin);
TC_EXPORT tc_status tc_prefetch(tc_runtime* runtime, const void* pointer, size_t bytes) TC_SYMBOL(prefetch);
/* Says that the coming code reads (or writes) the range: fetches it whole, and counts as a use for eviction. */
TC_EXPORT tc_status tc_touch(tc_runtime* runtime, const void* pointer, size_t bytes, int writes) TC_SYMBOL(touch);
/* A new budget, from now on: "4GiB". Shrinking evicts before it returns. */
TC_EXPORT tc_status tc_set_fast_budget(tc_runtime* runtime, const char* fast) TC_SYMBOL(set_fast_budget);

/* Files. Written to a temporary name and renamed: never half there. */
TC_EXPORT tc_status tc_save_profile(tc_runtime* runtime, const char* path) TC_SYMBOL(save_profile);
TC_EXPORT tc_status tc_save_plan(tc_runtime* runtime, const char* path) TC_SYMBOL(save_plan);
TC_EXPORT tc_status tc_save_run_log(tc_runtime* runtime, const char* path) TC_SYMBOL(save_run_log);

typedef struct tc_stats {
  size_t struct_size; /* set before the call */
  uint64_t fast_budget_bytes;
  uint64_t fast_bytes; /* in use now: frames, those in flight included, and the slow file's page cache */
  uint64_t peak_fast_bytes;
  uint64_t slow_bytes; /* in slots of the slow tier now */
  uint64_t live_bytes; /* requested and not freed */
  uint64_t peak_live_bytes;
  uint64_t bytes_in; /* slow to fast, since the start */
  uint64_t bytes_out;
  uint64_t exposed_nanos;  /* time that threads waited for data or for frames, since the start */
  uint64_t demand_fetches; /* granules fetched because they were touched */
  uint64_t steps;
  uint64_t matched_allocations; /* placed by the plan */
  uint64_t mismatched_allocations;
  uint64_t replans; /* plans made again, as layers or the link took other times than planned for */
  uint64_t io_errors;
  uint64_t metadata_bytes;        /* the library's own bookkeeping (docs/tuning.md); page tables not counted */
  uint64_t held_evictions;        /* given up, as the kernel or a device held the pages */
  uint64_t kernel_faults;         /* touches and system calls that the kernel held until they were served */
  uint64_t written_today_bytes;   /* to an SSD, in this day, counted from the start; 0 for tiers that do not wear */
  uint64_t written_per_day_bytes; /* to an SSD, in a day at the mean rate since the start */
} tc_stats;
TC_EXPORT tc_status tc_get_stats(tc_runtime* runtime, tc_stats* stats) TC_SYMBOL(get_stats);

/* The calling thread's message for its last failure; "" when there was none. Valid until its next call. */
TC_EXPORT const char* tc_last_error(void) TC_SYMBOL(last_error);
/* "OK", "INVALID_ARGUMENT", ... Static. */
TC_EXPORT const char* tc_status_name(tc_status status) TC_SYMBOL(status_name);
/* "0.1.0". Static. */
TC_EXPORT const char* tc_version(void) TC_SYMBOL(version);

#ifdef __cplusplus
}
#endif

#endif /* THERMOCLINE_THERMOCLINE_H_ */

#include "tests/adapters/torch/fake_runtime.h"

#include <cstdlib>

namespace thermocline::fake {

Notes& notes() {
  static Notes* const notes = new Notes;  // never destroyed: tensors outlive main
  return *notes;
}

}  // namespace thermocline::fake

using thermocline::fake::notes;

struct tc_runtime {};

extern "C" {

tc_status tc_create(const tc_options*, tc_runtime** runtime) {
  *runtime = new tc_runtime;
  return TC_OK;
}
void tc_destroy(tc_runtime* runtime) { delete runtime; }

void* tc_alloc(tc_runtime*, size_t bytes) {
  const std::lock_guard<std::mutex> lock(notes().mutex);
  if (bytes >= notes().refuse_from) return nullptr;
  void* pointer = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
  notes().live[pointer] = bytes;
  return pointer;
}
tc_status tc_free(tc_runtime*, void* pointer) {
  const std::lock_guard<std::mutex> lock(notes().mutex);
  if (notes().live.erase(pointer) == 0) {
    ++notes().frees_of_strangers;
    return TC_INVALID_ARGUMENT;
  }
  std::free(pointer);
  return TC_OK;
}

tc_status tc_add_named_layer(tc_runtime*, const char* name) {
  const std::lock_guard<std::mutex> lock(notes().mutex);
  notes().layers.push_back(name);
  return notes().layer_status;
}
tc_status tc_touch(tc_runtime*, const void* pointer, size_t bytes, int writes) {
  const std::lock_guard<std::mutex> lock(notes().mutex);
  notes().touches.push_back({pointer, bytes, writes != 0});
  return TC_OK;
}
const char* tc_last_error(void) { return "both tiers are full"; }

}  // extern "C"

// A stand-in for libthermocline that notes what the adapter asks of it, in order.
//
// Thread safety: any thread may call; read the notes when no other thread is at work.
#ifndef THERMOCLINE_TESTS_ADAPTERS_TORCH_FAKE_RUNTIME_H_
#define THERMOCLINE_TESTS_ADAPTERS_TORCH_FAKE_RUNTIME_H_

#include <cstddef>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "thermocline/thermocline.h"

namespace thermocline::fake {

struct Touched {
  const void* pointer;
  size_t bytes;
  bool writes;
  bool operator==(const Touched&) const = default;
};

struct Notes {
  std::mutex mutex;
  std::map<void*, size_t> live;  // bytes by address
  int frees_of_strangers = 0;
  std::vector<std::string> layers;
  std::vector<Touched> touches;
  size_t refuse_from = SIZE_MAX;   // allocations of this many bytes and more fail
  tc_status layer_status = TC_OK;  // what add_named_layer answers
};
Notes& notes();

}  // namespace thermocline::fake

#endif  // THERMOCLINE_TESTS_ADAPTERS_TORCH_FAKE_RUNTIME_H_

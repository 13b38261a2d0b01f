// What the calls of every layer cost when there is nothing to do: add_layer, and an allocation that the plan has
// placed, beside malloc. The step is small and fits the budget, so that no data moves.
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <memory>
#include <vector>

#include "src/runtime/runtime.h"

namespace thermocline {
namespace {

constexpr int kBatch = 256;
constexpr Bytes kTensor = MiB(1);

// A runtime whose steps, of `layers` layers with `tensors` tensors each, have been profiled and placed.
std::unique_ptr<runtime::Runtime> PlacedRuntime(int layers, int tensors) {
  runtime::RawSettings raw;
  raw.fast = "512MiB";
  raw.slow = "emulated:in=4GB/s,out=4GB/s";
  auto runtime = *runtime::Runtime::Create(*ReadSettings(raw, [](const char*) { return std::nullopt; }));
  for (int step = 0; step < 12; ++step) {
    runtime->BeginStep().IgnoreError();
    for (int layer = 0; layer < layers; ++layer) {
      for (int i = 0; i < tensors; ++i) {
        void* tensor = runtime->Allocate(kTensor, Bytes(64));
        static_cast<char*>(tensor)[0] = 1;
        runtime->Free(tensor);
      }
      runtime->AddLayer("").IgnoreError();
    }
    runtime->EndStep().IgnoreError();
  }
  return runtime;
}

void AddLayerWithNothingToDo(benchmark::State& state) {
  auto runtime = PlacedRuntime(kBatch, 1);
  while (state.KeepRunningBatch(kBatch)) {
    state.PauseTiming();
    runtime->EndStep().IgnoreError();
    runtime->BeginStep().IgnoreError();
    state.ResumeTiming();
    for (int layer = 0; layer < kBatch; ++layer) runtime->AddLayer("").IgnoreError();
  }
}
BENCHMARK(AddLayerWithNothingToDo);

void MatchedAllocationAndFree(benchmark::State& state) {
  auto runtime = PlacedRuntime(1, kBatch);
  const int64_t before = runtime->Stats().matched;
  int64_t count = 0;
  runtime->BeginStep().IgnoreError();
  while (state.KeepRunningBatch(kBatch)) {
    for (int i = 0; i < kBatch; ++i) {
      void* tensor = runtime->Allocate(kTensor, Bytes(64));
      benchmark::DoNotOptimize(tensor);
      runtime->Free(tensor);
    }
    count += kBatch;
    state.PauseTiming();
    runtime->EndStep().IgnoreError();
    runtime->BeginStep().IgnoreError();
    state.ResumeTiming();
  }
  state.counters["matched_share"] = static_cast<double>(runtime->Stats().matched - before) / static_cast<double>(count);
}
BENCHMARK(MatchedAllocationAndFree);

void MallocAndFree(benchmark::State& state) {
  for (auto _ : state) {
    void* tensor = std::malloc(kTensor.count());
    benchmark::DoNotOptimize(tensor);
    std::free(tensor);
  }
}
BENCHMARK(MallocAndFree);

}  // namespace
}  // namespace thermocline

BENCHMARK_MAIN();

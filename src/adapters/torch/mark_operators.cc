#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/record_function.h>
#include <c10/util/Exception.h>

#include "thermocline/torch.h"

namespace thermocline::torch {
namespace {

// What a mark has to know of an operator, found out once.
struct Operator {
  bool works = false;  // false: a view, or made of other operators: what it calls is marked instead
  std::string name;
  std::vector<bool> written;  // by argument
};

// The marks of the one thread that drives the step; the others run operators unseen.
class Marker {
 public:
  Marker(Runtime* runtime, const MarkOptions& options) : runtime_(runtime), options_(options) {}

  // True when the operator begins a layer: those within it then don't.
  bool Begin(const at::RecordFunction& function);
  void End() { inside_ = false; }
  bool inside() const { return inside_; }

 private:
  const Operator& Find(const c10::OperatorName& name);
  void Touch(const at::Tensor& tensor, bool writes);

  Runtime* const runtime_;
  const MarkOptions options_;
  bool inside_ = false;
  std::unordered_map<c10::OperatorName, Operator> operators_;
};

// Set on the driving thread only.
thread_local Marker* this_threads_marker = nullptr;

std::mutex error_mutex;
Status first_error;  // guarded by error_mutex

void Keep(const Status& status) {
  // Marks between steps and ranges that are not the runtime's (from_blob) are no errors.
  if (status.ok() || (status.code() != TC_IO_ERROR && status.code() != TC_INTERNAL)) return;
  std::lock_guard<std::mutex> lock(error_mutex);
  if (first_error.ok()) first_error = status;
}

// Calls f(tensor, index of the argument) for each tensor among the inputs, those in lists included.
template <typename F>
void ForEachTensor(c10::ArrayRef<const c10::IValue> inputs, F f) {
  for (size_t i = 0; i < inputs.size(); ++i) {
    if (inputs[i].isTensor()) {
      f(inputs[i].toTensor(), i);
    } else if (inputs[i].isTensorList()) {
      for (const at::Tensor& tensor : inputs[i].toTensorVector()) f(tensor, i);
    }
  }
}

bool HasBytes(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().is_cpu() && tensor.layout() == c10::kStrided && tensor.has_storage() &&
         tensor.numel() > 0;
}

// From the first element to the last, holes included. REQUIRES: HasBytes(tensor).
size_t SpanBytes(const at::Tensor& tensor) {
  size_t last = 0;
  for (int64_t d = 0; d < tensor.dim(); ++d) last += static_cast<size_t>((tensor.size(d) - 1) * tensor.stride(d));
  return (last + 1) * tensor.itemsize();
}

const Operator& Marker::Find(const c10::OperatorName& name) {
  auto [it, is_new] = operators_.try_emplace(name);
  Operator& op = it->second;
  if (!is_new) return op;
  const auto handle = c10::Dispatcher::singleton().findSchema(name);
  if (!handle.has_value()) return op;
  const auto& schema = handle->schema();
  const bool is_view = !schema.returns().empty() && schema.returns()[0].alias_info() != nullptr &&
                       !schema.returns()[0].alias_info()->isWrite();
  op.works = !is_view && !handle->hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd);
  op.name = name.name;
  for (const auto& argument : schema.arguments()) {
    op.written.push_back(argument.alias_info() != nullptr && argument.alias_info()->isWrite());
  }
  return op;
}

void Marker::Touch(const at::Tensor& tensor, bool writes) {
  if (!HasBytes(tensor)) return;
  const void* pointer = tensor.unsafeGetTensorImpl()->data();
  Keep(runtime_->Touch(pointer, SpanBytes(tensor), writes));
}

bool Marker::Begin(const at::RecordFunction& function) {
  const auto name = function.operator_name();
  if (!name.has_value()) return false;  // a node of the autograd engine: what it calls is marked
  const Operator& op = Find(*name);
  if (!op.works) return false;
  const auto inputs = function.inputs();
  size_t bytes = 0;
  ForEachTensor(inputs, [&](const at::Tensor& t, size_t) { bytes += HasBytes(t) ? SpanBytes(t) : 0; });
  inside_ = true;
  if (bytes < options_.min_layer_bytes) return true;
  Keep(runtime_->AddLayer(op.name));
  if (options_.touch) {
    ForEachTensor(inputs, [&](const at::Tensor& t, size_t i) { Touch(t, i < op.written.size() && op.written[i]); });
  }
  return true;
}

// Its presence tells OnEnd that the operator was one that OnStart entered.
struct Entered : at::ObserverContext {};

std::unique_ptr<at::ObserverContext> OnStart(const at::RecordFunction& function) {
  Marker* marker = this_threads_marker;
  if (marker == nullptr || marker->inside() || !marker->Begin(function)) return nullptr;
  return std::make_unique<Entered>();
}

void OnEnd(const at::RecordFunction&, at::ObserverContext* context) {
  if (context != nullptr && this_threads_marker != nullptr) this_threads_marker->End();
}

}  // namespace

void MarkOperators(Runtime* runtime, const MarkOptions& options) {
  TORCH_CHECK(runtime != nullptr, "MarkOperators: the runtime is null; Runtime::Create's status says why");
  TORCH_CHECK(this_threads_marker == nullptr, "MarkOperators: this thread's operators are marked already");
  this_threads_marker = new Marker(runtime, options);  // never destroyed: operators run in static destructors too
  static const auto handle = at::addGlobalCallback(
      at::RecordFunctionCallback(&OnStart, &OnEnd).needsInputs(true).scopes({at::RecordScope::FUNCTION}));
  static_cast<void>(handle);
}

Status TakeMarkError() {
  std::lock_guard<std::mutex> lock(error_mutex);
  Status taken = first_error;
  first_error = Status();
  return taken;
}

}  // namespace thermocline::torch

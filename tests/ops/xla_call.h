// Calls a handler of XLA's foreign function interface as XLA does, but without
// XLA, so that sanitizers and profilers see nothing but the handler.

#ifndef BIGRU_JAX_TESTS_OPS_XLA_CALL_H_
#define BIGRU_JAX_TESTS_OPS_XLA_CALL_H_

#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "xla/ffi/api/c_api.h"

struct XLA_FFI_Error {
  std::string message;
};

// The handler sees a thread pool of this size. Each task has a new thread.
struct XLA_FFI_ExecutionContext {
  int64_t num_threads;
  std::vector<std::thread> threads;
};

namespace bigru {

class Array {
 public:
  Array(std::vector<int64_t> shape, std::vector<float> values)
      : shape_(std::move(shape)), values_(std::move(values)) {}
  Array(std::vector<int64_t> shape, float value)
      : Array(std::move(shape), std::vector<float>()) {
    int64_t size = 1;
    for (int64_t n : shape_) size *= n;
    values_.assign(size, value);
  }
  // Of truth values, which have one byte each.
  static Array Mask(std::vector<int64_t> shape, std::vector<char> values) {
    Array mask(std::move(shape), std::vector<float>());
    mask.truths_ = std::move(values);
    mask.dtype_ = XLA_FFI_DataType_PRED;
    return mask;
  }

  const std::vector<float>& values() const { return values_; }
  const std::vector<int64_t>& shape() const { return shape_; }
  XLA_FFI_Buffer Buffer() {
    void* data = values_.data();
    if (dtype_ == XLA_FFI_DataType_PRED) data = truths_.data();
    return {XLA_FFI_Buffer_STRUCT_SIZE,          nullptr,      dtype_, data,
            static_cast<int64_t>(shape_.size()), shape_.data()};
  }

 private:
  std::vector<int64_t> shape_;
  std::vector<float> values_;
  std::vector<char> truths_;
  XLA_FFI_DataType dtype_ = XLA_FFI_DataType_F32;
};

inline const XLA_FFI_Api* Api() {
  static const XLA_FFI_Api api = [] {
    XLA_FFI_Api api = {};
    api.struct_size = XLA_FFI_Api_STRUCT_SIZE;
    api.api_version = {XLA_FFI_Api_Version_STRUCT_SIZE, nullptr,
                       XLA_FFI_API_MAJOR, XLA_FFI_API_MINOR};
    api.XLA_FFI_Error_Create = [](XLA_FFI_Error_Create_Args* args) {
      return new XLA_FFI_Error{args->message};
    };
    api.XLA_FFI_ThreadPool_NumThreads =
        [](XLA_FFI_ThreadPool_NumThreads_Args* args) -> XLA_FFI_Error* {
      *args->num_threads = args->ctx->num_threads;
      return nullptr;
    };
    api.XLA_FFI_ThreadPool_Schedule =
        [](XLA_FFI_ThreadPool_Schedule_Args* args) -> XLA_FFI_Error* {
      args->ctx->threads.emplace_back(args->task, args->data);
      return nullptr;
    };
    return api;
  }();
  return &api;
}

// Runs the handler on as many threads, and returns its error, or ''.
inline std::string CallHandler(XLA_FFI_Handler* handler, int64_t num_threads,
                               const std::string& instruction_set,
                               std::vector<Array>& arguments,
                               std::vector<Array>& results) {
  auto buffers_of = [](std::vector<Array>& arrays) {
    std::vector<XLA_FFI_Buffer> buffers;
    for (Array& array : arrays) buffers.push_back(array.Buffer());
    return buffers;
  };
  auto pointers_to = [](std::vector<XLA_FFI_Buffer>& buffers) {
    std::vector<void*> pointers;
    for (XLA_FFI_Buffer& buffer : buffers) pointers.push_back(&buffer);
    return pointers;
  };
  auto argument_buffers = buffers_of(arguments);
  auto result_buffers = buffers_of(results);
  auto argument_pointers = pointers_to(argument_buffers);
  auto result_pointers = pointers_to(result_buffers);
  std::vector<XLA_FFI_ArgType> argument_types(arguments.size(),
                                              XLA_FFI_ArgType_BUFFER);
  std::vector<XLA_FFI_RetType> result_types(results.size(),
                                            XLA_FFI_RetType_BUFFER);
  XLA_FFI_ByteSpan name = {"instruction_set", 15};
  XLA_FFI_ByteSpan value = {instruction_set.data(), instruction_set.size()};
  XLA_FFI_ByteSpan* names[] = {&name};
  void* values[] = {&value};
  XLA_FFI_AttrType attribute_types[] = {XLA_FFI_AttrType_STRING};

  XLA_FFI_ExecutionContext context = {num_threads, {}};
  XLA_FFI_CallFrame frame = {};
  frame.struct_size = XLA_FFI_CallFrame_STRUCT_SIZE;
  frame.api = Api();
  frame.ctx = &context;
  frame.stage = XLA_FFI_ExecutionStage_EXECUTE;
  frame.args = {XLA_FFI_Args_STRUCT_SIZE, nullptr,
                static_cast<int64_t>(arguments.size()), argument_types.data(),
                argument_pointers.data()};
  frame.rets = {XLA_FFI_Rets_STRUCT_SIZE, nullptr,
                static_cast<int64_t>(results.size()), result_types.data(),
                result_pointers.data()};
  frame.attrs = {XLA_FFI_Attrs_STRUCT_SIZE, nullptr, 1,
                 attribute_types,           names,   values};
  XLA_FFI_Error* error = handler(&frame);
  for (std::thread& thread : context.threads) thread.join();
  std::string message = error ? error->message : "";
  delete error;
  return message;
}

}  // namespace bigru

#endif  // BIGRU_JAX_TESTS_OPS_XLA_CALL_H_

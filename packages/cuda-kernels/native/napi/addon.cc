// The addon's registration list. Everything of an environment lives in AddonData, so that any number of worker threads
// may load the addon at once.
#include <napi.h>

#include <memory>

#include "backend/cpu/cpu_backend.h"
#include "napi/convert.h"
#include "napi/device.h"
#include "napi/imaging.h"
#include "program/program.h"
#include "program/signatures.h"

namespace vitgraph::napi {
namespace {

struct AddonData {
  DeviceClasses classes;
};

/// The signatures as data, for the contract test.
Napi::Value kernel_table(Napi::Env env) {
  const auto& signatures = kernel_signatures();
  const Napi::Array table = Napi::Array::New(env, signatures.size());
  for (std::uint32_t i = 0; i < signatures.size(); ++i) {
    const KernelSignature& signature = signatures[i];
    const Napi::Array buffers = Napi::Array::New(env);
    const Napi::Array forms = Napi::Array::New(env);
    const Napi::Array in_place = Napi::Array::New(env);
    for (const OperandSignature& operand : signature.operands) {
      const std::string name = operand.name + (operand.optional ? "?" : "");
      buffers.Set(buffers.Length(), name);
      forms.Set(forms.Length(), operand.form);
      if (operand.in_place) in_place.Set(in_place.Length(), name);
    }
    const Napi::Object scalars = Napi::Object::New(env);
    for (const ScalarSignature& scalar : signature.scalars) scalars.Set(scalar.name, scalar.kind == ScalarKind::u32 ? "u32" : "f32");
    const Napi::Array whole = Napi::Array::New(env);
    for (const std::string& quotient : signature.whole) whole.Set(whole.Length(), quotient);
    const Napi::Object row = Napi::Object::New(env);
    row.Set("name", signature.name);
    row.Set("buffers", buffers);
    row.Set("forms", forms);
    row.Set("scalars", scalars);
    row.Set("inPlace", in_place);
    row.Set("whole", whole);
    table.Set(i, row);
  }
  return table;
}

/// ({ threads, simd, gemm }) → Device
Napi::Value create_device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    const Napi::Object options = to_object(info[0], "options");
    cpu::CpuOptions cpu_options;
    cpu_options.threads = static_cast<int>(to_count(options.Get("threads"), "threads", 1024));
    cpu_options.simd = to_string(options.Get("simd"), "simd");
    cpu_options.gemm = to_string(options.Get("gemm"), "gemm");
    return make_device(info.Env(), info.Env().GetInstanceData<AddonData>()->classes, cpu::create_cpu_backend(cpu_options));
  });
}

Napi::Object init(Napi::Env env, Napi::Object exports) {
  env.SetInstanceData(new AddonData{define_device_classes(env)});
  exports.Set("programVersion", kProgramVersion);
  exports.Set("kernels", kernel_table(env));
  exports.Set("createDevice", Napi::Function::New(env, create_device, "createDevice"));
  register_imaging(env, exports);
  return exports;
}

NODE_API_MODULE(vitgraph_cpu, init)

}  // namespace
}  // namespace vitgraph::napi

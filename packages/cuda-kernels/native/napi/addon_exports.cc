#include "napi/addon_exports.h"

#include "napi/arena_handle.h"
#include "napi/convert.h"
#include "napi/device_handle.h"
#include "napi/executable_handle.h"
#include "program/program.h"
#include "program/signatures.h"

namespace vitgraph::napi {
namespace {

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
    for (const ScalarSignature& scalar : signature.scalars)
      scalars.Set(scalar.name, scalar.kind == ScalarKind::u32 ? "u32" : "f32");
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

/// (options) → Device
Napi::Value create_device(const Napi::CallbackInfo& info) {
  return guarded(info.Env(), [&]() -> Napi::Value {
    return make_device(info.Env(), addon_data(info.Env()).create_backend(to_object(info[0], "options")));
  });
}

}  // namespace

void export_addon(Napi::Env env, Napi::Object exports, CreateBackend create_backend) {
  const auto buffer = env.Global().Get("Buffer").As<Napi::Object>();
  env.SetInstanceData(new AddonData{create_backend, Napi::Persistent(DeviceHandle::define(env)),
                                    Napi::Persistent(ArenaHandle::define(env)),
                                    Napi::Persistent(ExecutableHandle::define(env)),
                                    Napi::Persistent(buffer.Get("allocUnsafeSlow").As<Napi::Function>())});
  exports.Set("programVersion", kProgramVersion);
  exports.Set("kernels", kernel_table(env));
  exports.Set("createDevice", Napi::Function::New(env, create_device, "createDevice"));
}

}  // namespace vitgraph::napi

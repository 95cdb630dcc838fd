#include "weights/convert.h"

#include "weights/store.h"

namespace vitgraph::weights {

void convert(const uint8_t* elements, DType from, size_t count, uint8_t* result, DType to) {
  with_float_type(from, [&](auto* from_type) {
    using From = std::remove_pointer_t<decltype(from_type)>;
    const auto* values = reinterpret_cast<From*>(elements);
    with_stored_type(to, [&](auto* to_type) {
      using To = std::remove_pointer_t<decltype(to_type)>;
      auto* stored = reinterpret_cast<To*>(result);
      for (size_t i = 0; i < count; i++) stored[i] = store_as<To>(to_float(values[i]));
    });
  });
}

}  // namespace vitgraph::weights

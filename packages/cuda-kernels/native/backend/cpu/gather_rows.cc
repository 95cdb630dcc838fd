// Rows that an index names, out of a table (`gather_rows`) or into one (`scatter_rows`). Both element types that they
// take have four bytes here, so bits are copied whatever they mean.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

static_assert(sizeof(float) == sizeof(std::int32_t));

void gather_rows(const Call& call) {
  enum { TABLE, INDEX, Y };
  const auto table = call.matrix<const std::uint32_t>(TABLE);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto y = call.matrix<std::uint32_t>(Y);
  check_row_index(call, index, table.rows);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    std::copy_n(table.row(static_cast<std::size_t>(*index.row(row))), y.columns, y.row(row));
  });
}

void scatter_rows(const Call& call) {
  enum { X, INDEX, Y };
  const auto x = call.matrix<const std::uint32_t>(X);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto y = call.matrix<std::uint32_t>(Y);
  check_row_index(call, index, y.rows);
  for_each_row(call, x.rows, x.columns, [&](std::size_t row) {
    std::copy_n(x.row(row), x.columns, y.row(static_cast<std::size_t>(*index.row(row))));
  });
}

}  // namespace vitgraph::cpu

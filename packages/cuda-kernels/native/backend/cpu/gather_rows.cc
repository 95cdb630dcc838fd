// Rows that an index names, out of a table (`gather_rows`) or into one (`scatter_rows`). Both element types that they
// take have four bytes here, so bits are copied whatever they mean.
#include <algorithm>

#include "backend/cpu/kernel.h"

namespace vitgraph::cpu {

static_assert(sizeof(float) == sizeof(std::int32_t));

namespace {

constexpr std::size_t kBits = 8;

/// Threads write the rows in any order, so that a row named twice would get either value, or some of both.
void check_distinct(const Call& call, const Matrix<const std::int32_t>& index, std::size_t table_rows) {
  auto* named = reinterpret_cast<std::uint8_t*>(call.step.workspace);
  std::fill_n(named, (table_rows + kBits - 1) / kBits, std::uint8_t{0});
  for (std::size_t row = 0; row < index.rows; ++row) {
    const auto target = static_cast<std::size_t>(*index.row(row));
    const auto bit = static_cast<std::uint8_t>(1u << target % kBits);
    if (named[target / kBits] & bit) {
      call.bad_contents("row " + std::to_string(row) + " of index is " + std::to_string(target) +
                        ", which an earlier row names too");
    }
    named[target / kBits] |= bit;
  }
}

}  // namespace

/// A bit for each row of y.
std::size_t scatter_rows_workspace_bytes(const Program& program, const Instruction& instruction) {
  return (operand_of(program, instruction, operands::scatter_rows::Y).rows.at(program.capacities) + kBits - 1) / kBits;
}

void gather_rows(const Call& call) {
  using namespace operands::gather_rows;
  const auto table = call.matrix<const std::uint32_t>(TABLE);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto y = call.matrix<std::uint32_t>(Y);
  check_row_index(call, index, table.rows);
  for_each_row(call, y.rows, y.columns, [&](std::size_t row) {
    std::copy_n(table.row(static_cast<std::size_t>(*index.row(row))), y.columns, y.row(row));
  });
}

void scatter_rows(const Call& call) {
  using namespace operands::scatter_rows;
  const auto x = call.matrix<const std::uint32_t>(X);
  const auto index = call.matrix<const std::int32_t>(INDEX);
  const auto y = call.matrix<std::uint32_t>(Y);
  check_row_index(call, index, y.rows);
  check_distinct(call, index, y.rows);
  for_each_row(call, x.rows, x.columns, [&](std::size_t row) {
    std::copy_n(x.row(row), x.columns, y.row(static_cast<std::size_t>(*index.row(row))));
  });
}

}  // namespace vitgraph::cpu

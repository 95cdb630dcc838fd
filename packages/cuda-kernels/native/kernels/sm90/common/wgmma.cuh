// wgmma: a warpgroup's matrix product of 64 rows × kColumns columns × 16, bf16 with f32 accumulators.
//
// Sums, thread t of the warpgroup: row 16 (t / 32) + t % 32 / 4 (and 8 below), columns 8 j + 2 (t % 4) and the next:
// sums[4 j + 0..1] in the upper row, [4 j + 2..3] in the lower. A in registers has the same layout, so the packed sums
// of one product are the A of the next.
//
// Descriptors name operands in shared memory: address, strides and swizzle of 8-row groups.
// The asm strings need every register by number; hence the macro tables.
#pragma once

#include <cstdint>

namespace vitgraph::kernels::sm90 {

/// Required before the first product that reads registers (A, or sums) written by ordinary instructions.
__device__ __forceinline__ void products_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }

__device__ __forceinline__ void products_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }

/// Waits until at most `kPending` committed groups of this warpgroup's products are in flight.
template <int kPending>
__device__ __forceinline__ void products_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}

/// Tells the compiler that these registers change here, because asynchronous products write them.
template <int kCount>
__device__ __forceinline__ void pin_registers(float (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+f"(registers[i])::"memory");
}

template <int kCount>
__device__ __forceinline__ void pin_registers(std::uint32_t (&registers)[kCount]) {
#pragma unroll
  for (int i = 0; i < kCount; ++i) asm volatile("" : "+r"(registers[i])::"memory");
}

/// Rows of `row_bytes` (32, 64 or 128) with TMA's swizzle of that width; groups of 8 rows are dense. For a K-major
/// operand `leading_bytes` is unused, and the next 16 of k are 32 bytes further. For a transposed (N-major) B it is the
/// distance between runs of `row_bytes`.
__device__ __forceinline__ std::uint64_t matrix_descriptor(std::uint32_t address, std::uint32_t row_bytes,
                                                           std::uint32_t leading_bytes = 16) {
  const std::uint64_t swizzle = row_bytes == 128 ? 1 : row_bytes == 64 ? 2 : 3;
  return (address & 0x3ffffu) >> 4 | static_cast<std::uint64_t>(leading_bytes >> 4) << 16 |
         static_cast<std::uint64_t>(8 * row_bytes >> 4) << 32 | swizzle << 62;
}

/// A descriptor advanced by `bytes`.
__device__ __forceinline__ std::uint64_t moved(std::uint64_t descriptor, std::uint32_t bytes) {
  return descriptor + (bytes >> 4);
}

// Names of the first n registers of an asm statement, and n sums as its operands.
#define VG_NAMES_4 "%0,%1,%2,%3"
#define VG_NAMES_8 VG_NAMES_4 ",%4,%5,%6,%7"
#define VG_NAMES_12 VG_NAMES_8 ",%8,%9,%10,%11"
#define VG_NAMES_16 VG_NAMES_12 ",%12,%13,%14,%15"
#define VG_NAMES_20 VG_NAMES_16 ",%16,%17,%18,%19"
#define VG_NAMES_24 VG_NAMES_20 ",%20,%21,%22,%23"
#define VG_NAMES_28 VG_NAMES_24 ",%24,%25,%26,%27"
#define VG_NAMES_32 VG_NAMES_28 ",%28,%29,%30,%31"
#define VG_NAMES_36 VG_NAMES_32 ",%32,%33,%34,%35"
#define VG_NAMES_40 VG_NAMES_36 ",%36,%37,%38,%39"
#define VG_NAMES_44 VG_NAMES_40 ",%40,%41,%42,%43"
#define VG_NAMES_48 VG_NAMES_44 ",%44,%45,%46,%47"
#define VG_NAMES_52 VG_NAMES_48 ",%48,%49,%50,%51"
#define VG_NAMES_56 VG_NAMES_52 ",%52,%53,%54,%55"
#define VG_NAMES_60 VG_NAMES_56 ",%56,%57,%58,%59"
#define VG_NAMES_64 VG_NAMES_60 ",%60,%61,%62,%63"
#define VG_NAMES_68 VG_NAMES_64 ",%64,%65,%66,%67"
#define VG_NAMES_72 VG_NAMES_68 ",%68,%69,%70,%71"
#define VG_NAMES_76 VG_NAMES_72 ",%72,%73,%74,%75"
#define VG_NAMES_80 VG_NAMES_76 ",%76,%77,%78,%79"
#define VG_NAMES_84 VG_NAMES_80 ",%80,%81,%82,%83"
#define VG_NAMES_88 VG_NAMES_84 ",%84,%85,%86,%87"
#define VG_NAMES_92 VG_NAMES_88 ",%88,%89,%90,%91"
#define VG_NAMES_96 VG_NAMES_92 ",%92,%93,%94,%95"
#define VG_NAMES_100 VG_NAMES_96 ",%96,%97,%98,%99"
#define VG_NAMES_104 VG_NAMES_100 ",%100,%101,%102,%103"
#define VG_NAMES_108 VG_NAMES_104 ",%104,%105,%106,%107"
#define VG_NAMES_112 VG_NAMES_108 ",%108,%109,%110,%111"
#define VG_NAMES_116 VG_NAMES_112 ",%112,%113,%114,%115"
#define VG_NAMES_120 VG_NAMES_116 ",%116,%117,%118,%119"
#define VG_NAMES_124 VG_NAMES_120 ",%120,%121,%122,%123"
#define VG_NAMES_128 VG_NAMES_124 ",%124,%125,%126,%127"
#define VG_SUMS_4(i) "+f"(sums[i]), "+f"(sums[i + 1]), "+f"(sums[i + 2]), "+f"(sums[i + 3])
#define VG_SUMS_8(i) VG_SUMS_4(i), VG_SUMS_4(i + 4)
#define VG_SUMS_16(i) VG_SUMS_8(i), VG_SUMS_8(i + 8)
#define VG_SUMS_32(i) VG_SUMS_16(i), VG_SUMS_16(i + 16)
#define VG_SUMS_64(i) VG_SUMS_32(i), VG_SUMS_32(i + 32)

/// sums = a · bᵀ (+ sums): both in shared memory, rows along k.
template <int kColumns>
struct SharedProduct;

// clang-format off
#define VG_SHARED_PRODUCT(COLUMNS, NAMES, SUMS, A, B, KEEP)                                                            \
  template <>                                                                                                          \
  struct SharedProduct<COLUMNS> {                                                                                      \
    static __device__ __forceinline__ void add(float (&sums)[COLUMNS / 2], std::uint64_t a, std::uint64_t b,           \
                                               bool keep) {                                                            \
      asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, %" #KEEP ", 0;\n"                                            \
                   "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k16.f32.bf16.bf16 {" NAMES "}, %" #A ", %" #B         \
                   ", keep, 1, 1, 0, 0;\n}"                                                                            \
                   : SUMS                                                                                              \
                   : "l"(a), "l"(b), "r"(static_cast<int>(keep)));                                                     \
    }                                                                                                                  \
  }
#define VG_ALL(...) __VA_ARGS__
// clang-format on

VG_SHARED_PRODUCT(32, VG_NAMES_16, VG_ALL(VG_SUMS_16(0)), 16, 17, 18);
VG_SHARED_PRODUCT(64, VG_NAMES_32, VG_ALL(VG_SUMS_32(0)), 32, 33, 34);
VG_SHARED_PRODUCT(80, VG_NAMES_40, VG_ALL(VG_SUMS_32(0), VG_SUMS_8(32)), 40, 41, 42);
VG_SHARED_PRODUCT(96, VG_NAMES_48, VG_ALL(VG_SUMS_32(0), VG_SUMS_16(32)), 48, 49, 50);
VG_SHARED_PRODUCT(112, VG_NAMES_56, VG_ALL(VG_SUMS_32(0), VG_SUMS_16(32), VG_SUMS_8(48)), 56, 57, 58);
VG_SHARED_PRODUCT(128, VG_NAMES_64, VG_ALL(VG_SUMS_64(0)), 64, 65, 66);
VG_SHARED_PRODUCT(144, VG_NAMES_72, VG_ALL(VG_SUMS_64(0), VG_SUMS_8(64)), 72, 73, 74);
VG_SHARED_PRODUCT(160, VG_NAMES_80, VG_ALL(VG_SUMS_64(0), VG_SUMS_16(64)), 80, 81, 82);
VG_SHARED_PRODUCT(176, VG_NAMES_88, VG_ALL(VG_SUMS_64(0), VG_SUMS_16(64), VG_SUMS_8(80)), 88, 89, 90);
VG_SHARED_PRODUCT(192, VG_NAMES_96, VG_ALL(VG_SUMS_64(0), VG_SUMS_32(64)), 96, 97, 98);
VG_SHARED_PRODUCT(240, VG_NAMES_120, VG_ALL(VG_SUMS_64(0), VG_SUMS_32(64), VG_SUMS_16(96), VG_SUMS_8(112)), 120, 121,
                  122);
VG_SHARED_PRODUCT(256, VG_NAMES_128, VG_ALL(VG_SUMS_64(0), VG_SUMS_64(64)), 128, 129, 130);

/// sums = a · b (+ sums): a in registers, b in shared memory with rows along n (transposed).
template <int kColumns>
struct RegisterProduct;

// clang-format off
#define VG_REGISTER_PRODUCT(COLUMNS, NAMES, SUMS, A0, A1, A2, A3, B, KEEP)                                             \
  template <>                                                                                                          \
  struct RegisterProduct<COLUMNS> {                                                                                    \
    static __device__ __forceinline__ void add(float (&sums)[COLUMNS / 2], const std::uint32_t* a, std::uint64_t b,    \
                                               bool keep) {                                                            \
      asm volatile("{\n.reg .pred keep;\nsetp.ne.b32 keep, %" #KEEP ", 0;\n"                                            \
                   "wgmma.mma_async.sync.aligned.m64n" #COLUMNS "k16.f32.bf16.bf16 {" NAMES "}, {%" #A0 ",%" #A1       \
                   ",%" #A2 ",%" #A3 "}, %" #B ", keep, 1, 1, 1;\n}"                                                   \
                   : SUMS                                                                                              \
                   : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "l"(b), "r"(static_cast<int>(keep)));                 \
    }                                                                                                                  \
  }
// clang-format on

VG_REGISTER_PRODUCT(8, VG_NAMES_4, VG_ALL(VG_SUMS_4(0)), 4, 5, 6, 7, 8, 9);
VG_REGISTER_PRODUCT(16, VG_NAMES_8, VG_ALL(VG_SUMS_8(0)), 8, 9, 10, 11, 12, 13);
VG_REGISTER_PRODUCT(64, VG_NAMES_32, VG_ALL(VG_SUMS_32(0)), 32, 33, 34, 35, 36, 37);
VG_REGISTER_PRODUCT(72, VG_NAMES_36, VG_ALL(VG_SUMS_32(0), VG_SUMS_4(32)), 36, 37, 38, 39, 40, 41);
VG_REGISTER_PRODUCT(80, VG_NAMES_40, VG_ALL(VG_SUMS_32(0), VG_SUMS_8(32)), 40, 41, 42, 43, 44, 45);
VG_REGISTER_PRODUCT(96, VG_NAMES_48, VG_ALL(VG_SUMS_32(0), VG_SUMS_16(32)), 48, 49, 50, 51, 52, 53);
VG_REGISTER_PRODUCT(128, VG_NAMES_64, VG_ALL(VG_SUMS_64(0)), 64, 65, 66, 67, 68, 69);

#undef VG_SHARED_PRODUCT
#undef VG_REGISTER_PRODUCT
#undef VG_ALL
#undef VG_SUMS_4
#undef VG_SUMS_8
#undef VG_SUMS_16
#undef VG_SUMS_32
#undef VG_SUMS_64

}  // namespace vitgraph::kernels::sm90

// The product by OpenBLAS, a call a block. Weights in 16 bits are widened first, kWidenedDepth of them at a time.
#include <cblas.h>

#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <string>
#include <thread>

#include "backend/cpu/gemm/gemm.h"

namespace vitgraph::cpu {
namespace {

/// OpenBLAS packs both sides of every call anew, so its blocks are larger than ours.
constexpr std::size_t kMostRows = 672;
constexpr std::size_t kMostColumns = 768;
constexpr std::size_t kWidenedDepth = 512;

/// OpenBLAS frees its buffers in a destructor of its library. A process may exit in the middle of a run (process.exit
/// doesn't wait for device threads), and a product under way would then read unmapped memory. So exiting waits for the
/// products that have begun, a few milliseconds at most, and keeps others from beginning.
class ExitGuard {
 public:
  ExitGuard() { active().fetch_add(1); }
  ~ExitGuard() { active().fetch_sub(1); }
  ExitGuard(const ExitGuard&) = delete;
  ExitGuard& operator=(const ExitGuard&) = delete;

  bool may_begin() const { return !exiting().load(); }

  /// Handlers run before destructors of libraries do.
  static void install() {
    static const int installed = std::atexit([] {
      exiting().store(true);
      while (active().load() != 0) std::this_thread::yield();
    });
    static_cast<void>(installed);
  }

 private:
  static std::atomic<int>& active() {
    static constinit std::atomic<int> count{0};
    return count;
  }
  static std::atomic<bool>& exiting() {
    static constinit std::atomic<bool> flag{false};
    return flag;
  }
};

void sgemm(const Block& block, std::size_t p, std::size_t depth, const float* weight, std::size_t weight_stride,
           float* c, std::size_t c_stride) {
  cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, static_cast<int>(block.rows), static_cast<int>(block.columns),
              static_cast<int>(depth), 1.0f, block.x + p, static_cast<int>(block.x_stride), weight,
              static_cast<int>(weight_stride), p > 0 ? 1.0f : 0.0f, c, static_cast<int>(c_stride));
}

void multiply(const Block& block, const Simd& simd, float* scratch, float* c, std::size_t c_stride) {
  const ExitGuard guard;
  if (!guard.may_begin()) return;
  if (block.weight_dtype == DType::f32) {
    return sgemm(block, 0, block.depth, static_cast<const float*>(block.weight), block.weight_stride, c, c_stride);
  }
  for (std::size_t p = 0; p < block.depth; p += kWidenedDepth) {
    const std::size_t depth = std::min(kWidenedDepth, block.depth - p);
    for (std::size_t column = 0; column < block.columns; ++column) {
      const std::byte* from = static_cast<const std::byte*>(block.weight) +
                              (column * block.weight_stride + p) * size_of(block.weight_dtype);
      simd.widen(from, block.weight_dtype, depth, scratch + column * kWidenedDepth);
    }
    sgemm(block, p, depth, scratch, kWidenedDepth, c, c_stride);
  }
}

}  // namespace

constinit const Gemm kOpenBlasGemm = {"openblas", kMostRows, kMostColumns, kWidenedDepth* kMostColumns,
                                      false,      multiply};

bool is_openblas_usable() {
  constexpr int sequential = 0;
  if (openblas_get_parallel() == sequential) return false;
  // Process-wide and permanent: our pool splits the work, and OpenBLAS's own threads would compete with it.
  openblas_set_num_threads(1);
  ExitGuard::install();
  return true;
}

std::string openblas_version() {
  // "OpenBLAS 0.3.21 NO_LAPACKE DYNAMIC_ARCH …": its name and version are the first two words.
  const std::string config = openblas_get_config();
  return config.substr(0, config.find(' ', config.find(' ') + 1));
}

}  // namespace vitgraph::cpu

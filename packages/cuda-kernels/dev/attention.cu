// The attention ladder: numbered versions, each checked against float64 and timed. docs/attention-ladder.md tells what
// they taught; the winners are what native/kernels/*/attention launches.
//
//   attention check            every version and launcher, all head sizes, odd segments, poisoned rows
//   attention time [filter]    TFLOP/s of useful arithmetic, 16 heads, for 16×1024, 4×4096 and 1×16384
//   attention batches [filter] microseconds of the tower's batches, head size 72, the versions in turn
#include <cstring>
#include <functional>
#include <numeric>
#include <tuple>

#include "harness.h"
#include "kernels/sm90/attention/attention.h"
#include "kernels/sm90/attention/launch.cuh"
#include "kernels/smxx/attention/attention.h"

namespace vitgraph::dev {
namespace {

using kernels::AttentionItem;
using kernels::AttentionOperands;
using kernels::AttentionStrip;
using kernels::AttentionTiler;
using kernels::AttentionTiling;
using kernels::sm90::AttentionShape;
using kernels::sm90::AttentionWork;

using LaunchVersion = std::function<cudaError_t(const Launch&, const AttentionOperands&, AttentionWork*)>;

struct Version {
  std::string name;
  int head_size;  // 0: all of them
  /// Heights of the tiles.
  int tallest;
  int shortest;
  LaunchVersion launch;
};

/// v1: what the formula says, a warp a query row and head, on the units for ordinary arithmetic.
__global__ void attention_v1_kernel(const AttentionOperands operands) {
  const int lane = threadIdx.x % 32;
  const int number = static_cast<int>(blockIdx.x);
  if (number >= *operands.tile_count.count * operands.heads) return;
  const AttentionItem item = kernels::attention_item(operands.tiles, number, operands.heads);
  const int d = operands.head_size;
  const int column = item.head * d;
  for (int row = threadIdx.x / 32; row < item.rows; row += blockDim.x / 32) {
    const std::int64_t at = item.segment_start + item.first_row + row;
    const Bf16* q = operands.q.data + at * operands.q.row_stride + column;
    float largest = -INFINITY;
    float sum = 0;
    float sums[4] = {};
    for (int j = 0; j < item.segment_length; ++j) {
      const Bf16* k = operands.k.data + (item.segment_start + j) * operands.k.row_stride + column;
      const Bf16* v = operands.v.data + (item.segment_start + j) * operands.v.row_stride + column;
      float score = 0;
      for (int c = lane; c < d; c += 32) score += __bfloat162float(q[c]) * __bfloat162float(k[c]);
      for (int distance = 16; distance > 0; distance /= 2) score += __shfl_xor_sync(~0u, score, distance);
      score *= operands.scale;
      const float new_largest = fmaxf(largest, score);
      const float shrink = expf(largest - new_largest);
      const float weight = expf(score - new_largest);
      largest = new_largest;
      sum = sum * shrink + weight;
      for (int c = lane, i = 0; c < d; c += 32, ++i) sums[i] = sums[i] * shrink + weight * __bfloat162float(v[c]);
    }
    for (int c = lane, i = 0; c < d; c += 32, ++i) {
      operands.y.data[at * operands.y.row_stride + column + c] = __float2bfloat16_rn(sums[i] / sum);
    }
  }
}

cudaError_t launch_v1(const Launch& launch, const AttentionOperands& operands, AttentionWork*) {
  const dim3 grid(operands.tile_count.capacity * operands.heads);
  return kernels::launch_kernel(launch, attention_v1_kernel, grid, 256, 0, operands);
}

template <typename Shape>
Version hopper(const std::string& name, int shortest = Shape::kTileRows) {
  return {name, Shape::kHeadSize, Shape::kTileRows, shortest, kernels::sm90::launch_attention_shape<Shape>};
}

std::vector<Version> versions() {
  std::vector<Version> all{
      {"v1 naive", 0, 64, 64, launch_v1},
      {"v2 mma.sync (smxx)", 0, kernels::smxx::kAttentionTileRows, kernels::smxx::kAttentionTileRows,
       [](const Launch& l, const AttentionOperands& o, AttentionWork*) {
         return kernels::smxx::launch_attention(l, o);
       }},
#include "attention_versions.inc"
  };
  // Each launcher's shape, with tiles of one height and with those that the tiling chooses.
  for (const auto& [name, tallest, shortest] : {std::tuple{"sm90 64", 64, 64},
                                                {"sm90 128", 128, 128},
                                                {"sm90 128, planned", 128, 64},
                                                {"sm90 192", 192, 192},
                                                {"sm90 192, planned", 192, 64}}) {
    const auto launch = [tallest = tallest](const Launch& l, const AttentionOperands& o, AttentionWork* work) {
      return kernels::sm90::launch_attention(l, o, work, std::max(tallest, 128));
    };
    all.push_back({name, 0, tallest, shortest, launch});
  }
  return all;
}

/// One batch: packed qkv and y with room for more rows than there are, everything beyond the real rows NaN.
struct Batch {
  Batch(const std::vector<int>& lengths, int head_size, int heads, int spare_rows)
      : heads(heads),
        head_size(head_size),
        rows(std::accumulate(lengths.begin(), lengths.end(), 0)),
        capacity(rows + spare_rows),
        cu_seqlens(lengths.size() + 1),
        qkv(static_cast<std::size_t>(capacity) * 3 * columns()),
        y(static_cast<std::size_t>(capacity) * columns()),
        work(std::vector<AttentionWork>(1)) {
    std::partial_sum(lengths.begin(), lengths.end(), cu_seqlens.begin() + 1);
    qkv.poison();
    fill_normal(qkv.data(), static_cast<std::size_t>(rows) * 3 * columns());
  }

  int columns() const { return heads * head_size; }

  AttentionOperands operands(const Version& version) {
    if (std::pair(version.tallest, version.shortest) != made_for) {
      const std::size_t tile_capacity = kernels::attention_tile_capacity(static_cast<std::size_t>(capacity),
                                                                         cu_seqlens.size() - 1 + 3, version.shortest);
      std::vector<AttentionStrip> host(tile_capacity, {-1, -1, -1, -1, -1, -1, {}});
      const AttentionTiling tiling{.heads = heads,
                                   .multiprocessors = multiprocessors(),
                                   .tallest = version.tallest,
                                   .shortest = version.shortest};
      AttentionTiler tiler(tiling, cu_seqlens.size());
      const std::size_t real = tiler.write(cu_seqlens, host);
      tiles.clear();
      counts.clear();
      tiles.emplace_back(host);
      counts.emplace_back(std::vector<std::int32_t>{static_cast<std::int32_t>(real)});
      made_for = {version.tallest, version.shortest};
    }
    const std::int64_t stride = 3 * columns();
    return {.q = {qkv.data(), stride},
            .k = {qkv.data() + columns(), stride},
            .v = {qkv.data() + 2 * columns(), stride},
            .y = {y.data(), columns()},
            .row_capacity = capacity,
            .heads = heads,
            .head_size = head_size,
            .scale = 1 / std::sqrt(static_cast<float>(head_size)),
            .tiles = tiles[0].data(),
            .tile_count = {counts[0].data(), 0, static_cast<std::int32_t>(tiles[0].size())}};
  }

  int heads;
  int head_size;
  int rows;
  int capacity;
  std::vector<std::int32_t> cu_seqlens;
  DeviceBuffer<Bf16> qkv;
  DeviceBuffer<Bf16> y;
  DeviceBuffer<AttentionWork> work;
  std::pair<int, int> made_for;
  std::vector<DeviceBuffer<AttentionStrip>> tiles;
  std::vector<DeviceBuffer<std::int32_t>> counts;
};

/// A block a row and head; rows that are not a multiple of `every` are left NaN, which means: not asked for.
__global__ void reference_kernel(const Bf16* qkv, const std::int32_t* starts, const std::int32_t* lengths, int heads,
                                 int d, double scale, int every, double* y) {
  extern __shared__ double scores[];
  __shared__ double shared_sum;
  const int row = blockIdx.x * every;
  const int head = blockIdx.y;
  const std::int64_t stride = 3 * heads * d;
  const int start = starts[row];
  const int length = lengths[row];
  const Bf16* q = qkv + row * stride + head * d;
  for (int j = threadIdx.x; j < length; j += blockDim.x) {
    const Bf16* k = qkv + (start + j) * stride + heads * d + head * d;
    double dot = 0;
    for (int c = 0; c < d; ++c) dot += static_cast<double>(__bfloat162float(q[c])) * __bfloat162float(k[c]);
    scores[j] = dot * scale;
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    double largest = -INFINITY;
    for (int j = 0; j < length; ++j) largest = fmax(largest, scores[j]);
    double sum = 0;
    for (int j = 0; j < length; ++j) sum += scores[j] = exp(scores[j] - largest);
    shared_sum = sum;
  }
  __syncthreads();
  for (int c = threadIdx.x; c < d; c += blockDim.x) {
    double sum = 0;
    for (int j = 0; j < length; ++j) {
      sum += scores[j] * __bfloat162float(qkv[(start + j) * stride + 2 * heads * d + head * d + c]);
    }
    y[static_cast<std::int64_t>(row) * heads * d + head * d + c] = sum / shared_sum;
  }
}

std::vector<double> reference(const Batch& batch, int every) {
  std::vector<std::int32_t> starts;
  std::vector<std::int32_t> lengths;
  for (std::size_t s = 0; s + 1 < batch.cu_seqlens.size(); ++s) {
    for (int row = batch.cu_seqlens[s]; row < batch.cu_seqlens[s + 1]; ++row) {
      starts.push_back(batch.cu_seqlens[s]);
      lengths.push_back(batch.cu_seqlens[s + 1] - batch.cu_seqlens[s]);
    }
  }
  const int longest = *std::max_element(lengths.begin(), lengths.end());
  const DeviceBuffer<std::int32_t> device_starts(starts);
  const DeviceBuffer<std::int32_t> device_lengths(lengths);
  const DeviceBuffer<double> y(static_cast<std::size_t>(batch.rows) * batch.columns());
  y.poison();
  CHECK_CUDA(cudaFuncSetAttribute(reference_kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, longest * 8));
  reference_kernel<<<dim3((batch.rows + every - 1) / every, batch.heads), 128, longest * 8>>>(
      batch.qkv.data(), device_starts.data(), device_lengths.data(), batch.heads, batch.head_size,
      1 / std::sqrt(static_cast<float>(batch.head_size)), every, y.data());
  CHECK_CUDA(cudaDeviceSynchronize());
  return y.download();
}

struct CheckCase {
  std::string name;
  std::vector<int> lengths;
  int heads;
  int every;
  /// A segment of NaN, which must stay alone; -1 for none.
  int broken_segment;
  /// Keys become this much longer, from the segment's end to its start: what the running softmax has to follow.
  float key_growth = 1;
};

/// Scales the keys of row i of `rows` by growth^((rows - 1 - i) / rows).
__global__ void grow_keys_kernel(Bf16* qkv, int rows, int columns, float growth) {
  const float factor = powf(growth, static_cast<float>(rows - 1 - static_cast<int>(blockIdx.x)) / rows);
  for (int c = threadIdx.x; c < columns; c += blockDim.x) {
    Bf16& key = qkv[static_cast<std::int64_t>(blockIdx.x) * 3 * columns + columns + c];
    key = __float2bfloat16_rn(__bfloat162float(key) * factor);
  }
}

void check(const std::string& filter, bool tiny) {
  std::vector<CheckCase> cases{
      {"odd lengths", {1, 4, 17, 63, 64, 65, 127, 128, 129, 191, 192, 193, 196, 1000}, 3, 1, -1},
      {"windows", std::vector<int>(97, 64), 2, 1, -1},
      {"ones", std::vector<int>(33, 1), 2, 1, -1},
      {"broken neighbour", {100, 50, 77, 130}, 2, 1, 1},
      {"long", {5000, 3}, 2, 7, -1},
      {"growing keys", {2000}, 2, 1, -1, 20},
      {"leaping keys", {129, 700}, 2, 1, -1, 1e3f},
  };
  if (tiny)
    cases = {{"odd lengths", {1, 4, 17, 65, 127, 196, 300}, 2, 1, -1},
             {"broken neighbour", {100, 50, 77, 130}, 2, 1, 1}};
  for (const int head_size : {64, 72, 80, 96, 128}) {
    for (const CheckCase& test : cases) {
      Batch batch(test.lengths, head_size, test.heads, 77);
      const std::size_t row = 3 * static_cast<std::size_t>(batch.columns());
      if (test.broken_segment >= 0) {
        const auto first = static_cast<std::size_t>(batch.cu_seqlens[test.broken_segment]);
        CHECK_CUDA(cudaMemset(batch.qkv.data() + first * row, 0xff,
                              static_cast<std::size_t>(test.lengths[test.broken_segment]) * row * 2));
      }
      if (test.key_growth != 1) {
        grow_keys_kernel<<<batch.rows, 128>>>(batch.qkv.data(), batch.rows, batch.columns(), test.key_growth);
      }
      const std::vector<double> expected = reference(batch, test.every);
      for (const Version& version : versions()) {
        if (version.name.find(filter) == std::string::npos) continue;
        if (version.head_size != 0 && version.head_size != head_size) continue;
        if (version.head_size == 0 && version.tallest == 192 && head_size > 80) continue;
        // Twice: the second run finds the counters as the first one left them, and each of its few blocks takes many
        // items, so that their steps run on from one to the next.
        for (int run = 0; run < 2; ++run) {
          batch.y.poison();
          Launch launch = default_launch();
          if (run == 1) launch.multiprocessors = 3;
          CHECK_CUDA(version.launch(launch, batch.operands(version), batch.work.data()));
          CHECK_CUDA(cudaDeviceSynchronize());
          const double error =
              relative_error(batch.y.download(), batch.columns(), expected, batch.rows, batch.columns());
          // Weights and results are rounded to bf16: 2^-9 each at most, some 2e-3 together.
          report("attention " + version.name + ", head size " + std::to_string(head_size) + ", " + test.name, error,
                 3e-3);
        }
      }
    }
  }
}

void time(const std::string& filter, const std::vector<int>& head_sizes) {
  const std::vector<std::pair<int, int>> workloads{{16, 1024}, {4, 4096}, {1, 16384}};
  for (const int head_size : head_sizes) {
    std::vector<Batch> batches;
    for (const auto& [count, length] : workloads)
      batches.emplace_back(std::vector<int>(count, length), head_size, 16, 0);
    for (const Version& version : versions()) {
      if (version.name.find(filter) == std::string::npos || version.name == "v1 naive") continue;
      if (version.head_size != 0 && version.head_size != head_size) continue;
      if (version.head_size == 0 && version.tallest == 192 && head_size > 80) continue;
      std::printf("%-44s %3d", version.name.c_str(), head_size);
      for (std::size_t i = 0; i < workloads.size(); ++i) {
        const auto [count, length] = workloads[i];
        Batch& batch = batches[i];
        const AttentionOperands operands = batch.operands(version);
        const Launch launch = default_launch();
        const double ms = time_ms([&] { CHECK_CUDA(version.launch(launch, operands, batch.work.data())); }, 10);
        std::printf("  %5.0f", 4.0 * count * length * length * batch.columns() / ms / 1e9);
      }
      std::printf("\n");
    }
  }
}

/// One launch a version and workload, for a profiler that counts cycles: clocks move, cycles hardly.
void run_once(const std::string& filter, int head_size) {
  for (const auto& [count, length] : {std::pair{16, 1024}, std::pair{1, 16384}}) {
    Batch batch(std::vector<int>(count, length), head_size, 16, 0);
    for (const Version& version : versions()) {
      if (version.name.find(filter) == std::string::npos || version.name == "v1 naive") continue;
      if (version.head_size != 0 && version.head_size != head_size) continue;
      if (version.head_size == 0 && version.tallest == 192 && head_size > 80) continue;
      const AttentionOperands operands = batch.operands(version);
      CHECK_CUDA(version.launch(default_launch(), operands, batch.work.data()));
      CHECK_CUDA(cudaDeviceSynchronize());
      std::printf("ONCE %s %dx%d\n", version.name.c_str(), count, length);
      std::fflush(stdout);
    }
  }
}

/// Alternates the versions, because the clock depends on what ran before.
void time_batches(const std::string& filter) {
  const std::vector<std::pair<std::string, std::vector<int>>> batches{
      {"1x196", {196}},
      {"1x784", {784}},
      {"1x2304", {2304}},
      {"1x4096", {4096}},
      {"1x16384", {16384}},
      {"8x440", std::vector<int>(8, 440)},
      {"16 mixed", {196, 196, 196, 784, 784, 784, 784, 768, 768, 768, 1200, 1200, 1200, 1536, 1536, 3072}},
      {"16x1024", std::vector<int>(16, 1024)},
      {"64 windows of 64", std::vector<int>(64, 64)},
      {"8x4800 3x4096", {4800, 4800, 4800, 4800, 4800, 4800, 4800, 4800, 4096, 4096, 4096}}};
  constexpr int kRounds = 7;
  std::vector<Version> timed;
  for (const Version& version : versions()) {
    const bool head_size_72 = version.head_size == 0 || version.head_size == 72;
    if (head_size_72 && version.name != "v1 naive" && version.name.find(filter) != std::string::npos)
      timed.push_back(version);
  }
  for (const auto& [name, lengths] : batches) {
    Batch batch(lengths, 72, 16, 0);
    double flops = 0;
    for (const int length : lengths) flops += 4.0 * length * length * batch.columns();
    std::vector<std::vector<double>> us(timed.size());
    double mhz = 0;
    for (int round = 0; round < kRounds; ++round) {
      for (std::size_t i = 0; i < timed.size(); ++i) {
        const AttentionOperands operands = batch.operands(timed[i]);
        us[i].push_back(1e3 * time_in_graph_ms(
                                  [&](cudaStream_t stream, int) {
                                    Launch launch = default_launch();
                                    launch.stream = stream;
                                    CHECK_CUDA(timed[i].launch(launch, operands, batch.work.data()));
                                  },
                                  batch.rows < 16000 ? 20 : 4, 5));
        mhz = sm_clock_mhz();
      }
    }
    std::printf("%s, at %.0f MHz\n", name.c_str(), mhz);
    for (std::size_t i = 0; i < timed.size(); ++i) {
      std::sort(us[i].begin(), us[i].end());
      const double median = us[i][kRounds / 2];
      std::printf("  %-48s %7.1f us (%.1f..%.1f) %4.0f TFLOP/s\n", timed[i].name.c_str(), median, us[i].front(),
                  us[i].back(), flops / median / 1e6);
    }
  }
}

}  // namespace
}  // namespace vitgraph::dev

int main(int argc, char** argv) {
  using namespace vitgraph::dev;
  const std::string what = argc > 1 ? argv[1] : "check";
  const std::string filter = argc > 2 ? argv[2] : "";
  if (what == "check") check(filter, false);
  if (what == "check-tiny") check(filter, true);
  if (what == "time") time(filter, {72});
  if (what == "time-all") time(filter, {64, 72, 80, 96, 128});
  if (what == "batches") time_batches(filter);
  if (what == "once") run_once(filter, argc > 3 ? std::atoi(argv[3]) : 72);
  std::printf("attention %s: %s\n", what.c_str(), all_passed() ? "passed" : "FAILED");
  return all_passed() ? 0 : 1;
}

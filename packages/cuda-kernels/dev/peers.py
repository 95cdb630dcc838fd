"""What PyTorch's libraries reach at the shapes of the kernel benches, to be run beside them on the same machine.

    python3 peers.py attention | linear
Attention: FlashAttention-2 varlen and cuDNN (dense), TFLOP/s of useful arithmetic, 16 heads.
Linear: F.linear with bias (cuBLASLt), microseconds in a graph of 20 calls, and TFLOP/s.
"""
import statistics
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.varlen import varlen_attn

torch.set_grad_enabled(False)


def time_ms(call, repeats=10):
    for _ in range(3):
        call()
    times = []
    for _ in range(repeats):
        start, stop = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        start.record()
        call()
        stop.record()
        stop.synchronize()
        times.append(start.elapsed_time(stop))
    return statistics.median(times)


def random(*shape):
    return torch.randn(*shape, device="cuda", dtype=torch.bfloat16)


def attention(head_sizes):
    for head_size in head_sizes:
        rows = {"FlashAttention-2 varlen": [], "cuDNN dense": []}
        for count, length in ((16, 1024), (4, 4096), (1, 16384)):
            q, k, v = random(count * length, 3, 16, head_size).unbind(1)
            bounds = torch.arange(0, count + 1, device="cuda", dtype=torch.int32) * length
            flops = 4 * count * length * length * 16 * head_size
            v_dense = v.contiguous()
            ms = time_ms(lambda: varlen_attn(q, k, v_dense, bounds, bounds, length, length))
            rows["FlashAttention-2 varlen"].append(flops / ms / 1e9)
            dense = [t.contiguous().view(count, length, 16, head_size).transpose(1, 2) for t in (q, k, v)]
            with sdpa_kernel(SDPBackend.CUDNN_ATTENTION):
                ms = time_ms(lambda: F.scaled_dot_product_attention(*dense))
            rows["cuDNN dense"].append(flops / ms / 1e9)
        for name, values in rows.items():
            print(f"{name:44s} {head_size:3d}" + "".join(f"  {value:5.0f}" for value in values), flush=True)


def linear():
    for rows in (256, 784, 4096, 16384, 55296):
        for n, k in ((3456, 1152), (1152, 1152), (4304, 1152), (1152, 4304), (4608, 4608)):
            m = rows // 4 if k == 4608 else rows
            x, weight, bias = random(m, k), random(n, k), random(n)
            calls = 20
            F.linear(x, weight, bias)
            torch.cuda.synchronize()
            graph = torch.cuda.CUDAGraph()
            with torch.cuda.graph(graph):
                for _ in range(calls):
                    F.linear(x, weight, bias)
            ms = time_ms(graph.replay, 7) / calls
            print(f"F.linear {m:6d} x {n} x {k:5d}  {ms * 1e3:8.1f} us  {2 * m * n * k / ms / 1e9:5.0f} TFLOP/s", flush=True)


if __name__ == "__main__":
    print("torch", torch.__version__, torch.cuda.get_device_name())
    if sys.argv[1] == "attention":
        attention([int(size) for size in sys.argv[2:]] or [64, 72, 80, 128])
    else:
        linear()

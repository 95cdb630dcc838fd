"""Shared by the peers: times of calls and of captured graphs, and the distance between two outputs."""

import math
import time

import torch

# Segments that the padded graph has room for, as in a server's capture.
SMALLEST_SLOTS = 16
# The first calls compile, choose algorithms and raise the clocks.
WARMUP = 5


def time_events(call, repetitions: int) -> list[float]:
    for _ in range(WARMUP):
        call()
    torch.cuda.synchronize()
    times = []
    for _ in range(repetitions):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        call()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return times


def time_wall(call, repetitions: int) -> list[float]:
    for _ in range(WARMUP):
        call()
    times = []
    for _ in range(repetitions):
        torch.cuda.synchronize()
        start = time.perf_counter()
        call()
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1e3)
    return times


def time_graph(tower, inputs, repetitions: int) -> tuple[list[float], torch.Tensor]:
    """Compiles, captures and replays `tower.forward(*inputs.arguments())`; the output of the last replay."""
    torch.compiler.reset()  # or the limit on recompilations would be met
    compiled = torch.compile(tower.forward, dynamic=False)
    arguments = inputs.arguments()
    for _ in range(3):
        compiled(*arguments)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        output = compiled(*arguments)
    times = time_events(graph.replay, repetitions)
    return times, output.clone()


def relative_l2(value: torch.Tensor, reference: torch.Tensor) -> float:
    """In float64, a few rows at a time: large outputs have gigabytes."""
    difference = norm = 0.0
    for actual, expected in zip(value.split(1024), reference.split(1024)):
        difference += (actual.double() - expected.double()).square().sum().item()
        norm += expected.double().square().sum().item()
    return math.sqrt(difference / norm)

"""A GPU's SM clock and power while something is timed, as nvidia-smi samples them: `vitgraph bench` has the same.

Nothing is set on the card. Where there is no nvidia-smi, nothing is sampled.
"""

import atexit
import os
import statistics
import subprocess
import threading
import time

SAMPLE_MS = 20
FIELDS = "clocks.sm,power.draw.instant"


class CardSampler:
    def __init__(self):
        self.samples: list[tuple[float, float, float]] = []
        # nvidia-smi numbers all cards of the machine, whatever CUDA_VISIBLE_DEVICES shows.
        card = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0]
        command = ["nvidia-smi", "-i", card, f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"]
        try:
            process = subprocess.Popen(
                [*command, "-lms", str(SAMPLE_MS)],
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        except OSError:
            return
        threading.Thread(target=self._read, args=(process,), daemon=True).start()
        atexit.register(process.kill)

    def _read(self, process: subprocess.Popen) -> None:
        for line in process.stdout:
            try:
                clock, power = (float(value) for value in line.split(","))
            except ValueError:  # a card that does not report one
                continue
            self.samples.append((time.perf_counter(), clock, power))

    def since(self, moment: float) -> dict | None:
        """Means of the samples after a moment of `time.perf_counter()`; None where there are none."""
        samples = [sample for sample in list(self.samples) if sample[0] >= moment]
        if not samples:
            return None
        return {
            "sm_clock_mhz": statistics.mean(clock for _, clock, _ in samples),
            "power_watts": statistics.mean(power for _, _, power in samples),
        }

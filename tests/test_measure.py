"""The instruments themselves: bytes, peaks, fidelity."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from scipy.ndimage import uniform_filter
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from quantlab.catalog.sizes.activations import CONTEXT_BYTES
from quantlab.lab import counters
from quantlab.lab.bench.fidelity import compare_images, is_flat, relative_l2
from quantlab.lab.bench.flip import flip, flip_map
from quantlab.lab.bench.measure import PeakMemory
from quantlab.lab.load.weights import stored_bytes
from tests.device import DEVICE
from tools.damage import background, edges, grain

MIB = 2**20
rng = np.random.default_rng(0)


def _touch(size: int) -> np.ndarray:
    return np.ones(size, dtype=np.uint8)


@pytest.fixture(scope="module")
def read_to_taken() -> dict[str, float]:
    command = [sys.executable, "-m", "tests.peaks_child"]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    found: dict[str, float] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("case", ["200 MiB", "400 MiB", "another thread", "sampled"])
def test_a_peak_of_known_size_is_read_within_two_percent(
    read_to_taken: dict[str, float], case: str
) -> None:
    assert read_to_taken[case] == pytest.approx(1, abs=0.02)


class Backend:
    """torch.cuda as the instrument uses it, with memory that goes up and down by hand."""

    def __init__(self, total: int) -> None:
        self.total, self.others = total, 0
        self.allocated = self.most = self.kept = 0

    def allocate(self, size: int) -> None:
        self.allocated += size
        self.most = max(self.most, self.allocated)
        self.kept = max(self.kept, self.allocated + MIB)

    def reset_peak_memory_stats(self) -> None:
        self.most = self.allocated

    def max_memory_allocated(self) -> int:
        return self.most

    def max_memory_reserved(self) -> int:
        return self.kept

    def memory_reserved(self) -> int:
        return self.kept

    def mem_get_info(self) -> tuple[int, int]:
        return self.total - self.others - self.kept, self.total

    def empty_cache(self) -> None:
        self.kept = self.allocated


def test_a_devices_allocator_gives_loading_and_running_apart() -> None:
    backend = Backend(1000 * MIB)
    backend.allocate(10 * MIB)
    with PeakMemory(counters._Allocator("cuda-allocated", backend)) as peak:
        backend.allocate(300 * MIB)
        backend.allocate(-200 * MIB)
        peak.loaded()
        backend.allocate(50 * MIB)
        backend.allocate(-60 * MIB)
    assert peak.kind == "cuda-allocated"
    assert (peak.load_bytes, peak.run_bytes) == (310 * MIB, 160 * MIB)
    assert peak.bytes == 310 * MIB
    assert peak.reserved_bytes == 311 * MIB
    assert peak.device_bytes == 311 * MIB


def test_what_other_processes_hold_is_not_usable() -> None:
    backend = Backend(10 * 1024 * MIB)
    device = counters._Allocator("cuda-allocated", backend)
    backend.others = 4 * 1024 * MIB
    backend.allocate(1024 * MIB)
    # Free, what is our own, and the driver's share, which the prediction takes off.
    assert device.usable_bytes() == 6 * 1024 * MIB + CONTEXT_BYTES
    device.release()
    assert backend.kept == backend.allocated


def test_a_device_that_does_not_tell_what_is_free_gives_none() -> None:
    class Silent(Backend):
        def mem_get_info(self) -> tuple[int, int]:
            raise RuntimeError("the device does not support querying free memory")

        def get_device_properties(self, _: int) -> object:
            return type("Properties", (), {"total_memory": self.total})

    device = counters._Allocator("xpu-allocated", Silent(8 * MIB))
    assert device.device_bytes() is None
    assert device.usable_bytes() == 8 * MIB


def test_a_cpu_tells_its_peaks_apart_and_nothing_of_a_device() -> None:
    with PeakMemory(DEVICE.counters) as peak:
        block = _touch(300 * MIB)
        del block
        peak.loaded()
    assert peak.load_bytes == peak.bytes
    assert peak.run_bytes is not None
    assert peak.load_bytes - peak.run_bytes > 200 * MIB
    assert (peak.reserved_bytes, peak.device_bytes) == (None, None)


def test_stored_bytes_counts_tied_weights_and_lasting_buffers_once() -> None:
    first, second = torch.nn.Linear(256, 256, bias=False), torch.nn.Linear(256, 256, bias=False)
    second.weight = first.weight
    model = torch.nn.Sequential(first, second)
    model.register_buffer("lasting", torch.zeros(10))
    model.register_buffer("passing", torch.zeros(1000), persistent=False)
    assert stored_bytes(model) == 256 * 256 * 4 + 40


def test_fidelity_equals_scikit_image() -> None:
    a = rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)
    b = np.clip(a.astype(int) + rng.integers(-9, 9, a.shape), 0, 255).astype(np.uint8)
    found = compare_images(b, a)
    assert found["psnr_db"] == pytest.approx(peak_signal_noise_ratio(a, b), abs=1e-4)
    assert found["ssim"] == pytest.approx(structural_similarity(a, b, channel_axis=2), abs=1e-4)


def test_identical_images_have_no_score() -> None:
    a = rng.integers(0, 256, (16, 16, 3), dtype=np.uint8)
    assert compare_images(a.copy(), a) == {}


def test_a_flat_image_is_called_out_and_a_drawn_one_is_not() -> None:
    flat = np.full((32, 32, 3), (10, 200, 30), dtype=np.uint8)
    drawn = flat.copy()
    drawn[8:16, 8:16] = 255
    assert is_flat(flat)
    assert not is_flat(drawn)


def test_relative_l2_of_a_scaled_vector_is_the_scale() -> None:
    v = torch.randn(1, 64, 64)
    assert relative_l2(v * 1.25, v) == pytest.approx(0.25, rel=1e-6)


def test_flip_is_zero_for_equals_and_its_map_shows_where() -> None:
    plain = np.full((32, 48, 3), 120, dtype=np.uint8)
    marked = plain.copy()
    marked[8:16, 8:16] = 250
    assert flip(plain, plain) == 0
    where = flip_map(marked, plain)
    assert where.shape == (32, 48)
    assert where[12, 12] > 0.5
    assert where[30, 40] == 0
    assert flip(marked, plain) == pytest.approx(where.mean(), rel=1e-5)
    faint = np.where(marked == 250, np.uint8(126), marked)
    assert 0 < flip(faint, plain) < flip(marked, plain)


def test_damage_tells_grain_from_soft_edges() -> None:
    """On a clean picture: noise on the background is grain, a blur takes edges away."""
    picture = np.full((64, 64, 3), 200, dtype=np.uint8)
    picture[24:40, 24:40] = 40
    flat = background(picture)
    assert flat[4, 30] or flat[8, 30]
    assert not flat[30, 30]
    noisy = np.clip(picture + rng.normal(0, 6, picture.shape), 0, 255).astype(np.uint8)
    blurred = uniform_filter(picture.astype(float), size=(5, 5, 1)).astype(np.uint8)
    assert grain(picture, flat) == 0
    assert grain(noisy, flat) == pytest.approx(6, rel=0.15)
    assert grain(blurred, flat) < 0.5
    assert edges(picture, picture) == 1
    assert edges(blurred, picture) < 0.7
    assert edges(noisy, picture) == pytest.approx(1, abs=0.05)

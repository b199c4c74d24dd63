"""Whatever a person can meet when a model comes from the hub, with the hub's real client."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from huggingface_hub import constants, file_download
from huggingface_hub.utils import _http

from quantlab.catalog.comparison import parse_plan
from quantlab.catalog.paths import PROJECT
from quantlab.catalog.table import Catalog, load_catalog
from quantlab.errors import LoadError, Stopped, Unavailable
from quantlab.lab.hub import snapshot as fetching
from quantlab.lab.hub.files import intact
from quantlab.lab.hub.snapshot import file, snapshot
from quantlab.lab.load.pool import Pool
from tests.device import DEVICE
from tests.hub_server import Faults, Hub, serve

REPO = "quantlab/flux-mini"
VAE = "vae/diffusion_pytorch_model.safetensors"
SHARD = "transformer/diffusion_pytorch_model-00001-of-00003.safetensors"
TOKEN = "hf_" + "s3cret" * 5
MINI = replace(load_catalog().models["flux-mini"], local=False, source=REPO, revision="main")


def quiet(_: str) -> None:
    """Hears nothing."""


@pytest.fixture(scope="module")
def server() -> Iterator[Hub]:
    with serve(PROJECT / "data" / "flux-mini", REPO) as hub:
        yield hub


@pytest.fixture
def hub(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The hub without faults, a cold cache, and no token."""
    return ask_only(server, tmp_path, monkeypatch)


def ask_only(server: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """Have the hub's client ask ``server`` alone, with a cold cache and without a token."""
    template = f"{server.url}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setattr(constants, "HF_HUB_DOWNLOAD_TIMEOUT", 0.5)
    monkeypatch.setattr(constants, "DOWNLOAD_CHUNK_SIZE", 2**20)
    hurried = SimpleNamespace(**{**vars(time), "sleep": lambda _: None})
    monkeypatch.setattr(file_download, "time", hurried)
    monkeypatch.setattr(_http, "time", hurried)
    monkeypatch.delenv("HF_TOKEN", raising=False)
    server.faults = Faults()
    server.requests.clear()
    return server


def leftovers(tmp_path: Path) -> list[str]:
    """Partial files in the cache, and names in it that lead nowhere."""
    found = [p for p in tmp_path.rglob("*") if p.suffix == ".incomplete" or not p.exists()]
    return [str(p) for p in found]


def test_only_what_is_wanted_is_fetched_and_only_once(hub: Hub) -> None:
    folder = snapshot(MINI, ["vae"], quiet)
    assert VAE in hub.fetched()
    assert not [path for path in hub.fetched() if path.startswith("transformer") and "-of-" in path]
    assert (folder / "tokenizer" / "tokenizer.json").exists()
    before = len(hub.fetched())
    assert snapshot(MINI, ["vae"], quiet) == folder
    assert len(hub.fetched()) == before


def test_a_file_larger_than_it_may_be_is_not_fetched(hub: Hub, tmp_path: Path) -> None:
    with pytest.raises(LoadError, match=r"has \d+\.\d MiB; at most 0\.5 MiB are fetched"):
        file(REPO, VAE, quiet, most_bytes=2**19)
    assert VAE not in hub.fetched()
    assert not leftovers(tmp_path)
    assert file(REPO, VAE, quiet, most_bytes=2**30).exists()


def test_progress_is_told_in_bytes(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "SAY_EVERY_S", 0.0)
    said: list[str] = []
    snapshot(MINI, ["transformer"], said.append)
    done = [text for text in said if text.startswith("downloading")]
    assert done[-1] == "downloading, 17.5 MiB of 17.5 MiB"
    assert len(done) > 3
    assert hub.fetched().count(SHARD) == 1


def test_a_pipeline_from_the_hub_holds_what_the_local_one_holds(hub: Hub) -> None:
    catalog = load_catalog()
    local = Pool(0, catalog, DEVICE).load(
        catalog.models["flux-mini"], parse_plan("fp32", catalog.models["flux-mini"]), quiet
    )
    remote = Catalog(catalog.methods, catalog.schemes, {"flux-mini": MINI})
    said: list[str] = []
    loaded = Pool(0, remote, DEVICE).load(
        MINI, parse_plan("torchao-int8wo", MINI, remote), said.append
    )
    assert loaded.weights_bytes["vae"] == local.weights_bytes["vae"]
    assert loaded.weights_bytes["transformer"] < local.weights_bytes["transformer"] / 2
    assert any(text.startswith("downloading, ") for text in said)
    assert VAE in hub.fetched()


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_gated_model_says_where_to_accept_the_licence(
    hub: Hub, token: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    hub.faults.gated = True
    if token:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(LoadError, match=f"gated.*https://huggingface.co/{REPO}.*HF_TOKEN") as error:
        snapshot(MINI, ["vae"], quiet)
    assert ("the token in use has no access" in str(error.value)) == (token is not None)
    assert TOKEN not in str(error.value)
    assert not leftovers(tmp_path)


def test_a_token_that_was_accepted_opens_the_gate(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.faults.gated, hub.faults.accepted_tokens = True, frozenset([TOKEN])
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    assert snapshot(MINI, ["vae"], quiet).is_dir()


def test_a_wrong_name_or_revision_is_named(hub: Hub) -> None:
    with pytest.raises(LoadError, match=r"no model quantlab/flux-maxi.*check the name"):
        snapshot(replace(MINI, source="quantlab/flux-maxi"), ["vae"], quiet)
    with pytest.raises(LoadError, match=r"no revision 'v9'"):
        snapshot(replace(MINI, revision="v9"), ["vae"], quiet)
    with pytest.raises(LoadError, match=r"no file 'q4.gguf'"):
        file(REPO, "q4.gguf", quiet)
    with pytest.raises(LoadError, match="no complete safetensors weights for unet"):
        snapshot(MINI, ["unet"], quiet)
    assert hub.fetched()


def test_a_cut_connection_is_resumed_where_it_broke(hub: Hub) -> None:
    hub.faults.cut[SHARD] = (3_000_000, 2)
    folder = snapshot(MINI, ["transformer"], quiet)
    ranges = [asked for method, path, asked in hub.requests if method == "GET" and path == SHARD]
    assert ranges[0] is None
    assert ranges[1:] == ["bytes=2097152-", "bytes=4194304-"]
    assert (folder / SHARD).read_bytes() == hub.files[SHARD][0]


def test_a_connection_that_stays_cut_leaves_nothing_behind(hub: Hub, tmp_path: Path) -> None:
    hub.faults.cut[SHARD] = (0, 99)
    with pytest.raises(Unavailable, match=r"cannot be reached for transformer/.*00001"):
        snapshot(MINI, ["transformer"], quiet)
    assert not leftovers(tmp_path)
    hub.faults.cut.clear()
    assert snapshot(MINI, ["transformer"], quiet).is_dir()


def test_stop_in_the_middle_of_a_download_leaves_nothing_partial(hub: Hub, tmp_path: Path) -> None:
    def say(_: str) -> None:
        raise Stopped("stopped")

    with pytest.raises(Stopped):
        snapshot(MINI, ["vae"], say)
    assert hub.fetched()
    assert not leftovers(tmp_path)


@pytest.mark.parametrize("path", [VAE, "transformer/config.json"])
def test_a_damaged_file_is_not_kept(hub: Hub, tmp_path: Path, path: str) -> None:
    hub.faults.corrupt.add(path)
    with pytest.raises(LoadError, match=f"{path} of {REPO} arrived damaged and was removed"):
        snapshot(MINI, ["vae"], quiet)
    assert not leftovers(tmp_path)
    hub.faults.corrupt.clear()
    assert (snapshot(MINI, ["vae"], quiet) / path).read_bytes() == hub.files[path][0]


def test_a_file_cut_short_by_the_server_is_not_kept(hub: Hub, tmp_path: Path) -> None:
    hub.faults.truncated[VAE] = 1000
    with pytest.raises(LoadError, match=f"{VAE} of {REPO} arrived cut short and was removed"):
        snapshot(MINI, ["vae"], quiet)
    assert not leftovers(tmp_path)


def test_a_file_damaged_in_the_cache_is_fetched_again(hub: Hub) -> None:
    folder = snapshot(MINI, ["vae"], quiet)
    blob = (folder / VAE).resolve()
    blob.write_bytes(blob.read_bytes()[:-100])
    assert not intact(folder / VAE)
    assert intact(snapshot(MINI, ["vae"], quiet) / VAE)
    assert hub.fetched().count(VAE) == 2


def test_a_slow_server_is_waited_for_and_a_silent_one_is_not(hub: Hub) -> None:
    hub.faults.chunk_pause_s = 0.2
    assert snapshot(MINI, ["vae"], quiet).is_dir()
    hub.faults.silent.add(SHARD)
    with pytest.raises(Unavailable, match=f"too slow: {SHARD}.*HF_HUB_DOWNLOAD_TIMEOUT"):
        snapshot(MINI, ["transformer"], quiet)


@pytest.mark.parametrize("status", [429, 503])
def test_a_hub_in_trouble_is_named_as_such(hub: Hub, status: int) -> None:
    hub.faults.status = status
    with pytest.raises(Unavailable, match="run again in some minutes"):
        snapshot(MINI, ["vae"], quiet)


def test_offline_takes_a_warm_cache_and_refuses_a_cold_one(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = snapshot(MINI, ["vae"], quiet)
    single = file(REPO, "text_encoder/model.safetensors", quiet)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    hub.requests.clear()
    assert snapshot(MINI, ["vae"], quiet) == folder
    assert file(REPO, "text_encoder/model.safetensors", quiet) == single
    with pytest.raises(Unavailable, match="HF_HUB_OFFLINE is set; unset it once"):
        snapshot(MINI, ["vae", "transformer"], quiet)
    assert not hub.requests


def test_without_a_connection_a_warm_cache_still_serves(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = snapshot(MINI, ["vae"], quiet)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    assert snapshot(MINI, ["vae"], quiet) == folder
    with pytest.raises(Unavailable, match="cannot be reached"):
        snapshot(MINI, ["transformer"], quiet)
    assert hub.fetched()


@pytest.fixture
def small_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A disk of 12 MiB with the cache on it."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small disk needs root")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_too_small_is_known_before_the_download(hub: Hub, small_disk: Path) -> None:
    with pytest.raises(LoadError, match=r"17.5 MiB more and 1\d.\d MiB are free; free 5.\d MiB"):
        snapshot(MINI, ["transformer"], quiet)
    assert not hub.fetched()
    assert snapshot(MINI, ["vae"], quiet).is_relative_to(small_disk)


def test_a_disk_that_fills_up_on_the_way_leaves_nothing_partial(hub: Hub, small_disk: Path) -> None:
    def fill(path: str) -> None:
        if path == VAE:
            (small_disk / "filler").write_bytes(b"\0" * 11 * 2**20)

    hub.faults.before = fill
    with pytest.raises(LoadError, match=r"disk of the hub's cache is full.*free \d.* MiB.*HF_HOME"):
        snapshot(MINI, ["vae"], quiet)
    assert not leftovers(small_disk)


def test_a_limit_on_file_sizes_is_a_full_disk_too(hub: Hub, tmp_path: Path) -> None:
    code = """
import resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))
"""
    run = child(hub, tmp_path, code)
    assert "LoadError the disk of the hub's cache is full" in run.stdout
    assert not leftovers(tmp_path)


def test_a_token_of_the_environment_is_never_shown(hub: Hub, tmp_path: Path) -> None:
    hub.faults.gated = True
    logs = "import logging; logging.basicConfig(level=logging.DEBUG)"
    run = child(hub, tmp_path, logs, HF_TOKEN=TOKEN)
    assert "LoadError" in run.stdout
    assert "the account of the token in use has no access" in run.stdout
    assert TOKEN not in run.stdout + run.stderr
    kept = [p for p in tmp_path.rglob("*") if p.is_file() and TOKEN.encode() in p.read_bytes()]
    assert not kept


def child(hub: Hub, folder: Path, first: str, **extra: str) -> subprocess.CompletedProcess[str]:
    """``snapshot`` in a process of its own, set up by the environment as people do."""
    code = f"""{first}
import traceback
from tests.test_hub import MINI
from quantlab.lab.hub.snapshot import snapshot
try:
    print(snapshot(MINI, ["vae"], print))
except Exception as error:
    traceback.print_exc()
    print(type(error).__name__, error)
"""
    env = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HOME": str(folder / "home"), **extra}
    env.pop("HF_HUB_CACHE", None)
    return subprocess.run(
        [sys.executable, "-c", code], env=env, cwd=PROJECT, capture_output=True, text=True
    )

"""The command line as scripts see it: documents on stdout, one line of complaint, exit status."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from quantlab.cli import main
from quantlab.record.store.store import Store

OUTCOME_KEYS = {
    "plan", "status", "way", "image", "weights_bytes", "peak_bytes", "peak_kind", "load_s",
    "latency_s", "encode_s", "step_s", "decode_s", "psnr_db", "ssim", "transformer_rel_l2", "error",
}  # fmt: skip
PREDICT_KEYS = {
    "plan", "component_bytes", "total_bytes", "peak_bytes", "host_bytes", "download_bytes", "fits",
}  # fmt: skip
PICK_KEYS = {"method", "scheme", "verdict", "evidence", "bytes", "reasons", "here"}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "quantlab", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def document(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert main(arguments) == 0
    return json.loads(capsys.readouterr().out)


def test_compare_prints_one_document_and_nothing_else_on_stdout(tmp_path: Path) -> None:
    plans = [
        "fp32",
        "bnb-nf4",
        "transformer=torchao-int8wo,text_encoder_2=bnb-nf4",
        "torchao-fp8dq",
    ]
    done = run(
        "compare", "--json", "--out", str(tmp_path), "--steps", "2", "--repeats", "2",
        "--width", "64", "--height", "64",
        "--prompt", "a fox on a black background", "--seed", "3", "--plans", *plans,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert set(found) == {"comparison", "device", "versions", "outcomes"}
    assert [o["plan"] for o in found["outcomes"]] == plans
    assert all(set(o) >= OUTCOME_KEYS for o in found["outcomes"])
    assert [o["status"] for o in found["outcomes"]] == ["ok", "ok", "ok", "failed"]
    for outcome in found["outcomes"][:3]:
        assert Path(outcome["image"]).parent == tmp_path
        assert set(outcome["weights_bytes"]) == {
            "transformer", "text_encoder", "text_encoder_2", "vae",
        }  # fmt: skip
        assert len(outcome["latency_s"]) == 2
    assert set(found["outcomes"][3]["error"]) == {"stage", "type", "message"}
    assert "Traceback" not in done.stderr
    kept = {(row.comparison.prompt, str(row.plan)) for row in Store().recent()}
    assert ("a fox on a black background", "bnb-nf4") in kept


def test_isolated_comparison_from_another_folder(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "quantlab", "compare", "--json", "--isolate", "--steps", "1"]
    command += ["--width", "64", "--height", "64"]
    done = subprocess.run(
        [*command, "--plans", "fp32", "--out", "images"],
        cwd=tmp_path,
        env=_with_project_on_path(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    (outcome,) = json.loads(done.stdout)["outcomes"]
    assert outcome["status"] == "ok", outcome["error"]
    assert Path(outcome["image"]).parent == tmp_path / "images"


def _with_project_on_path() -> dict[str, str]:
    import os

    from quantlab.catalog.paths import PROJECT

    return os.environ | {"PYTHONPATH": str(PROJECT)}


def test_pick_rows_have_the_contracts_keys(capsys: pytest.CaptureFixture[str]) -> None:
    rows = document(capsys, "pick", "--json", "--hardware", "cpu", "--bits", "4")
    assert all(set(row) == PICK_KEYS for row in rows)
    assert not {row["scheme"] for row in rows} & {"fp32", "bf16"}


def test_pick_for_a_card_proposes_plans_and_tells_what_decides(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["pick", "--gpu", "rtx-3060-12gb", "--bits", "4", "--model", "flux1-dev"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fastest")
    assert "of 11.8 GiB at the peak" in lines[1]
    assert "GiB to download; predicted" in lines[1]
    nf4 = next(line for line in lines if line.split()[1:2] == ["bnb-nf4"])
    assert nf4.split()[:4] == ["runs-with-offload", "bnb-nf4", "15.49", "GiB"]
    assert "far (12.9% off)" in nf4
    assert nf4.split()[-2:] == ["staged", "ok"]
    slow = next(n for n, line in enumerate(lines) if line.split()[1:2] == ["quanto-int4"])
    assert lines[slow + 1].startswith("    eager mode: ")
    wide = next(n for n, line in enumerate(lines) if line.split()[1:2] == ["torchao-fp8wo"])
    assert lines[wide].startswith("no ")
    assert lines[wide + 1].startswith("    bits: 8, not 4")


def test_pick_tells_of_what_writes_the_prompt_anew_and_says_once_what_several_rows_share(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["pick", "--gpu", "rtx-4060-ti-16gb", "--model", "flux3-klein"]) == 0
    text = capsys.readouterr().out
    assert "In each row the prompt upsampler stays in bf16, 17.52 GiB; a plan quantizes" in text
    rows = {line.split()[1]: line for line in text.splitlines() if " GiB  " in line}
    assert re.search(r"group offload +resident +ok \[1\]$", rows["sdnq-uint4"])
    assert re.search(r"group offload +staged +ok$", rows["torchao-int8wo"])
    assert re.search(r"- +resident +ok", rows["bnb-nf4"])  # fits only without it
    (licence,) = [line for line in text.splitlines() if "GPL-3.0-only" in line]
    assert licence.startswith("[1] licence: ")
    assert main(["pick", "--gpu", "rtx-4060-ti-16gb", "--model", "flux1-dev"]) == 0
    assert "upsampler" not in capsys.readouterr().out


def test_predict_for_any_scheme_of_the_catalogue(capsys: pytest.CaptureFixture[str]) -> None:
    plans = ("fp32", "bf16", "gguf-q4_k", "torchao-fp8dq", "text_encoder_2=quanto-int2")
    rows = document(capsys, "predict", "--json", "--plans", *plans)
    assert [row["plan"] for row in rows] == list(plans)
    assert all(set(row) == PREDICT_KEYS for row in rows)
    assert rows[0]["total_bytes"] == sum(rows[0]["component_bytes"].values())
    assert rows[0]["peak_bytes"] > rows[0]["total_bytes"] > rows[2]["total_bytes"]


def test_a_link_is_read_back(capsys: pytest.CaptureFixture[str]) -> None:
    made = document(capsys, "link", "--json", "--prompt", "a cat & a dog + 100%", "--seed", "9")
    opened = document(capsys, "link", "--json", "--open", made["url"])
    assert opened["prompt"] == "a cat & a dog + 100%"
    assert opened["seed"] == 9


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "COMMAND"),
        (("dance",), "dance"),
        (("pick", "--hardware", "tpu"), "tpu"),
        (("compare", "--plans", "nf5"), "nf5"),
        (("compare", "--plans", "unet=bnb-nf4"), "unet"),
        (("compare", "--steps", "many"), "many"),
        (("compare", "--steps", "0"), "steps"),
        (("compare", "--repeats", "0"), "repeats"),
        (("compare", "--model", "../etc"), "model"),
        (("compare", "--out", ""), "is empty; name a file or a folder"),
        (("check", "x" * 5000), "cannot be read: File name too long"),
        (("check", ""), "is empty; name a file, a folder or -"),
        (("export", "--newest", str(2**64)), "newest"),
        (
            ("probe", "--memory-gib", "1e308"),
            "a number above 0, up to 1048576, is allowed",
        ),
        (("predict", "--width", "100"), "width"),
        (("predict", "--plans", "~nobody-here"), "unknown scheme '~nobody-here'"),
        (("predict", "--plans", "/" + "x" * 5000), "unknown scheme"),
        (("predict", "--model", "~nobody-here/x"), "there is no folder '~nobody-here/x'"),
        (("compare", "--lora", "~nobody-here"), "unknown LoRA"),
        (("snippet",), "--plan"),
        (("link", "--open", "http://h/?v=9&model=flux-mini"), "v"),
        (("link", "--open", "http://h/"), "no comparison"),
    ],
)
def test_bad_arguments_are_one_line_and_status_two(
    arguments: tuple[str, ...], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        status = main(arguments)
    except SystemExit as stop:
        status = int(stop.code or 0)
    printed = capsys.readouterr()
    assert status == 2
    assert printed.out == ""
    assert said in printed.err
    assert len(printed.err.strip().splitlines()) == 1


def test_an_image_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = run("compare", "--plans", "fp32", "--steps", "1", "--out", str(tmp_path / "file"))
    assert done.returncode == 2
    assert done.stderr.strip().splitlines()[-1].startswith("quantlab: out:")


@pytest.mark.parametrize("statement", ["import quantlab", "import quantlab.cli"])
def test_importing_brings_neither_torch_nor_gradio(statement: str) -> None:
    code = f"{statement}; import sys; print({{'torch', 'gradio', 'pandas'}} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_output_is_utf8_whatever_the_locale(tmp_path: Path) -> None:
    """A script is read as UTF-8 by Python, wherever it was written."""
    (tmp_path / "café.py").write_text("x = 1\n", encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "quantlab", "check", str(tmp_path / "café.py")],
        env=_with_project_on_path() | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "café.py: nothing found" in done.stdout.decode("utf-8")


def test_pick_and_link_answer_without_torch() -> None:
    on_cpu = "'pick', '--model', 'flux-mini', '--hardware', 'cpu', '--memory-gib', '8'"
    for command in ("'pick', '--json'", on_cpu, "'link'", "'predict', '--json'"):
        code = f"import sys; from quantlab.cli import main; main([{command}])"
        code += "; print({'torch', 'gradio'} & set(sys.modules), file=sys.stderr)"
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        assert done.stderr.strip().splitlines()[-1] == "set()"

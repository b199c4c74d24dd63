"""The blind test without a browser: rounds, guesses and what they add up to."""

from __future__ import annotations

import io
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from quantlab.catalog.comparison import make_comparison
from quantlab.record.store.guesses import GuessTally
from quantlab.record.store.store import Store
from quantlab.ui.blind import tab as blind_tab
from quantlab.ui.blind import view as blind_view
from quantlab.ui.blind.rounds import Game, Open, own_pairs, stored_pairs
from quantlab.ui.compare.stage.board import picture
from quantlab.ui.named import Updates
from quantlab.ui.services import Services
from quantlab.ui.state import Result, Shown
from quantlab.words.comparison import Comparison
from quantlab.words.outcome import Outcome
from tests.test_page import CATALOG, EVIL, StandIn, call, outcome

RED, BLUE, GREEN = (200, 0, 0), (0, 0, 200), (0, 200, 0)


def png(colour: tuple[int, int, int], says: str = "") -> bytes:
    notes, file = PngImagePlugin.PngInfo(), io.BytesIO()
    notes.add_text("made by", says)
    Image.new("RGB", (4, 4), colour).save(file, format="PNG", pnginfo=notes)
    return file.getvalue()


def compared(*plans: str, prompt: str = "a fox") -> Comparison:
    return make_comparison(plans=plans, prompt=prompt, catalog=CATALOG)


def near(plan: str, psnr_db: float | None = 30.0) -> Outcome:
    return outcome(plan).scored(psnr_db=psnr_db, ssim=0.9 if psnr_db else None)


def shown_of(*plans: str, prompt: str = "a fox") -> Shown:
    """The first is red, the others are blue."""
    shown = Shown(compared(*plans, prompt=prompt))
    for index, plan in enumerate(plans):
        colour = BLUE if index else RED
        shown = shown.put(
            plan, Result(near(plan) if index else outcome(plan), picture(png(colour, plan)))
        )
    return shown


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


@dataclass(frozen=True)
class Blind:
    """The tab: the page's services, and the rounds that wait for a guess."""

    services: Services
    opened: Open = field(default_factory=Open)

    def turn(self, game: Game, shown: Shown) -> Updates:
        return blind_tab.turn(self.opened, call(self.services, game=game, shown=shown))

    def guess(self, game: Game, side: str) -> Updates:
        return blind_tab.guess(self.opened, call(self.services, game=game, side=side))


@pytest.fixture
def blind(store: Store) -> Blind:
    return Blind(Services(CATALOG, StandIn(), store))


def dealt(blind: Blind, shown: Shown, game: Game | None = None) -> Game:
    found = blind.turn(game or Game(), shown)["game"]
    assert isinstance(found, Game)
    return found


def pixel(data: bytes) -> tuple[int, ...]:
    found = Image.open(io.BytesIO(data)).getpixel((0, 0))
    assert isinstance(found, tuple)
    return found


def test_sides_are_shuffled_and_the_round_knows_which(blind: Blind) -> None:
    sides: Counter[str] = Counter()
    for _ in range(60):
        found = dealt(blind, shown_of("fp32", "bnb-nf4")).round
        assert found is not None
        sides[found.quantized] += 1
        plan = found.left if found.quantized == "left" else found.right
        other = found.right if found.quantized == "left" else found.left
        assert (pixel(plan), pixel(other)) == (BLUE, RED)
    assert set(sides) == {"left", "right"}, "60 times the same side: 1 in 10^18"


def test_nothing_but_pixels_is_sent_before_the_guess(blind: Blind) -> None:
    updates = blind.turn(Game(), shown_of("fp32", "bnb-nf4"))
    game, html, said = (updates[name] for name in ("game", "pair", "told"))
    assert said == ""
    assert "made by" not in str(game.round.left)
    assert b"bnb-nf4" not in game.round.left + game.round.right
    without_pixels = re.sub(r"base64,[\w+/=]+", "", html)
    for word in ("bnb", "nf4", "fp32", "reference", game.round.token, "is-left", "is-right"):
        assert word not in without_pixels


def test_pairs_have_one_quantized_image_that_differs() -> None:
    assert [str(p.plan) for p in own_pairs(shown_of("fp32", "bnb-nf4", "bf16"))] == ["bnb-nf4"]
    assert list(own_pairs(shown_of("bnb-nf4", "quanto-int8"))) == []
    assert list(own_pairs(Shown())) == []
    same = shown_of("fp32", "bnb-nf4").put(
        "bnb-nf4", Result(near("bnb-nf4", None), picture(png(RED)))
    )
    assert list(own_pairs(same)) == []


def test_stored_results_are_asked_about_when_there_is_no_own_comparison(
    blind: Blind, store: Store
) -> None:
    kept = compared("fp32", "bnb-nf4", "quanto-int8")
    store.save(kept, 0, outcome("fp32"), png(RED), {}, {})
    store.save(kept, 1, near("bnb-nf4"), png(BLUE), {}, {})
    alone = compared("fp32", "quanto-int8", prompt="no reference kept")
    store.save(alone, 1, near("quanto-int8"), png(GREEN), {}, {})
    assert [str(pair.plan) for pair in stored_pairs(store)] == ["bnb-nf4"]
    game = dealt(blind, Shown())
    assert game.round is not None
    assert str(game.round.pair.plan) == "bnb-nf4"
    after = blind.turn(game, Shown())
    assert after["game"].round is None
    assert "seen every pair" in after["pair"]


def test_the_own_comparison_comes_first_and_no_pair_twice(blind: Blind, store: Store) -> None:
    kept = compared("fp32", "quanto-int2", prompt="an owl")
    store.save(kept, 0, outcome("fp32"), png(RED), {}, {})
    store.save(kept, 1, near("quanto-int2"), png(BLUE), {}, {})
    mine = shown_of("fp32", "bnb-nf4", "quanto-int8")
    game, plans = Game(), []
    while (game := dealt(blind, mine, game)).round is not None:
        plans.append(str(game.round.pair.plan))
    assert set(plans[:2]) == {"bnb-nf4", "quanto-int8"}
    assert plans[2:] == ["quanto-int2"]


def test_without_any_pair_the_tab_says_what_to_do(blind: Blind) -> None:
    asked = call(blind.services, game=Game(), shown=Shown())
    assert "Run one in Compare" in blind_tab.show(blind.opened, asked)["pair"]


def test_a_guess_is_answered_with_numbers_and_kept_once(blind: Blind, store: Store) -> None:
    game = dealt(blind, shown_of("fp32", "bnb-nf4"))
    assert game.round is not None
    right = game.round.quantized
    first = blind.guess(game, right)
    assert first["game"].round.told
    for text in ("Correct:", f"the {right} image is bnb-nf4", "30.0 dB PSNR", "MiB"):
        assert text in first["told"]
    assert store.guesses() == [GuessTally("bnb-nf4", "flux-mini", 1, 1)]
    assert "1 of 1" in first["counted"]
    for again in (game, first["game"]):
        assert blind.guess(again, "left" if right == "right" else "right") == {}
    assert store.guesses() == [GuessTally("bnb-nf4", "flux-mini", 1, 1)]


def test_a_wrong_guess_counts_as_shown(blind: Blind, store: Store) -> None:
    game = dealt(blind, shown_of("fp32", "bnb-nf4"))
    assert game.round is not None
    wrong = "left" if game.round.quantized == "right" else "right"
    assert "Not this time:" in blind.guess(game, wrong)["told"]
    assert store.guesses() == [GuessTally("bnb-nf4", "flux-mini", 0, 1)]


def test_many_presses_at_once_count_once(blind: Blind, store: Store) -> None:
    game = dealt(blind, shown_of("fp32", "bnb-nf4"))
    threads = [threading.Thread(target=blind.guess, args=(game, "left")) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [tally.shown for tally in store.guesses()] == [1]


def test_a_token_is_taken_once() -> None:
    opened = Open()
    token = opened.new()
    assert opened.take(token)
    assert not opened.take(token)
    assert not opened.take("made up")


def test_markup_in_a_prompt_or_plan_is_text(blind: Blind) -> None:
    html = blind.turn(Game(), shown_of("fp32", "bnb-nf4", prompt=EVIL))["pair"]
    assert EVIL not in html
    assert "&lt;script&gt;" in html
    assert EVIL not in blind_view.tallies([GuessTally(EVIL, EVIL, 1, 2)])


def test_the_interval_is_wilson_s() -> None:
    share, low, high = blind_view.share_told(GuessTally("p", "m", 8, 10))
    # (p + z^2/2n +- z sqrt(p(1-p)/n + z^2/4n^2)) / (1 + z^2/n) with z = 1.959964
    z, n, p = 1.959964, 10, 0.8
    middle = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * (p * (1 - p) / n + z * z / (4 * n * n)) ** 0.5 / (1 + z * z / n)
    assert share == p
    assert (low, high) == pytest.approx((middle - half, middle + half), abs=1e-6)


def test_the_tally_says_what_can_be_said() -> None:
    text = blind_view.tallies(
        [
            GuessTally("a", "flux-mini", 40, 50),
            GuessTally("b", "flux-mini", 3, 5),
            GuessTally("c", "flux-mini", 2, 40),
        ]
    )
    rows = text.split("<tr>")[2:]
    assert "told apart" in rows[0]
    assert "80% (67% to 89%)" in rows[0]
    assert "is taken for the quantized" in rows[1]
    assert "no more than guessing" in rows[2]
    assert "Nobody has guessed" in blind_view.tallies([])


def test_a_store_that_is_not_there_ends_nothing() -> None:
    blind = Blind(Services(CATALOG, StandIn(), None))
    game = dealt(blind, shown_of("fp32", "bnb-nf4"))
    answered = blind.guess(game, "left")
    assert "dB PSNR" in answered["told"]
    assert "not kept" in answered["counted"]

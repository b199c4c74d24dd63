"""The page hands on what an event changes, in the order of its outputs, and nothing else."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import gradio as gr
import pytest
from gradio.state_holder import SessionState

from quantlab.ui.blocks import Page
from tests.drawn import awaited

SKIP: dict[str, Any] = gr.skip()


@pytest.mark.parametrize(
    "values",
    [
        [SKIP, SKIP, SKIP],
        [SKIP, "new", SKIP],
        ["new", SKIP, gr.update(value="other", visible=False)],
        ["new", "newer", "newest"],
    ],
)
def test_skipped_outputs_stay_where_they_are(values: list[Any]) -> None:
    with Page() as page, gr.Row():
        parts = [gr.Textbox(str(number)) for number in range(3)]
        gr.Button().click(lambda: values, None, parts)
    event = next(iter(page.fns.values()))
    found = awaited(page.postprocess_data(event, deepcopy(values), None))
    usual = gr.Blocks.postprocess_data(page, event, deepcopy(values), None)
    assert found == awaited(usual)
    assert [value == SKIP for value in found] == [value == SKIP for value in values]


@pytest.mark.parametrize("count", [1, 2])
def test_an_update_that_is_given_twice_arrives_whole_both_times(count: int) -> None:
    """As a handler's constants are: every visitor's browser gets their value."""
    updates = [gr.update(value="Probe", interactive=True), gr.update(visible=True)][:count]
    with Page() as page, gr.Row():
        buttons = [gr.Button() for _ in updates]
        buttons[0].click(lambda: updates, None, buttons)
    event = next(iter(page.fns.values()))
    given = updates if count > 1 else updates[0]
    for _ in range(2):
        found = awaited(page.postprocess_data(event, given, None))
        assert found[0]["value"] == "Probe", found


def test_a_session_holds_no_description_of_the_page() -> None:
    """Gradio makes one for each session and each update, hundreds of kilobytes on this page."""
    with Page() as page:
        boxes = [gr.Dropdown(["a"], value="a") for _ in range(3)]
        boxes[0].change(lambda: None, None, boxes)
    state = SessionState(page)
    event = next(iter(page.fns.values()))
    updates = [gr.update(choices=["b"], value="b"), gr.skip(), gr.update(visible=False)]
    awaited(page.postprocess_data(event, updates, state))
    assert not any(state.config_values.values())
    assert state[boxes[0]._id].choices == [("b", "b")]
    assert SessionState(page)[boxes[0]._id].choices == [("a", "a")]
    assert set(state.blocks_config.blocks) == {boxes[0]._id, boxes[2]._id}  # those updated alone
    assert boxes[1]._id in state
    described = page.get_config_file()["components"]
    assert {box._id for box in boxes} <= {part["id"] for part in described}

"""What a served page fetches from a hub for a visitor: what its operator named, and no more.

Whoever reaches a page could else have it download any repository, of any size, with the operator's
token. Naming one at the start (``python app.py --lora owner/name``) or ``--allow-hub`` is consent.
"""

from __future__ import annotations

from collections.abc import Callable

from quantlab.catalog.schema import Model
from quantlab.errors import InputError
from quantlab.words.comparison import Comparison
from quantlab.words.lora import hub_parts

__all__ = ["Consent"]


class Consent:
    """What the operator agreed to: ``repositories`` by name, or with ``everything`` any of them.

    ``public`` is whether others than the operator reach the page; ``here`` says whether all files
    of a model are on this machine already.
    """

    def __init__(
        self,
        repositories: tuple[str, ...] = (),
        *,
        everything: bool = False,
        public: bool = False,
        here: Callable[[Model], bool] = lambda _: True,
    ) -> None:
        self._repositories, self._everything = repositories, everything
        self._public, self._here = public, here

    def check(self, comparison: Comparison, model: Model) -> None:
        """Refuse what would be fetched without consent.

        Raises:
            InputError: names the part, and how the operator may allow it.
        """
        if self._everything:
            return
        lora = comparison.carried
        found = hub_parts(lora.name) if lora and lora.name not in model.loras else None
        if found is not None and found[0] not in self._repositories:
            raise InputError(
                "lora",
                f"this page does not fetch {found[0]}; whoever starts it may allow that: "
                f"python app.py --lora {found[0]}, or --allow-hub for all",
            )
        if self._public and not model.local and not self._here(model):
            raise InputError(
                "model",
                f"{model.name} is not on this server, and visitors may not have it downloaded; "
                "whoever starts the page may allow that: python app.py --allow-hub",
            )

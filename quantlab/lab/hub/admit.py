"""Naming a model of one's own at the start: a local folder, any repository of the hub, one file.

It is read (configs and headers, no weights), described in a file of the cache folder, and known to
the catalogue from then on, in this process and in those that it starts. Its id ends in a digest of
its files, or in the commit, so that results of different weights never meet.
"""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from urllib.parse import quote

from quantlab.catalog.own.headers import INDEXES, Files, Folder
from quantlab.catalog.own.kept import Own, defaults_text
from quantlab.catalog.paths import OWN_MODELS, cache_folder, own_descriptions, there, whole_file
from quantlab.catalog.schema import Model
from quantlab.catalog.sizes.activations import activation_bytes
from quantlab.catalog.sizes.picture import picture_of
from quantlab.catalog.table import load_catalog
from quantlab.errors import CatalogError, Damaged, InputError, LoadError, StoreError, Unavailable
from quantlab.lab.hub.headers import Repository, in_cache
from quantlab.lab.own.describe import describe
from quantlab.lab.own.from_file import describe_file, split

__all__ = ["about", "admit", "names_own"]

DIGITS = 12
_REPO = re.compile(r"([A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*)(?:@([\w.-]+))?")


def names_own(text: str) -> bool:
    """Whether ``text`` names a folder, a file or a repository rather than a listed model."""
    if text in load_catalog().models:
        return False
    if split(text) is not None:
        return True
    folder = there(text)
    return "/" in text or os.sep in text or (folder is not None and _has_index(folder))


def _has_index(folder: Path) -> bool:
    return any((folder / name).is_file() for name in INDEXES)


def admit(text: str) -> Model:
    """The model of a folder, of a repository ``owner/name`` or ``owner/name@revision``, or of a
    file: its denoiser is ``FILE``, or ``MODEL=FILE`` where everything else is that model's.

    The catalogue has it afterwards.

    Raises:
        InputError: there is none, it is no pipeline that can be run here, or a file of it is
            missing or damaged.
        LoadError, Unavailable: it cannot be had of the hub.
        StoreError: its description cannot be kept.
    """
    if os.environ.get("SPACE_ID"):
        raise InputError("model", "on a Space only the listed models can be used")
    folder, repo = there(text), _REPO.fullmatch(text)
    single = split(text)
    try:
        if single is not None:
            own = describe_file(single[1], _candidates(single[0]))
        elif folder is not None and folder.is_dir():
            own = _from_folder(folder.resolve())
        elif repo is not None:
            own = _from_hub(repo[1], repo[2] or "main")
        else:
            raise InputError("model", f"there is no folder {text[:200]!r}")
    except Damaged as error:
        raise InputError("model", str(error)) from error
    _keep(own)
    _check_counted(own.model)
    return own.model


def _check_counted(model: Model) -> None:
    """Whether all that runs can be counted.

    Raises:
        InputError: names the component that cannot.
    """
    for component in model.components:
        try:
            activation_bytes(model, component.name, picture_of(model), 2)
        except CatalogError as error:
            raise InputError("model", f"{component.name} does not fit: {error}") from None


def about(model: Model) -> str:
    """What a person who named it should know, in two sentences."""
    single = f" {' '.join(model.notes)}" if model.components[0].file else ""
    return f"{model.id} is a {model.pipeline}.{single} {defaults_text(model)}"


def _candidates(base: str) -> list[Model]:
    """The models that a file may be the denoiser of: the one that is named, or all listed.

    Raises:
        QuantlabError: as ``admit`` does, of the one that is named.
    """
    if not base:
        return list(_listed().values())
    known = load_catalog().models.get(base)
    if known is None and not names_own(base):
        raise InputError("model", f"there is no model {base[:100]!r}")
    return [known or admit(base)]


def _from_folder(folder: Path) -> Own:
    files = Folder(folder)
    revision = files.digest()
    name = re.sub(r"[^a-z0-9._-]+", "-", folder.name.lower()).strip("-.")[:40] or "model"
    source = str(folder)
    return describe(
        files,
        _listed(),
        name=name,
        model_id=f"{name}@{revision[:DIGITS]}",
        source=source,
        local=True,
        revision=revision,
    )


def _from_hub(repo: str, revision: str) -> Own:
    """By range requests; a repository that is in the hub's cache does without the hub."""
    try:
        files = Repository(repo, revision)
        return _describe_repository(files, repo, files.commit)
    except Damaged:
        raise
    except LoadError as error:
        if Path(repo).parent.is_dir():  # probably meant as a folder
            raise LoadError(f"{error}; there is no folder {repo} here either") from error
        raise
    except Unavailable:
        folder = in_cache(repo, revision)
        if folder is None:
            raise
        return _describe_repository(Folder(folder), repo, folder.name)


def _describe_repository(files: Files, repo: str, commit: str) -> Own:
    return describe(
        files,
        _listed(),
        name=repo,
        model_id=f"{repo}@{commit[:DIGITS]}",
        source=repo,
        local=False,
        revision=commit,
    )


def _listed() -> dict[str, Model]:
    models = load_catalog().models.values()
    return {model.id: model for model in models if not model.own}


def _keep(own: Own) -> None:
    """Write the description, and have the catalogue of this and of child processes know it."""
    place = hashlib.sha256(own.model.source.encode()).hexdigest()[:DIGITS]  # it may have moved
    path = cache_folder() / "models" / place / f"{quote(own.model.id, safe='@')}.json"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as part:
            part.write_text(own.as_json(), encoding="utf-8")
    except OSError as error:
        raise StoreError(f"{path.parent} cannot be written: {error.strerror}") from None
    known = {**own_descriptions(), own.model.id: path.resolve()}
    os.environ[OWN_MODELS] = os.pathsep.join(str(path) for path in known.values())

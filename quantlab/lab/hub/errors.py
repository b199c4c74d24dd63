"""What the hub's client raises, turned into one sentence that says what to do.

The client's own texts are never passed on: they are long, name its internals, and may hold signed
addresses.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from typing import Any

from quantlab.errors import LoadError, QuantlabError, Unavailable
from quantlab.lab.libraries import load
from quantlab.words.units import gib

__all__ = ["disk_full", "explain"]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_CLOSED = (errno.EACCES, errno.EPERM, errno.EROFS)


def disk_full(repo: str, needed: int, free: int) -> str:
    """The message for ``needed`` bytes that do not fit into the ``free`` bytes of the disk."""
    short = max(needed - free, 0)
    say = f"free {gib(short)}" if short else "make room (a quota or a file size limit is reached)"
    return (
        f"the disk of the hub's cache is full: {repo} needs {gib(needed)} more and {gib(free)} "
        f"are free; {say}, or set HF_HOME to a folder on a larger disk"
    )


def explain(
    error: BaseException, repo: str, revision: str, name: str = "", *, left: int = 0, free: int = 0
) -> QuantlabError:
    """The error for people behind what the client raised while fetching from ``repo``.

    ``name`` is the file under way, ``left`` the bytes still wanted, ``free`` those on the disk.
    """
    kinds = load("huggingface_hub.errors")
    chain = tuple(_chain(error))
    page = f"https://huggingface.co/{repo}"
    if _any(chain, kinds.GatedRepoError):
        return LoadError(_gated(repo, page))
    if _any(chain, kinds.RepositoryNotFoundError):
        return LoadError(
            f"the hub has no model {repo}, or it is private: check the name at {page}; for a "
            f"private one set HF_TOKEN to a token that may read it"
        )
    if _any(chain, kinds.RevisionNotFoundError):
        return LoadError(f"{repo} has no revision {revision!r}; those it has are at {page}/tree")
    if _any(chain, kinds.RemoteEntryNotFoundError):
        return LoadError(f"{repo} has no file {name!r} at revision {revision}; see {page}/tree")
    if load("huggingface_hub.constants").is_offline_mode():
        return Unavailable(
            f"{name or repo} is not complete in the hub's cache and HF_HUB_OFFLINE is set; unset "
            f"it once to download what is missing"
        )
    return (
        _by_status(chain, repo, page)
        or _by_disk(chain, repo, left, free)
        or _by_network(chain, repo, name)
    )


def _gated(repo: str, page: str) -> str:
    if load("huggingface_hub").get_token() is not None:
        return (
            f"{repo} is gated and the account of the token in use has no access; accept its "
            f"licence at {page} with that account, or set HF_TOKEN to a token of one that has"
        )
    return (
        f"{repo} is gated; accept its licence at {page}, then set HF_TOKEN to a token of that "
        f"account (https://huggingface.co/settings/tokens)"
    )


def _by_status(chain: tuple[BaseException, ...], repo: str, page: str) -> QuantlabError | None:
    code = next((c for c in map(_status, chain) if c is not None), None)
    if code is None:
        return None
    if code == 401:
        return LoadError(
            "the hub does not accept the token in use; set HF_TOKEN to a valid one "
            "(https://huggingface.co/settings/tokens), or unset it for a public model"
        )
    if code == 403:
        return LoadError(f"the hub refuses access to {repo}; see {page} for what it asks")
    if code == 429:
        return Unavailable(
            "the hub asks for a pause (too many requests); run again in some minutes"
        )
    return Unavailable(f"the hub answered {repo} with status {code}; run again in some minutes")


def _by_disk(
    chain: tuple[BaseException, ...], repo: str, left: int, free: int
) -> QuantlabError | None:
    codes = {e.errno for e in chain if isinstance(e, OSError)}
    if codes & set(_FULL):
        return LoadError(disk_full(repo, left, free))
    if codes & set(_CLOSED):
        return LoadError(
            "the hub's cache cannot be written to; set HF_HOME to a folder that can be"
        )
    return None


def _by_network(chain: tuple[BaseException, ...], repo: str, name: str) -> QuantlabError:
    what = f"{name} of {repo}" if name else repo
    if any("Consistency check failed" in str(e) for e in chain):
        return LoadError(f"{what} arrived cut short and was removed; run again to download it anew")
    kinds = {cls.__name__ for e in chain for cls in type(e).__mro__}
    if "TimeoutException" in kinds or "TimeoutError" in kinds:
        return Unavailable(
            f"the hub is too slow: {what} stopped arriving; run again, or set "
            f"HF_HUB_DOWNLOAD_TIMEOUT to more seconds"
        )
    if kinds & {"TransportError", "ConnectionError", "LocalEntryNotFoundError", "DryRunError"}:
        return Unavailable(
            f"the hub cannot be reached for {what}; check the connection and run again, or set "
            f"HF_HUB_OFFLINE=1 where everything is in the cache"
        )
    return LoadError(f"{what} could not be fetched ({type(chain[0]).__name__}); run again")


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and what led to it, outermost first."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _any(chain: tuple[BaseException, ...], kind: Any) -> bool:
    return any(isinstance(error, kind) for error in chain)


def _status(error: BaseException) -> int | None:
    code = getattr(getattr(error, "response", None), "status_code", None)
    return int(code) if code is not None else None

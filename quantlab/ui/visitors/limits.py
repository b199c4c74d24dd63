"""How much a served page takes at once, of everybody and of one visitor, and how long it waits."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["Limits", "room"]

MOST_CONNECTIONS = 1000
FEW = 16
USUAL_FILES = 1024


def room(files: int | None = None) -> int:
    """Connections for which there is room beside the files that a page opens: half of the
    descriptors that this process may have (``files``; by default as the system says)."""
    if files is None:
        try:
            import resource
        except ImportError:  # a system without such limits
            files = USUAL_FILES
        else:
            files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
            if files == resource.RLIM_INFINITY:
                files = 2 * MOST_CONNECTIONS
    return max(FEW, min(MOST_CONNECTIONS, files // 2))


@dataclass(frozen=True)
class Limits:
    """What a page is held to while it is served; seconds are of the clock."""

    connections: int = field(default_factory=room)
    """That are open; beyond them the one that was idle longest makes room."""
    head_s: float = 10.0
    """Within which the head of a request is sent whole."""
    body_s: float = 30.0
    """Within which its body is: of the few kilobytes that a page sends, on a slow line too."""
    sessions: int = 500
    """Visitors whose state is kept; beyond them the one who was idle longest begins anew."""
    unread: int = 100
    """Callers whose answers are kept although they do not listen."""

    @property
    def at_once(self) -> int:
        """Requests of one visitor that are answered at once. A tab that is open takes one or two,
        for as long as it is open."""
        return max(FEW // 2, self.connections // 4)

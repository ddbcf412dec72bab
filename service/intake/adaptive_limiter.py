"""How many calls may wait for the store at once: as many as it has lately taken in time."""


class Room:
    """Room for so many at once: a little more with each that was in time, a tenth less with each that was not.

    A call beyond it would come too late, and to try it would only make the next one later. Additive increase and
    multiplicative decrease find what a machine can do, whatever else runs on it (Chiu and Jain 1989, Computer Networks
    and ISDN Systems 17).

    Parameters
    ----------
    least, most : int
        So many have room in any case, and never more.

    Examples
    --------
    >>> room = Room(1, 2)
    >>> room.enter(), room.enter(), room.enter()
    (True, True, False)
    >>> room.leave(in_time=False)
    >>> room.enter()
    False
    """

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = float(least), float(max(least, most))
        self._size, self._inside = self._most, 0

    def enter(self) -> bool:
        """Take a place; False when there is none."""
        if self._inside + 1 > self._size:
            return False
        self._inside += 1
        return True

    def leave(self, *, in_time: bool) -> None:
        """Give a place back."""
        self._inside -= 1
        if in_time:
            self._size = min(self._most, self._size + 1.0 / self._size)
        else:
            self._size = max(self._least, 0.9 * self._size)

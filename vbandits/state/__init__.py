"""The exact state of an object as data, arrays and JSON, and back into an object that was made anew.

No class is named by the data that could be imported or called: what is put back goes into an object of the same
declaration, whose own classes stay, and of a few records that the caller names. What does not fit is refused.

A class may say two things of its attributes:
    not_saved: names of those that can be made again from the others, such as caches; they stay as the new object has
        them.
    grows: names of tensors whose second axis is as long as there is data, and whose type may be that of the data.
"""

from vbandits.state.putting import put
from vbandits.state.taking import Known, State, take

__all__ = ["Known", "State", "put", "take"]

"""Arrays on a device, shared with other libraries."""
from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from . import _core


class Tensor:
    """An array in the memory of a device, shared with other libraries by DLPack and never copied.

    `Tensor(x)` takes anything with `__dlpack__` (NumPy, PyTorch, CuPy, JAX) as it lies; `torch.from_dlpack(tensor)`,
    `cupy.from_dlpack(tensor)` or `numpy.from_dlpack(tensor)` take it back at the same address.

    Parameters
    ----------
    data : object with ``__dlpack__``
        float32 or float64, of any shape (n, …), in the unit that it had.
    """

    __slots__ = ("_core",)

    def __init__(self, data: Any) -> None:
        self._core = data if isinstance(data, _core.Tensor) else _core.Tensor(data)

    @property
    def shape(self) -> tuple[int, ...]:
        """Its extents, for example (n, variables)."""
        return tuple(self._core.shape)

    @property
    def device(self) -> str:
        """Where it lies: "cpu" or "cuda:N"."""
        return self._core.device

    @property
    def data_ptr(self) -> int:
        """The address of the first number, in bytes, on the device."""
        return self._core.data_ptr

    def numpy(self) -> npt.NDArray[np.floating]:
        """The same memory as a NumPy array of the same shape (n, …) and unit; of a CUDA device this is an error
        (BufferError)."""
        if self.device != "cpu":
            raise BufferError(f"the tensor lies on {self.device}; take it with a library that knows the device")
        return np.from_dlpack(self)

    def __dlpack__(self, **options: Any) -> Any:
        """A capsule "dltensor" of the Python array API standard."""
        return self._core.__dlpack__()

    def __dlpack_device__(self) -> tuple[int, int]:
        """(1, 0): the CPU; (2, N): CUDA device N."""
        return self._core.__dlpack_device__()

    def __repr__(self) -> str:
        return f"<microlift.Tensor {self.shape} on {self.device}>"

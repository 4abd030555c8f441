"""Energies, forces and collective variables of states."""
from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Optional, Union

import numpy as np
import numpy.typing as npt

from . import _core
from ._config import Config, changes, source, threads_of
from ._tensor import Tensor
from ._errors import InputError

Array = npt.NDArray[np.floating]


def info() -> dict[str, Any]:
    """The build and what it runs on: "version", "cpu" (instruction set, lanes), "cuda" (whether built in),
    "cuda_devices" (their number), "bytes_to_device" and "bytes_to_host" (moved so far, in bytes)."""
    return _core.info()


def _is_tensor(states: Any) -> bool:
    return not isinstance(states, np.ndarray) and hasattr(states, "__dlpack__")


def _doubles(states: Any) -> Array:
    """What is given as float64, of any library's in the memory of the CPU where it lies if it is that already."""
    return np.asarray(np.from_dlpack(states) if _is_tensor(states) else states, dtype=np.float64)


class System:
    """A system of a configuration: what it takes to evaluate states of it.

    Parameters
    ----------
    config : str, path or dict
        A configuration (TOML) or its tables; only ``[system]`` and ``[cv]`` are read, others may be missing.
    device : str
        "auto", "cpu", "cuda" or "cuda:N".
    threads : int, optional
        Of the CPU; all cores by default.
    set : dict
        Keys to replace, as ``{"system.implicit_solvent": "obc2"}``.
    """

    def __init__(self, config: Config, device: str = "auto", threads: Optional[int] = None,
                 set: Mapping[str, Any] = {}) -> None:
        file, text = source(config)
        self._core = _core.StateEvaluator(file, text, changes(set), device, threads_of(threads))

    @property
    def variables(self) -> list[str]:
        """The names of the variables of a state, in order; of a molecule x0, y0, z0, x1, … (nm)."""
        return self._core.variables

    @property
    def cv_names(self) -> list[str]:
        """The names of the collective variables."""
        return self._core.cvs

    @property
    def is_molecule(self) -> bool:
        """Whether it has atoms: units are nm and kJ/mol, and states may have the shape (n, atoms, 3)."""
        return self._core.molecule

    @property
    def device(self) -> str:
        """What it runs on, in words."""
        return self._core.device

    def energy_forces(self, states: Any, out: Optional[Array] = None) -> tuple[Optional[Union[Array, Tensor]],
                                                                             Union[Array, Tensor]]:
        """Potential energies and forces of states.

        Parameters
        ----------
        states : array, (n, variables), one state a row; of a molecule (n, atoms, 3), too
            In the unit of the variables (of a molecule nm). A NumPy array, anything that becomes one, or a DLPack
            tensor. A molecule computes float32 in single precision, as its dynamics does, and float64 in double
            precision; all else is computed in double precision. What lies by columns, ``(variables, n)`` transposed,
            is read where it is; a tensor on a CUDA device has to.
        out : array like the states, optional
            Takes the forces.

        Returns
        -------
        energy : array, (n,), in the unit of energy (of a molecule kJ/mol); None without a potential
        force : array of the shape (n, variables) or (n, atoms, 3) of the states, in energy per unit of the
            variable (of a molecule kJ/(mol nm)); −∇V, or of a system without a potential its drift
            Of a CUDA tensor both are `Tensor` on its device; no number leaves it.
        """
        if _is_tensor(states):
            if states.__dlpack_device__()[0] != 1:
                energy, force = self._core.energy_forces_there(
                    states._core if isinstance(states, Tensor) else _core.Tensor(states))
                return Tensor(energy), Tensor(force)
            states = np.from_dlpack(states)
        rows, shape = self._rows(states)
        single = rows.dtype == np.float32
        if out is not None:
            if out.shape != shape or out.dtype != rows.dtype:
                raise InputError(f"out has shape {out.shape} and type {out.dtype}; give one of {shape}, {rows.dtype}")
            force = self._matrix(out)
        elif rows.strides[0] == rows.itemsize and rows.shape[0] > 1:
            force = np.empty(rows.shape[::-1], dtype=rows.dtype).T
        else:
            force = np.empty(rows.shape, dtype=rows.dtype)
        evaluate = self._core.energy_forces_f32 if single else self._core.energy_forces_f64
        energy = evaluate(rows, force, None)
        return energy, out if out is not None else self._as(force, shape)

    def energy_terms(self, states: Any) -> dict[str, Array]:
        """The energies of a molecule's states, term by term, in double precision.

        Parameters
        ----------
        states : array, (n, variables) or (n, atoms, 3), nm

        Returns
        -------
        terms : dict of arrays (n,), kJ/mol
            bond, angle, torsion, cmap, lennard_jones, coulomb, solvent, surface, restraint
        """
        if not self.is_molecule:
            raise InputError("only a molecule's energy has terms; energy_forces gives the whole of it")
        rows, _ = self._rows(_doubles(states))
        names = _core.force_term_names()
        terms = np.zeros((len(names), len(rows)))
        self._core.energy_forces_f64(rows, np.empty_like(rows), terms)
        return dict(zip(names, terms))

    def cv(self, states: Any) -> Array:
        """The collective variables of states, in double precision.

        Parameters
        ----------
        states : array, (n, variables) or (n, atoms, 3), in the unit of the variables

        Returns
        -------
        cv : array, (n, collective variables), each in its unit (angles in rad)
        """
        return self._core.cv_values(self._rows(_doubles(states))[0])

    def start(self) -> Array:
        """A state to begin with: of a molecule its coordinates, (atoms, 3), nm; else (variables,), that of the
        built-in system, or zeros."""
        state = np.asarray(self._core.start(), dtype=np.float64)
        if state.size == 0:
            raise InputError("the molecule has no coordinates; give system.coordinates")
        return state.reshape(-1, 3) if self.is_molecule else state

    def _matrix(self, states: Array) -> Array:
        """(n, variables), a view."""
        if states.ndim != 3:
            return states
        n, atoms, axes = states.shape
        step = states.strides[2]
        if states.strides[1] == axes * step:
            return np.lib.stride_tricks.as_strided(states, (n, atoms * axes), (states.strides[0], step))
        return np.ascontiguousarray(states).reshape(n, -1)

    def _rows(self, states: Any) -> tuple[Array, tuple[int, ...]]:
        array = np.asarray(states)
        if array.dtype not in (np.float32, np.float64):
            array = array.astype(np.float64)
        width = len(self.variables)
        shape = array.shape
        if not (array.ndim == 2 and shape[1] == width
                or array.ndim == 3 and self.is_molecule and shape[1:] == (width // 3, 3)):
            expected = f"(n, {width})" + (f" or (n, {width // 3}, 3)" if self.is_molecule else "")
            raise InputError(f"states have shape {shape}; give one of {expected}")
        return self._matrix(array), shape

    def _as(self, force: Array, shape: tuple[int, ...]) -> Array:
        if len(shape) == 2:
            return force
        step = force.strides[1]
        return np.lib.stride_tricks.as_strided(force, shape, (force.strides[0], 3 * step, step))

    def __repr__(self) -> str:
        kind = "a molecule" if self.is_molecule else "a system"
        return f"<microlift.System: {kind} of {len(self.variables)} variables on {self.device}>"

"""unicorn's Cortex-M4 with a part's memories: made within bounds of address space, and given back at once."""
import ctypes
import mmap
import os

import numpy as np

from tinyvgg.errors import DeviceError, LinkError

_TRANSLATIONS = 64 << 20                # bytes for translated code; unicorn's own choice would be 1 GiB of address space
_ROOM = _TRANSLATIONS + (192 << 20)     # that, and what else the engine maps


class Engine:
    """`uc`, the emulator, and the host's arrays `flash` and `ram` (and `code`, where it is memory of its own) that it runs in."""

    def __init__(self, unicorn, memory):
        _check_room()
        u, self.memory = unicorn, memory
        self.uc = u.Uc(u.UC_ARCH_ARM, u.UC_MODE_THUMB | u.UC_MODE_MCLASS)
        if hasattr(self.uc, "ctl_set_tcg_buffer_size"):
            self.uc.ctl_set_tcg_buffer_size(_TRANSLATIONS)
        self.uc.ctl_set_cpu_model(u.arm_const.UC_CPU_ARM_CORTEX_M4)
        # Shared with the emulator: what the host writes here, the firmware reads (and an alias is one memory at two addresses).
        self._buffers = {"flash": mmap.mmap(-1, memory.flash.size), "ram": mmap.mmap(-1, memory.ram.size)}
        if memory.code_in_ram is None:
            self._buffers["code"] = mmap.mmap(-1, memory.code.size)
        self._arrays = {name: np.frombuffer(b, np.uint8) for name, b in self._buffers.items()}
        read_execute = u.UC_PROT_READ | u.UC_PROT_EXEC
        for region in memory.regions:
            array, at = self.place(region.base, region.size)
            rights = read_execute if region is memory.flash else u.UC_PROT_ALL
            self.uc.mem_map_ptr(region.base, region.size, rights, ctypes.c_void_p(array.ctypes.data + at))

    @property
    def flash(self):
        """The flash's bytes, uint8."""
        return self._arrays["flash"]

    @property
    def ram(self):
        """The RAM's bytes, uint8."""
        return self._arrays["ram"]

    def place(self, address, count):
        """Return (array, offset) of `count` bytes at `address`; LinkError where no such memory is."""
        memory = self.memory
        for region in memory.regions:
            if region.holds(address, count):
                at = address - region.base
                if region is memory.code and memory.code_in_ram is not None:
                    return self.ram, at + memory.code_in_ram
                return self._arrays["flash" if region is memory.flash else "ram" if region is memory.ram else "code"], at
        raise LinkError(f"there is no memory of {count} bytes at {address:#010x}")

    def close(self):
        """Give the emulator and its memory back; harmless when it was done before."""
        engine, self.uc = self.uc, None
        if engine is not None:
            release = getattr(engine, "_Uc__finalizer", None)        # older ones give their memory back when nobody refers to them
            if release is not None:
                release()
            self._arrays.clear()


def _check_room():
    """unicorn ends the process where it cannot map its memory: see before that it can."""
    if os.name != "posix":
        return
    try:
        mmap.mmap(-1, _ROOM).close()
    except (OSError, ValueError) as error:
        raise DeviceError(f"the emulator needs {_ROOM >> 20} MiB of address space, which is not available",
                          "close other virtual boards, or raise the limit (ulimit -v)") from error

"""Run a known program on the emulator, once in each process, before any firmware: an emulator with wrong results or counts is
refused."""
import struct
from functools import cache

from tinyvgg.errors import DeviceError
from tinyvgg.firmware.elf import Segment
from tinyvgg.firmware.raw import Raw

# A load from flash inside an IT block, then a block whose instructions must not be skipped; SMLAD; a loop; the results in r2 .. r6.
_CODE = bytes.fromhex("0028 04bf 11f8012b 0332 0128 00e0 00bf 0133 0133"       # cmp itt ldrbeq addeq cmp b nop adds adds
                      "4ff00304 4ff40365 24fb0566"                              # mov r4, 3; mov r5, 0x830; smlad r6, r4, r5, r6
                      "0a24 013c fdd1 00be".replace(" ", ""))                   # movs r4, 10; subs r4, 1; bne; bkpt
_DATA = 0x08000100
_EXPECTED = {"R2": 0x55 + 3, "R3": 2, "R4": 0, "R6": 3 * 0x830}
_INSTRUCTIONS = 8 + 3 + 1 + 20


@cache
def check_emulator(make):
    """Raise DeviceError if the emulator's registers or counts differ from a Cortex-M4's; make(image): a Machine."""
    image = struct.pack("<II", 0x20001000, 0x08000041).ljust(64, b"\xff") + _CODE
    image = image.ljust(_DATA - 0x08000000, b"\xff") + b"\x55"
    machine = make(Raw("the self-test", [Segment(0x08000000, 0x08000000, image, len(image))]))
    try:
        arm = machine.unicorn.arm_const
        machine.engine.reg_write(arm.UC_ARM_REG_R1, _DATA)
        machine.peripherals.write(0x40022000, 4, 0x705)
        machine.run(0.001)
        found = {name: machine.engine.reg_read(getattr(arm, f"UC_ARM_REG_{name}")) for name in _EXPECTED}
        stopped = machine.fault is not None and "breakpoint" in str(machine.fault)
        if found != _EXPECTED or not stopped or machine.instructions != _INSTRUCTIONS:
            raise DeviceError(f"the emulator (unicorn {machine.unicorn.__version__}) does not run a known program right: registers "
                              f"{found}, expected {_EXPECTED}; {machine.instructions} instructions, expected {_INSTRUCTIONS}; "
                              f"{machine.fault or 'no fault'}", "another version: pip install unicorn==2.1.4")
    finally:
        machine.close()

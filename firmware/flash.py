"""Write firmware to a real board with an installed flash tool."""
import shutil
import subprocess
from pathlib import Path

from tinyvgg.errors import BuildError, FormatError, OptionError
from tinyvgg.firmware.elf import Elf
from tinyvgg.firmware.image import board_facts, check_fits, to_binary

# Tool: (its program, the arguments). {elf} and {bin} are the files, {base} the first address of the flash.
TOOLS = {
    "stm32cubeprogrammer": ("STM32_Programmer_CLI", ["-c", "port=SWD", "mode=UR", "-w", "{elf}", "-v", "-rst"]),
    "openocd": ("openocd", ["-f", "{openocd}", "-c", "program {{{elf}}} verify reset exit"]),
    "st-flash": ("st-flash", ["--reset", "write", "{bin}", "{base}"]),
    "pyocd": ("pyocd", ["flash", "-t", "{pyocd}", "{elf}"]),
}
_INSTALL = 'apt install openocd, or apt install stlink-tools, or pip install pyocd, or STM32CubeProgrammer from st.com'


def flash(elf, *, board="stm32l4r9i-disco", tool="auto", timeout=180.0):
    """Flash an ELF with STM32CubeProgrammer, OpenOCD, st-flash or pyOCD, whichever is found first; return the command.

    Raises BuildError if there is no tool (with what to install) or the tool fails (with its last output), FormatError for
    firmware of another board.
    """
    facts = board_facts(board)
    check_fits(Elf(elf), facts)
    command = flash_command(elf, facts, tool)
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=timeout, check=False)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"{command[0]} did not finish in {timeout:.0f} s", "unplug the board and plug it in again") from error
    if done.returncode:
        words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()][-3:]
        raise BuildError(f"{command[0]} failed: {' | '.join(words) or f'exit code {done.returncode}'}",
                         "check that the board is plugged in at its ST-LINK connector (CN13)")
    return command


def flash_command(elf, facts, tool="auto"):
    """Return the command line that flashes `elf`, without running it."""
    if tool not in ("auto", *TOOLS):
        raise OptionError(f"flash tool {tool!r}; expected auto, {', '.join(TOOLS)}")
    for name, (program, arguments) in TOOLS.items():
        found = shutil.which(program)
        if found and tool in ("auto", name):
            binary = Path(elf).with_suffix(".bin")
            if "{bin}" in arguments and not binary.exists():
                raise FormatError(f"{binary} is not there; st-flash takes it instead of the ELF", "tinyvgg firmware build")
            if "{bin}" in arguments and binary.read_bytes() != to_binary(Elf(elf))[1]:
                raise FormatError(f"{binary} is not the image of {elf}; st-flash would write it", "tinyvgg firmware build")
            values = {"elf": str(elf), "bin": str(binary), "base": hex(facts.flash["origin"]), "openocd": facts.openocd,
                      "pyocd": facts.pyocd}
            return [found, *(a.format(**values) for a in arguments)]
    wanted = "no tool that writes flash was found" if tool == "auto" else f"{tool} ({TOOLS[tool][0]}) was not found"
    raise BuildError(wanted, _INSTALL)

"""The facts of a board: a folder with a `board.toml`, which the build, the virtual board and `analyze` read.

    facts = board_facts("stm32l4r9i-disco")              # or a folder that holds a board.toml, anywhere
    facts.part, facts.clock_hz, facts.flash["length"], facts.uart["name"]
"""
import re
import tomllib
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path

from tinyvgg.errors import FormatError, OptionError

BOARDS = Path(__file__).parent / "boards"
FAMILIES = Path(__file__).parent / "families"
OSCILLATOR_HZ = 4_000_000               # MSI after reset, which feeds the PLL
_LARGEST_FILE = 1 << 16
_LARGEST_MEMORY = 16 << 20
_MOST_WAIT_STATES = 15                  # the largest value of FLASH_ACR.LATENCY
_PIN = re.compile(r"P([A-I])(1[0-5]|[0-9])")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,47}")
_MEMORIES = {"flash": (0x08000000, 0x10000000), "ram": (0x20000000, 0x40000000), "ramcode": (0x10000000, 0x20000000)}
_UARTS = ("usart", "lpuart")


@dataclass(frozen=True)
class BoardFacts:
    """The hardware of a board, in bytes and Hz, and its names for compilers and flash tools.

    flash, ram: {"origin", "length"}. ramcode: memory on the code bus, the same, with "in_ram", the offset in RAM at which it is
    also visible, or None. pll: {"m", "n", "r"}; 4 MHz / m * n / r is the core clock. wait_state_hz: increase of the core clock
    that each wait state allows. boost: whether the part has PWR_CR5.R1MODE. uart: {"name", "kind", "base", "enable": [RCC offset,
    bit], "tx", "rx", "alternate", "fifo"}. led: {"pin", "lit": "low" or "high"}. banks: whether the flash can be one bank or two.
    text: the file.
    """
    name: str
    folder: Path
    part: str
    family: str
    device_id: int
    clock_hz: int
    flash: dict
    ram: dict
    ramcode: dict
    pll: dict
    wait_state_hz: int
    boost: bool
    banks: bool
    interrupts: int
    uart: dict
    led: dict
    zig: list
    gcc: list
    openocd: str = ""
    pyocd: str = ""
    text: str = field(default="", repr=False, compare=False)

    @property
    def wait_states(self):
        """Flash wait states that the core clock needs."""
        return -(-self.clock_hz // self.wait_state_hz) - 1

    @property
    def held(self):
        """{"origin", "length"} of the RAM after the memory on the code bus, where a plan may hold weights; length 0: none."""
        alias, end = self.ramcode["in_ram"], self.ram["origin"] + self.ram["length"]
        origin = end if alias is None else self.ram["origin"] + alias + self.ramcode["length"]
        return {"origin": origin, "length": end - origin}

    def check_bank(self, two_banks):
        """Raise OptionError if one bank is wanted and the flash has no such mode."""
        if not (two_banks or self.banks):
            raise OptionError(f"the flash of the {self.part} has no single-bank mode", "--bank dual")

    @property
    def sources(self):
        """Folder of the C files that the boards of this family share."""
        return FAMILIES / self.family


def known_boards():
    """Return {name: folder} of the boards in this library."""
    return {read_facts(p.parent).name: p.parent for p in sorted(BOARDS.glob("*/board.toml"))}


def board_facts(name):
    """Return the facts of a board by its name ("stm32l4r9i-disco") or its folder; raise OptionError, FormatError."""
    known = known_boards()
    if str(name) in known:
        return read_facts(known[str(name)])
    folder = Path(str(name))
    if folder.name == "board.toml":
        folder = folder.parent
    if (folder / "board.toml").is_file():
        return read_facts(folder)
    raise OptionError(f"there is no firmware for a board {str(name)!r}; there is for {', '.join(known)}, and for a folder with a "
                      "board.toml", f"--board {next(iter(known))}, or docs/adding-a-board.md")


def read_facts(folder):
    """Read FOLDER/board.toml; raise FormatError if a fact is missing or impossible."""
    path = Path(folder) / "board.toml"
    try:
        if path.stat().st_size > _LARGEST_FILE:
            raise FormatError(f"{path} has {path.stat().st_size:,} bytes; a board.toml has a few hundred")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FormatError(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}", "docs/adding-a-board.md") from error
    return parse_facts(text, path, Path(folder))


def parse_facts(text, where, folder=None):
    """Return the BoardFacts that `text` (TOML) states; `where` names it in errors."""
    try:
        found = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise FormatError(f"{where} is not valid TOML: {error}", "docs/adding-a-board.md") from error
    _check(found, where)
    found["ramcode"] = {"in_ram": None, **found["ramcode"]}
    found["uart"] = {"kind": "usart", "fifo": True, **found["uart"]}
    names = {name for name in BoardFacts.__dataclass_fields__ if name not in ("folder", "text")}
    facts = BoardFacts(folder=folder, text=text, **{k: v for k, v in found.items() if k in names})
    hz = OSCILLATOR_HZ // facts.pll["m"] * facts.pll["n"] // facts.pll["r"]
    if hz != facts.clock_hz:
        raise FormatError(f"{where} says {facts.clock_hz:,} Hz, but its pll makes {hz:,} of 4 MHz", "m, n, r with 4 MHz / m * n / r")
    if facts.wait_states > _MOST_WAIT_STATES:
        _wrong(where, f"{facts.clock_hz:,} Hz with a wait state each {facts.wait_state_hz:,} Hz are {facts.wait_states} wait states; "
                      f"expected {_MOST_WAIT_STATES} at most")
    return facts


def _check(found, where):
    """Raise FormatError for a fact that is missing or out of range."""
    for name, kind in ((f.name, f.type) for f in fields(BoardFacts) if f.default is MISSING and f.name != "folder"):
        if not isinstance(found.get(name), kind) or (kind is int and isinstance(found[name], bool)):
            _wrong(where, f"{name} is {found.get(name)!r:.60}; expected {kind.__name__}")
    if not (_NAME.fullmatch(found["name"]) and _NAME.fullmatch(found["part"])):
        _wrong(where, f"name is {found['name']!r:.60}, part {found['part']!r:.60}; expected letters, digits and dashes")
    if not (FAMILIES / found["family"] / "link.ld").is_file() or not _NAME.fullmatch(found["family"]):
        families = ", ".join(p.parent.name for p in sorted(FAMILIES.glob("*/link.ld")))
        _wrong(where, f"family is {found['family']!r:.60}; there is {families}")
    for name, (low, high) in _MEMORIES.items():
        origin, length = (found[name].get(k) for k in ("origin", "length"))
        _number(where, f"{name}.length", length, 1024, _LARGEST_MEMORY)
        _number(where, f"{name}.origin", origin, low, high - length)
    if found["ramcode"].get("in_ram") is not None:
        _number(where, "ramcode.in_ram", found["ramcode"]["in_ram"], 0, found["ram"]["length"] - found["ramcode"]["length"])
    _number(where, "clock_hz", found["clock_hz"], 1_000_000, 400_000_000)
    _number(where, "wait_state_hz", found["wait_state_hz"], 1_000_000, 400_000_000)
    _number(where, "interrupts", found["interrupts"], 1, 240)
    _number(where, "device_id", found["device_id"], 0, 0xFFFFFFFF)
    for name, low, high in (("m", 1, 8), ("n", 8, 86), ("r", 2, 8)):
        _number(where, f"pll.{name}", found["pll"].get(name), low, high)
    _check_line(found["uart"], found["led"], where)
    for name in ("zig", "gcc"):
        if not all(isinstance(flag, str) for flag in found[name]):
            _wrong(where, f"{name} is {found[name]!r:.60}; expected a list of compiler flags")
    for name in ("openocd", "pyocd"):
        if not isinstance(found.get(name, ""), str):
            _wrong(where, f"{name} is {found[name]!r:.60}; expected the name by which it knows the board")


def _check_line(uart, led, where):
    _number(where, "uart.base", uart.get("base"), 0x40000000, 0x40023FFF)
    _number(where, "uart.alternate", uart.get("alternate"), 0, 15)
    enable = uart.get("enable")
    if not (isinstance(enable, list) and len(enable) == 2 and all(type(n) is int for n in enable) and 0 <= enable[1] < 32
            and enable[0] % 4 == 0):
        _wrong(where, f"uart.enable is {enable!r:.60}; expected [offset of the RCC register, bit]")
    _number(where, "uart.enable[0]", enable[0], 0x48, 0x60)
    if uart.get("kind", "usart") not in _UARTS or not isinstance(uart.get("name"), str) or not _NAME.fullmatch(uart["name"]):
        _wrong(where, f"uart is {uart!r:.60}; expected a name and a kind, {' or '.join(_UARTS)}")
    if not isinstance(uart.get("fifo", True), bool):
        _wrong(where, f"uart.fifo is {uart['fifo']!r:.60}; expected true or false")
    for name, pin in (("uart.tx", uart.get("tx")), ("uart.rx", uart.get("rx")), ("led.pin", led.get("pin"))):
        if not isinstance(pin, str) or not _PIN.fullmatch(pin):
            _wrong(where, f"{name} is {pin!r:.60}; expected a pin, as PA2")
    if led.get("lit") not in ("low", "high"):
        _wrong(where, f"led.lit is {led.get('lit')!r:.60}; expected low or high")


def _number(where, name, value, low, high):
    if type(value) is not int or not low <= value <= high:
        _wrong(where, f"{name} is {value!r:.60}; expected {low:#x} to {high:#x}" if low > 0xFFFF and name != "clock_hz"
               else f"{name} is {value!r:.60}; expected {low:,} to {high:,}")


def _wrong(where, problem):
    raise FormatError(f"{where}: {problem}", "docs/adding-a-board.md")


def pin(name):
    """Return (port 0 for A, pin number) of "PA2"."""
    letter, number = _PIN.fullmatch(name).groups()
    return ord(letter) - ord("A"), int(number)


def header_text(facts):
    """Return board.h: the facts in the form that the family's C sources use."""
    uart, (tx_port, tx), (rx_port, rx), (led_port, led) = facts.uart, pin(facts.uart["tx"]), pin(facts.uart["rx"]), pin(facts.led["pin"])
    values = {
        "CORE_HZ": f"{facts.clock_hz}u", "FLASH_BASE": f"{facts.flash['origin']:#x}u", "FLASH_BYTES": f"{facts.flash['length']}u",
        "RAM_BASE": f"{facts.ram['origin']:#x}u", "RAM_BYTES": f"{facts.ram['length']}u",
        "RAMCODE_BASE": f"{facts.ramcode['origin']:#x}u", "RAMCODE_BYTES": f"{facts.ramcode['length']}u",
        "PLL_M": f"{facts.pll['m']}u", "PLL_N": f"{facts.pll['n']}u", "PLL_R": f"{facts.pll['r']}u",
        "WAIT_STATES": f"{facts.wait_states}u", "HAS_BOOST": int(facts.boost),
        "PART_INTERRUPTS": facts.interrupts, "UART_BASE": f"{uart['base']:#x}u",
        "UART_ENABLE_OFFSET": f"{uart['enable'][0]:#x}u", "UART_ENABLE_BIT": f"{uart['enable'][1]}u",
        "UART_LOW_POWER": int(uart["kind"] == "lpuart"), "UART_FIFO": int(uart["fifo"]), "UART_ALTERNATE": f"{uart['alternate']}u",
        "TX_PORT": f"{tx_port}u", "TX_PIN": f"{tx}u", "RX_PORT": f"{rx_port}u", "RX_PIN": f"{rx}u",
        "LED_PORT": f"{led_port}u", "LED_PIN": f"{led}u", "LED_LIT": int(facts.led["lit"] == "high")}
    lines = [f"/* {facts.name}, {facts.part}: written by the build from board.toml. */", "#ifndef BOARD_H", "#define BOARD_H"]
    return "\n".join([*lines, *(f"#define {name} {value}" for name, value in values.items()), "#endif", ""])

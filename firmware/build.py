"""Compile an application's C with the firmware base into firmware for a board.

    image = build(["net.c", "net_weights.c"], "build/net", include=["kernels"])     # -> build/net.elf .bin .hex .map
    image.flash_bytes, image.ram_bytes

The sources implement firmware/common/tv_app.h. The compiler is zig (pip install "tinyvgg[board]"), or arm-none-eabi-gcc.
"""
import atexit
import functools
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from string import Template

from tinyvgg.codegen.host import FOLDER, remove_old, why_refused, zig_command
from tinyvgg.codegen.objects import digest, with_headers
from tinyvgg.errors import BuildError, OptionError
from tinyvgg.firmware.elf import BOARD_SECTION
from tinyvgg.firmware.facts import board_facts, header_text
from tinyvgg.firmware.image import check_budget, check_fits, sizes, smaller, write_images
from tinyvgg.report.record import atomic_path
from tinyvgg.report.shown import briefly

HERE = Path(__file__).parent
COMPILERS = ("zig", "gcc")
PROTOCOLS = ("tinyvgg", "mlperf")
SHARED = "TINYVGG_BUILD_CACHE"      # a folder for what several processes compile; it is never emptied
ROOM = 256 << 20            # bytes of zig's compiled files that a process keeps at most
_FREESTANDING = ["-std=gnu99", "-ffunction-sections", "-fdata-sections", "-fomit-frame-pointer", "-fno-unwind-tables",
                 "-fno-asynchronous-unwind-tables", "-ffp-contract=off", "-fno-math-errno", "-Wall", "-Wextra"]
# Without -fhosted a memcpy of four bytes is a call. zig's --strip-debug would also remove the symbols, so the debug data stays.
_ZIG = ["-fhosted", "-fno-sanitize=all", "-g0"]
_SMALL = ["-Os", "-fno-optimize-sibling-calls"]     # the base only waits for the line; a fault report names the calling function
# gcc would turn the start-up loops into calls of memcpy.
_GCC = ["-nostartfiles", "--specs=nano.specs", "--specs=nosys.specs", "-fno-tree-loop-distribute-patterns"]


@briefly
@dataclass(frozen=True)
class Image:
    """A built firmware: its files, and its sizes in bytes (ram_bytes includes the stack)."""
    elf: Path
    board: str
    compiler: str
    flash_bytes: int
    ram_bytes: int
    stack_bytes: int

    bin = property(lambda self: self.elf.with_suffix(".bin"))
    hex = property(lambda self: self.elf.with_suffix(".hex"))
    map = property(lambda self: self.elf.with_suffix(".map"))

    def as_dict(self):
        """Return plain data for a report."""
        return {**asdict(self), "elf": str(self.elf)}


def build(sources, out, *, board="stm32l4r9i-disco", compiler="auto", include=(), defines=(), flags=(), optimise="-O3",
          stack=4096, flash=None, ram=None, memory_access=False, protocol="tinyvgg"):
    """Compile `sources` and the firmware base to OUT.elf, .bin, .hex and .map; return an Image.

    sources: C files that implement tv_app.h; include: their header folders; defines: "NAME=VALUE" strings; flags: further
    compiler flags; stack: bytes; flash, ram: budgets in bytes, at most the board's own; memory_access: compile in the requests
    that read and write memory; protocol: "tinyvgg" (which includes the student's), or "mlperf" for MLPerf Tiny's commands.

    Raises BuildError if there is no compiler, if the compiler refuses the code (with its message), or if the firmware is too
    large (by how much).
    """
    facts = board_facts(board)
    name, command = find_compiler(compiler)
    elf_path = Path(f"{out}.elf") if Path(out).suffix != ".elf" else Path(out)
    if not 512 <= stack <= facts.ram["length"]:
        raise OptionError(f"a stack of {stack} bytes; expected 512 to {facts.ram['length']}")
    with tempfile.TemporaryDirectory() as scratch, atomic_path(elf_path) as partial:
        of_board = _facts_source(facts)
        base = [*_protocol_sources(protocol), *_board_sources(facts), of_board]
        folders = [HERE / "common", of_board.parent, facts.folder, facts.sources, *([HERE / "include"] if name == "zig" else []), *include]
        arguments = [*command, *(facts.zig if name == "zig" else facts.gcc), *_FREESTANDING, *(_ZIG if name == "zig" else _GCC), *flags,
                     *(f"-D{d}" for d in defines), f"-DTV_MEMORY_ACCESS={int(memory_access)}",
                     *(f"-I{Path(folder).resolve()}" for folder in folders)]
        script = Path(scratch) / "link.ld"
        script.write_text(_linker_script(facts, stack))
        objects = Path(scratch) / "base"
        objects.mkdir()
        _compile([*arguments, *_SMALL, "-c", *map(str, base)], facts, scratch, objects)
        _compile([*arguments, optimise, "-T", str(script), "-Wl,--gc-sections", "-Wl,-e,Reset_Handler", *map(str, sorted(objects.glob("*.o"))),
                  *map(str, sources), *([] if name == "zig" else ["-lm"]), "-o", str(partial)], facts, scratch)
    elf = write_images(elf_path)
    used = sizes(elf)
    try:
        check_fits(elf, facts)
        where = "the budget given" if flash or ram else facts.part
        check_budget(used, flash or facts.flash["length"], ram or facts.ram["length"], where)
    except BuildError:
        for suffix in (".elf", ".bin", ".hex"):          # the map is kept: it shows what is large
            elf_path.with_suffix(suffix).unlink(missing_ok=True)
        raise
    return Image(elf_path, facts.name, name, **used)


def build_demonstration(out, **options):
    """Build the firmware without a network (firmware/demonstration/); options as of `build`."""
    return build([HERE / "demonstration" / "demonstration.c"], out, **options)


def find_compiler(wanted="auto"):
    """Return (name, command) of a compiler for the Cortex-M4: "zig" from pip, or "gcc" (arm-none-eabi-gcc on the PATH)."""
    if wanted not in ("auto", *COMPILERS):
        raise OptionError(f"compiler {wanted!r}; expected auto, zig or gcc")
    if wanted in ("auto", "zig"):
        try:
            return "zig", zig_command()
        except ImportError:
            if shutil.which("zig"):
                return "zig", ["zig", "cc"]
    if wanted in ("auto", "gcc") and shutil.which("arm-none-eabi-gcc"):
        return "gcc", ["arm-none-eabi-gcc"]
    missing = {"auto": "no compiler for the Cortex-M4 was found", "zig": "zig was not found",
               "gcc": "arm-none-eabi-gcc was not found"}
    hint = "apt install gcc-arm-none-eabi" if wanted == "gcc" else 'pip install "tinyvgg[board]"'
    raise BuildError(missing[wanted], hint)


def _protocol_sources(protocol):
    """Return the C files of main() and of the protocol."""
    if protocol not in PROTOCOLS:
        raise OptionError(f"protocol {protocol!r}; expected {' or '.join(PROTOCOLS)}", "--protocol tinyvgg")
    if protocol == "mlperf":
        return [HERE / "mlperf" / "tv_mlperf.c", HERE / "common" / "tv_receiver.c"]
    return sorted((HERE / "common").glob("*.c"))


def _board_sources(facts):
    """Return the C files of the board: its own, and those of its family that have no file of the same name in its folder."""
    own = {p.name: p for p in sorted(facts.folder.glob("*.c"))}
    return list(({p.name: p for p in sorted(facts.sources.glob("*.c"))} | own).values())


def _facts_source(facts):
    """Write board.h and a C file that puts board.toml into the ELF, in a section that loaders ignore; return the C file."""
    folder = _kept({"board.h": header_text(facts), "board.toml": facts.text})
    return _kept({"board_facts.c": f"""__asm__(".pushsection {BOARD_SECTION},\\"\\",%progbits\\n"
        ".incbin \\"{(folder / 'board.toml').as_posix()}\\"\\n.popsection\\n");
"""}, folder) / "board_facts.c"


@functools.cache
def _of_process(process):
    """Return the folder for zig's compiled files and their sources, and whether it is the one that TINYVGG_BUILD_CACHE names.

    Raises BuildError if that one cannot be made, or if somebody else could write to it: firmware is made of what lies there.
    """
    if os.environ.get(SHARED):
        return _shared(Path(os.environ[SHARED]).absolute()), True
    remove_old()
    folder = tempfile.mkdtemp(prefix=f"{FOLDER}build-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder), False


def _shared(folder):
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.stat()
    except OSError as error:
        raise BuildError(f"{SHARED} names {folder}, which cannot be used: {error.strerror}", "a folder of your own") from error
    if os.name != "nt" and (found.st_uid != os.getuid() or found.st_mode & 0o022):
        raise BuildError(f"{SHARED} names {folder}, to which others can write", f"chmod 700 {folder}, if it is yours")
    return folder


def _kept(files, folder=None):
    """Write {name: text} into a folder named after a hash of the contents, unless it holds them already; return the folder."""
    folder = folder or _of_process(os.getpid())[0] / digest(files)[:32]
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        data = text.encode("utf-8")
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            with atomic_path(folder / name) as part:
                part.write_bytes(data)
    return folder


def kept(source):
    """Copy a C file and the headers beside it to a place where they stay while this process lives; return the copy.

    zig compiles a file again if its modification time has changed. The time of the copy does not change, so zig finds what it has
    compiled for earlier firmware.
    """
    return _kept(with_headers(source)) / Path(source).name


def _linker_script(facts, stack):
    """Return the family's link.ld (or the board's own), filled in with the memories of a board."""
    own = facts.folder / "link.ld"
    path = own if own.is_file() else facts.sources / "link.ld"
    alias = facts.ramcode["in_ram"]
    values = {"part": facts.part, "stack": stack,
              "ram_limit": hex(facts.ram["origin"] + (facts.ram["length"] if alias is None else alias))}
    for name in ("flash", "ram", "ramcode", "held"):
        memory = getattr(facts, name)
        values |= {f"{name}_origin": f"{memory['origin']:#010x}", f"{name}_length": memory["length"]}
    try:
        return Template(path.read_text(encoding="utf-8")).substitute(values)
    except (OSError, ValueError, KeyError) as error:
        raise BuildError(f"{path} cannot be filled in: {error}", f"${{NAME}} of {', '.join(values)} alone, and $$ for a $") from error


def _compile(command, facts, scratch, folder=None):
    """Run a compiler, in `folder` if there is one."""
    own, shared = _of_process(os.getpid())
    environment = {**os.environ, "ZIG_LOCAL_CACHE_DIR": str(own / "zig"), "LC_ALL": "C"}        # else in the working directory
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", env=environment, timeout=600,
                              check=False, cwd=folder)
    except subprocess.TimeoutExpired as error:
        raise BuildError(f"the compiler ({command[0]}) did not finish in 600 s") from error
    except OSError as error:
        raise BuildError(f"the compiler could not be started: {error}", 'pip install "tinyvgg[board]"') from error
    if not shared and sum(path.stat().st_size for path in own.rglob("*") if path.is_file()) > ROOM:
        shutil.rmtree(own, ignore_errors=True)
    if done.returncode and not (done.stderr + done.stdout).strip():
        raise BuildError(f"the compiler refused the code: {why_refused(done, scratch)}")
    if done.returncode:
        raise _refusal(done.stderr or done.stdout, facts)


def _refusal(text, facts):
    """Return a BuildError with one sentence for a compiler's output: too large by so many bytes, or its first error."""
    over = re.search(r"(?:region .?|in region ')(FLASH|RAM|RAMCODE|HELD).?[^\n]*?overflow\w* by (\d+) bytes", text)
    if over:
        where, missing = over.group(1), int(over.group(2))
        limit = {"FLASH": facts.flash, "RAM": facts.ram, "RAMCODE": facts.ramcode, "HELD": facts.held}[where]["length"]
        kind = {"FLASH": "flash", "RAM": "RAM", "RAMCODE": "SRAM2 (code in RAM)", "HELD": "RAM for weights held there"}[where]
        return BuildError(f"the image does not fit the {facts.part}: its {kind} of {limit:,} bytes lacks {missing:,}",
                          smaller(where == "FLASH"))
    errors = [line for line in text.splitlines() if "error" in line.lower()]
    errors = errors or text.strip().splitlines()[-3:]
    return BuildError("the compiler refused the code: " + " | ".join(line.strip() for line in errors[:3]))

"""CoreMark on the virtual board, as a sanity row: iterations a second and MHz, from flash and from SRAM2, beside published figures.

    git clone https://github.com/eembc/coremark DIR
    python benchmarks/coremark.py DIR --json benchmarks/results/coremark.json

gcc -O3 (arm-none-eabi-gcc on the PATH), its sources unchanged; only the port is ours. Nothing of it is kept here. Published for the
STM32L4R5 with ARMCC -O3: 2.30 a MHz. Compilers weigh as much as the flash here.
"""
import re
import subprocess
import tempfile
from pathlib import Path

from common import option_parser, write_result

from tinyvgg.board.virtual.machine import Machine
from tinyvgg.firmware.build import build
from tinyvgg.firmware.facts import board_facts
from tinyvgg.report.tables import table

ITERATIONS = 20
SOURCES = ("core_list_join.c", "core_main.c", "core_matrix.c", "core_state.c", "core_util.c")
HOT = ".text.core_* .text.crc* .text.calc_func .text.cmp_* .text.matrix_* .text.iterate .text.copy_info .text.get_seed*"
HEADER = """
#ifndef CORE_PORTME_H
#define CORE_PORTME_H
#include <stddef.h>
#include <stdint.h>
#define HAS_FLOAT 0
#define HAS_TIME_H 0
#define USE_CLOCK 0
#define HAS_STDIO 0
#define HAS_PRINTF 0
#define COMPILER_VERSION "gcc"
#define COMPILER_FLAGS "-O3"
#define MEM_LOCATION "STACK"
#define MEM_METHOD MEM_STATIC
#define SEED_METHOD SEED_VOLATILE
#define MULTITHREAD 1
#define MAIN_HAS_NOARGC 1
#define MAIN_HAS_NORETURN 0
typedef int16_t ee_s16; typedef uint16_t ee_u16; typedef int32_t ee_s32; typedef uint8_t ee_u8; typedef uint32_t ee_u32;
typedef uintptr_t ee_ptr_int; typedef size_t ee_size_t; typedef uint32_t CORE_TICKS; typedef double ee_f32;
#define align_mem(x) (void *)(4 + (((ee_ptr_int)(x)-1) & ~3))
typedef struct { ee_u8 portable_id; } core_portable;
extern ee_u32 default_num_contexts;
void portable_init(core_portable *p, int *argc, char *argv[]);
void portable_fini(core_portable *p);
int ee_printf(const char *format, ...);
#endif
"""
PORT = """
#include <stdarg.h>
#include <stdio.h>
#include "coremark.h"
#include "tv_port.h"
volatile ee_s32 seed1_volatile = 0, seed2_volatile = 0, seed3_volatile = 0x66, seed4_volatile = ITERATIONS, seed5_volatile = 0;
ee_u32 default_num_contexts = 1;
char end[8192];                                   /* newlib's heap */
static CORE_TICKS from, to;
void start_time(void) { from = tv_cycles(); }
void stop_time(void) { to = tv_cycles(); }
CORE_TICKS get_time(void) { return to - from; }
secs_ret time_in_secs(CORE_TICKS ticks) { return ticks / 120000000u; }
void portable_init(core_portable *p, int *argc, char *argv[]) { (void)argc, (void)argv; p->portable_id = 1; }
void portable_fini(core_portable *p) { p->portable_id = 0; ee_printf("end\\n"); tv_flush(); for (;;) tv_getc(1000000u); }
int ee_printf(const char *format, ...)
{
    char text[160];
    va_list arguments;
    va_start(arguments, format);
    int n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    for (int i = 0; text[i]; i++) tv_putc((uint8_t)text[i]);
    return n;
}
"""


def built(folder, sources, where):
    """Build CoreMark with its code in "flash" or "sram2"; return the ELF's path."""
    board = folder / f"board_{where}"
    board.mkdir()
    facts = board_facts("nucleo-l4r5zi")
    (board / "board.toml").write_text(facts.text, encoding="utf-8")
    script = (facts.sources / "link.ld").read_text(encoding="utf-8")
    if where == "sram2":                                 # what is placed first is not placed again
        start, end = script.index("    .ramcode :"), script.index("    _ramcode_load")
        ramcode = script[start:end].replace("*(.ramcode .ramcode.*)", f"*(.ramcode .ramcode.*) *({HOT})")
        script = script[:start] + script[end:]
        script = script.replace("    .text :", f"{ramcode}    .text :", 1)
    (board / "link.ld").write_text(script, encoding="utf-8")
    return build(sources, folder / f"coremark_{where}", board=board, compiler="gcc", include=[folder], flags=["-w"],
                 defines=["TV_HOST", "PERFORMANCE_RUN=1", f"ITERATIONS={ITERATIONS}"]).elf


def measure(elf, flash_model):
    """(iterations/MHz, whether its own check says that the answers are right)."""
    machine = Machine(elf, flash_model=flash_model)
    text = b""
    while b"end\n" not in text:
        if machine.run(1.0) == "fault":
            raise SystemExit(f"{elf}: {machine.fault}")
        text += machine.receive()
    ticks = int(re.search(rb"Total ticks\s*:\s*(\d+)", text).group(1))
    return ITERATIONS * 1e6 / ticks, b"0xe714" in text and b"0x1fd7" in text and b"0x8e3a" in text


def main():
    """Print the row; keep it with --json."""
    parser = option_parser(__doc__)
    parser.add_argument("folder", metavar="DIR", type=Path, help="a clone of eembc/coremark")
    parser.add_argument("--json", metavar="FILE", help="keep the rows")
    arguments = parser.parse_args()
    commit = subprocess.run(["git", "-C", str(arguments.folder), "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    rows = []
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "core_portme.h").write_text(HEADER, encoding="utf-8")
        (folder / "core_portme.c").write_text(PORT, encoding="utf-8")
        (folder / "coremark.h").write_bytes((arguments.folder / "coremark.h").read_bytes())
        sources = [folder / "core_portme.c", *(arguments.folder / name for name in SOURCES)]
        for where in ("flash", "sram2"):
            elf = built(folder, sources, where)
            for model in ("calibrated", "none"):
                per_mhz, right = measure(elf, model)
                rows.append({"code": where, "flash_model": model, "iterations_per_mhz": per_mhz, "valid": right})
    print(table(["code in", "flash model", "CoreMark / MHz", "valid"],
                [[r["code"], r["flash_model"], f"{r['iterations_per_mhz']:.2f}", "yes" if r["valid"] else "NO"] for r in rows]))
    write_result(arguments.json, "python benchmarks/coremark.py DIR --json benchmarks/results/coremark.json",
                 coremark_commit=commit.stdout.strip(), rows=rows)


if __name__ == "__main__":
    main()

"""Public applications of X-CUBE-AI against our client headers: which compile, with -fsyntax-only and stand-ins for the HAL.

    python benchmarks/interop/clients.py --applications DIR --model MODEL.tvq [--cc arm-none-eabi-gcc] [--out FILE.json]

DIR holds clones, or bare clones in folders `OWNER+NAME/repo`. Nothing of theirs is kept: a row has the repository, its commit and the path
of each app_x-cube-ai.c, the client API that it was written for, and what is missing. A header that is not found becomes one that has names of
the HAL; a header of the owner's own (not ST's drivers, middleware or generated network) is taken from the clone. Names of the HAL and of boards
are not ours: a row says `ours` where a name of the client API is wrong or missing, `theirs` where only others are.
"""
import re
import subprocess
import sys
import tempfile
from pathlib import Path

from tinyvgg.firmware.export import export
from tinyvgg.quant import load_tvq
from tinyvgg.xcubeai.client import client_of

sys.path.append(str(Path(__file__).resolve().parents[1]))
from common import option_parser, write_result  # noqa: E402

HANDLES = ("UART", "CRC", "TIM", "I2C", "SPI", "ADC", "DMA", "RTC", "DCMI", "I2S", "LTDC", "DMA2D", "QSPI", "SD")
NAMES = {"UART": ["hlpuart1", "UartHandle"], "CRC": ["hcrc"], "DCMI": ["hdcmi"], "LTDC": ["hltdc"], "DMA2D": ["hdma2d"], "QSPI": ["hqspi"],
         "RTC": ["hrtc"]}
_CLIENT = re.compile(r"^'?(?:ai_|AI_|stai_|STAI_|g_\w+_weights)|has no member named '(?:n_batches|shape|data|size|height|width|channels)'|"
                     r"invalid initializer|implicit declaration of function '(?:ai_|stai_|AI_|STAI_)|unknown type name '(?:ai_|stai_|AI_)|"
                     r"'(?:AI_|ai_|STAI_|stai_)\w+' undeclared|incompatible types when .* 'ai_error'")


def hal():
    """The text of a main.h with what a HAL has: types, handles, a few functions."""
    numbered = {kind: [f"h{kind.lower() if kind != 'UART' else 'uart'}{i}" for i in range(1, 18)] for kind in HANDLES}
    lines = ["#ifndef HAL_STAND_IN_H", "#define HAL_STAND_IN_H", "#include <stdint.h>", "#include <stddef.h>", "#include <stdbool.h>",
             "typedef enum { HAL_OK, HAL_ERROR, HAL_BUSY, HAL_TIMEOUT } HAL_StatusTypeDef;",
             "typedef enum { GPIO_PIN_RESET, GPIO_PIN_SET } GPIO_PinState;",
             "typedef struct { volatile uint32_t CR, CR1, CR2, DR, SR, ISR, CNT, IDR, ODR, BSRR, CYCCNT, CTRL, DEMCR, LAR, CCR; } registers;",
             "typedef registers GPIO_TypeDef, TIM_TypeDef, USART_TypeDef;", "extern uint32_t SystemCoreClock;",
             "extern registers *const DWT, *const CoreDebug, *const SCB;", "#define HAL_MAX_DELAY 0xFFFFFFFFu", "#define __IO volatile",
             "#define __weak __attribute__((weak))", "#define __WEAK __attribute__((weak))", "#define UNUSED(x) ((void)(x))",
             "#define __HAL_RCC_CRC_CLK_ENABLE()", "uint32_t HAL_GetTick(void);", "void HAL_Delay(uint32_t);", "void Error_Handler(void);"]
    lines += [f"#define GPIO_PIN_{i} (1u << {i})" for i in range(16)]
    lines += [f"extern registers *const GPIO{c};" for c in "ABCDEFGHI"]
    for kind in HANDLES:
        lines.append(f"typedef struct {{ registers *Instance; uint32_t ErrorCode; }} {kind}_HandleTypeDef;")
        lines += [f"extern {kind}_HandleTypeDef {name};" for name in [*numbered[kind], *NAMES.get(kind, [])]]
    lines += ["HAL_StatusTypeDef HAL_UART_Transmit(UART_HandleTypeDef *, const uint8_t *, uint16_t, uint32_t);",
              "HAL_StatusTypeDef HAL_UART_Receive(UART_HandleTypeDef *, uint8_t *, uint16_t, uint32_t);", "#endif"]
    return "\n".join(lines) + "\n"


def main(argv=None):
    parser = option_parser(__doc__, out=Path)
    parser.add_argument("--applications", type=Path, required=True, metavar="DIR")
    parser.add_argument("--model", type=Path, required=True, metavar="FILE.tvq")
    parser.add_argument("--cc", default="arm-none-eabi-gcc")
    arguments = parser.parse_args(argv)
    model, rows = load_tvq(arguments.model), []
    for git, name in clones(arguments.applications):
        for path in files(git, r"(?i)^(?!.*templates/)(?:.*/)?app_x-cube-ai\.c$|^export_model\w*/main\.c$"):       # templates are no C
            with tempfile.TemporaryDirectory() as folder:
                row = compiles(git, name, path, model, Path(folder), arguments.cc)
            if row:
                rows.append(row)
                print(f"{row['repository']}@{row['commit']} {row['path']}: client {row['client']}, {row['result']}"
                      + (f": {row['missing'][0]}" if row["missing"] else ""))
    counts = {result: sum(row["result"] == result for row in rows) for result in ("compiles", "theirs", "ours")}
    print(counts)
    write_result(arguments.out, "python benchmarks/interop/clients.py --applications DIR --model MODEL.tvq", rows=rows,
                 compiled=[r for r in rows if r["result"] == "compiles"], counts=counts, tried=len(rows))
    return 1 if counts["ours"] else 0


def clones(folder):
    """[(git directory, OWNER/NAME)] of the clones in a folder."""
    found = [(p, p.parent.name.replace("+", "/")) for p in sorted(folder.glob("*/repo")) if (p / "HEAD").exists()]
    return found + [(p / ".git", p.name) for p in sorted(folder.iterdir()) if (p / ".git").exists()]


def run(git, *command):
    """Output of a git command, as bytes."""
    return subprocess.run(["git", f"--git-dir={git}", *command], capture_output=True, check=False).stdout


def files(git, pattern):
    """Paths of a commit's files that the pattern is found in."""
    return [p for p in run(git, "ls-tree", "-r", "HEAD", "--name-only").decode("utf-8", "replace").splitlines() if re.search(pattern, p)]


def compiles(git, name, path, model, folder, cc):
    """The row of one application, or None for one that calls no network."""
    source = run(git, "show", f"HEAD:{path}")
    text = source.decode("utf-8", "replace")
    client = client_of(text)
    if client is None:
        return None
    (folder / "app.c").write_bytes(source)
    stand_ins = folder / "stand-ins"
    stand_ins.mkdir()
    (stand_ins / "main.h").write_text(hal())
    network = networks(text)
    theirs = {"app_x-cube-ai.h": own(git, path, "app_x-cube-ai.h")}
    if theirs["app_x-cube-ai.h"]:
        (stand_ins / "app_x-cube-ai.h").write_bytes(theirs["app_x-cube-ai.h"])
    for one in network:
        export(model, folder / one, name=one, client=client)
    found = missing(folder, [stand_ins, *(folder / one for one in network)], cc, lambda header: own(git, path, header))
    ours = [m for m in found if _CLIENT.search(m)]
    return {"repository": name, "commit": run(git, "rev-parse", "--short=7", "HEAD").decode().strip(), "path": path, "client": client,
            "networks": network, "result": "ours" if ours else "theirs" if found else "compiles", "missing": (ours or found)[:6]}


def own(git, path, header):
    """The owner's header of that name nearest to the application, or None where only ST's has it."""
    name = re.escape(header.split("/")[-1])
    found = [p for p in files(git, rf"(?i)(?:^|/){name}$") if not re.search(r"(?i)(?:^|/)(?:drivers|middlewares|cmsis)/|stm32\w*hal|/stm32", p)]
    if not found or header in ("main.h", "stm32_hal.h"):
        return None
    return run(git, "show", f"HEAD:{max(found, key=lambda p: sum(a == b for a, b in zip(p.split('/'), path.split('/'), strict=False)))}")


def networks(text):
    """Names of the networks that a source calls."""
    found = re.findall(r"\b(?:ai|stai)_(\w+?)_(?:create_and_init|create|init|inputs_get|run)\b", text)
    return sorted({n for n in found if n not in ("mnetwork", "runtime")} or {"network"})


def missing(folder, includes, cc, own_header):
    """What the compiler says is wrong; headers that are not there are put there."""
    for _ in range(60):
        done = subprocess.run([cc, "-fsyntax-only", "-std=gnu11", "-w", "-Werror=implicit-function-declaration", *(f"-I{i}" for i in includes),
                               str(folder / "app.c")], capture_output=True, text=True, errors="replace", check=False)
        header = re.search(r"fatal error: ([^:\n]+): No such file", done.stderr)
        if not header:
            break
        place = includes[0] / header[1]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(own_header(header[1]) or b'#include "main.h"\n')
    said = [re.sub(r"; did you mean.*", "", line.split("error: ", 1)[1]) for line in done.stderr.splitlines() if "error: " in line]
    foreign = re.compile(r"implicit declaration of function '(?!ai_|stai_|AI_|STAI_)")
    return [s for s in dict.fromkeys(said) if not foreign.search(s) and not s.startswith("cc1")]


if __name__ == "__main__":
    sys.exit(main())

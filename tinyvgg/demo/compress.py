"""Compress at every level: X-CUBE-AI's on floats, eight bits, shared weights."""

from tinyvgg.quant.memory import plan_memory
from tinyvgg.quant.prepare import Options
from tinyvgg.quant.schemes import compress, constants, needs_images
from tinyvgg.report.progress import Progress
from tinyvgg.report.record import keep_row, kept_rows, sha256_file
from tinyvgg.train import evaluate

NEEDS, WISHES = ("train",), ()
SCHEMES = ("none", "low", "medium", "high", "int8", "shared8", "shared4", "shared3", "shared2")


def run(story):
    """Return one row a scheme: bytes of constants, arena, accuracy with its interval; the models lie in DIR/compress."""
    log, progress = story.folder("compress") / "rows.jsonl", Progress(len(SCHEMES), "compress", "schemes", quiet=story.quiet)
    kept = ({key: value for key, value in row.items() if key != "crc"} for row in kept_rows(log))
    known = {row["scheme"]: row for row in kept if row.get("model_sha256") == story.results["train"]["weights_sha256"]}
    rows = []
    for scheme in SCHEMES:
        path = story.tvq(scheme)
        if scheme not in known or not path.is_file() or sha256_file(path) != known[scheme]["file_sha256"]:
            known[scheme] = _one(story, scheme)
            keep_row(log, known[scheme])
        rows.append(known[scheme])
        progress.advance()
    progress.close()
    return {"rows": rows}


def _one(story, scheme):
    options = Options(seed=story.settings.seed)
    wanted = story.count(options.calibration_images, "train")
    images = story.images("train", wanted) if needs_images(scheme, options) else (None, None)
    model = compress(story.model, scheme, *images, seed=story.settings.seed)
    path = story.tvq(scheme)
    path.parent.mkdir(parents=True, exist_ok=True)
    model.save(path)
    n = story.count(story.sizes.compressed)
    found = evaluate(model, *story.images("test", n))
    command = (
        f"tinyvgg compress {story.model_name} --scheme {scheme} --data {story.data} -n {n}{story.seed} "
        f"--out {story.tvq_name(scheme)}"
    )
    return {
        "scheme": scheme,
        "integer": hasattr(model, "integer_logits"),
        "constants_bytes": constants(model),
        "arena_bytes": plan_memory(model.graph).size,
        "accuracy": found["accuracy"],
        "interval": found["interval"],
        "n": n,
        "sha256": model.sha256,
        "file_sha256": sha256_file(path),
        "model_sha256": story.results["train"]["weights_sha256"],
        "command": command,
    }

"""Telling the story: each stage once, in order; what a stop left is kept, what an extra lacks is said."""

import hashlib
import json
import shutil
import time
from dataclasses import asdict, replace
from importlib import import_module
from pathlib import Path

from tinyvgg._version import __version__
from tinyvgg.data import cifar10
from tinyvgg.demo.sources import sources_sha256
from tinyvgg.demo.story import Settings, Story, read_json
from tinyvgg.errors import DataError, FormatError, MissingExtra, OptionError
from tinyvgg.report.progress import Progress
from tinyvgg.report.record import check_folder, plain, toolchain, versions, write_json

STAGES = ("train", "evaluate", "analyze", "compress", "codegen", "firmware", "board", "attack", "bitflip", "defence")


def demo(out="runs/demo", *, data=None, model=None, stages=None, seed=0, quick=False, resume=False, again=False, quiet=True):
    """Run the stages that are not done yet and write OUT/report.html; return what there is as plain data.

    data, model, seed, quick: see Settings. stages: names, to run these alone and what they need. resume: take the settings that
    OUT began with. again: do these stages anew, also where they are done. A stage whose extra is not installed is skipped, with
    the reason; one that a stop interrupted goes on.
    Returns {"out", "report", "stages": {name: {"done", "seconds"} or {"skipped", "install"}}, "failed": [sentences], ...}.
    Raises OptionError where OUT holds a story with other settings.
    """
    settings = _settings(Path(out), _with_data(Settings(None if data is None else str(data), model, seed, quick)), resume)
    wanted = _with_needs(STAGES if stages is None else stages)
    story = Story(out, settings, quiet=quiet)
    if len(story.dataset.x_train) == 0:  # what is wrong with the data is said before anything is written
        raise DataError(
            f"{story.dataset.name} ({story.dataset.source}) has no training images", "--data shapes, or CIFAR-10 whole"
        )
    write_json(story.out / "demo.json", settings.as_dict())
    records, say = {}, Progress(len(STAGES), "demo", quiet=quiet).say
    for name in STAGES:
        module = import_module(f"tinyvgg.demo.{name}")
        key = _key(story, name, module, records)
        kept = read_json(story.folder(name) / "result.json")
        anew = again and name in (STAGES if stages is None else stages)
        if kept and kept.get("key") == key and "result" in kept and not anew:
            records[name] = kept
        elif name in wanted:
            say(f"{STAGES.index(name) + 1}/{len(STAGES)} {name}: {module.__doc__.splitlines()[0].rstrip('.')}")
            records[name] = _run(story, name, module, key, records, anew)
            if "skipped" in records[name]:
                say(f"    skipped: {records[name]['skipped']}. Try: {records[name]['install']}")
        else:
            records[name] = {"key": None, "left": True}
        story.results[name] = records[name].get("result")
    return _finish(story, records)


def _run(story, name, module, key, records, anew):
    """Run one stage and keep its result, or say why it is skipped."""
    for need in module.NEEDS:
        if "result" not in records[need]:
            why = records[need].get("skipped", "it was not run")
            return {"key": None, "skipped": f"it needs the stage {need}: {why}", "install": records[need].get("install", "")}
    _begin(story.folder(name), _key(story, name, module, records, wishes=False), anew)
    started = time.perf_counter()
    try:
        result = plain(module.run(story))
    except MissingExtra as error:
        return {"key": None, "skipped": error.problem, "install": error.hint}
    seconds = round(time.perf_counter() - started, 2)
    record = {"stage": name, "key": key, "seconds": seconds, "versions": versions(), "result": result}
    write_json(story.folder(name) / "result.json", record)
    return record


def _begin(folder, key, anew):
    """Go on with what a stop left in a stage's folder, but not with what was begun with other settings, code or network."""
    begun = read_json(folder / "begun.json")
    if begun is not None and (anew or begun.get("key") != key):
        shutil.rmtree(folder)
    write_json(folder / "begun.json", {"key": key})


def _key(story, name, module, records, *, wishes=True):
    """What a stage's result depends on: settings, version and code of the package, data, network, and the stages before it."""
    before = {n: records[n]["key"] for n in (*module.NEEDS, *(module.WISHES if wishes else ()))}
    settings = {**story.settings.as_dict(), **asdict(story.sizes)}
    hashes = sources_sha256(), story.dataset.sha256, story.chosen_sha256
    text = json.dumps([name, __version__, settings, hashes, before], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _with_needs(stages):
    """Return the stages and all that they need."""
    stages = list(stages)
    for name in stages:
        if name not in STAGES:
            raise OptionError(f"there is no stage {name!r}; expected {', '.join(STAGES)}", "--stage attack")
        stages += [n for n in import_module(f"tinyvgg.demo.{name}").NEEDS if n not in stages]
    return set(stages)


def _with_data(settings):
    """The settings with their data named, so that a story stays with them when others come into sight."""
    return settings if settings.data is not None else replace(settings, data="cifar10" if cifar10.find() else "shapes")


def _settings(out, given, resume):
    """The settings of the story in `out`: those given, which must be those it began with; all of them with `resume`."""
    check_folder(out)
    kept = read_json(out / "demo.json") if out.exists() else None
    if kept is None:
        if resume:
            raise OptionError(f"{out} holds no story to go on with", "the same without --resume")
        return given
    try:
        before = Settings(**kept)
    except (TypeError, OptionError) as error:
        why = f": {error.problem}" if isinstance(error, OptionError) else ""
        raise FormatError(f"{out / 'demo.json'} is not the settings of a story{why}", "another --out") from error
    before = _with_data(before)
    if not resume and before != given:
        name = next(key for key, value in given.as_dict().items() if getattr(before, key) != value)
        there, this = (_shown(settings, name) for settings in (before, given))
        raise OptionError(
            f"{out} holds a story with {name} {there}; this is one with {this}",
            "another --out" if name in ("data", "model") else "--resume, or another --out",
        )
    return before


def _shown(settings, name):
    value = getattr(settings, name)
    return (Story("", settings).chosen or "trained by itself") if name == "model" and value is None else value


def _finish(story, records):
    """Write the page and results.json, which has all that the page shows; return what there is."""
    from tinyvgg.demo.page import write_page

    told = {name: _told(record) for name, record in records.items()}
    failed = [text for name in STAGES for text in (story.results[name] or {}).get("failed", [])]
    summary = {
        "out": str(story.out),
        "report": str(story.out / "report.html"),
        "data": story.dataset.name,
        "data_sha256": story.dataset.sha256,
        "settings": story.settings.as_dict(),
        "stages": told,
        "failed": failed,
        "seconds": round(sum(r.get("seconds", 0) for r in told.values()), 2),
        "versions": versions(),
        "tools": toolchain(),
    }
    write_page(story, summary)
    found = {name: result for name, result in story.results.items() if result is not None}
    write_json(story.out / "results.json", {**summary, "results": found})
    return summary


def _told(record):
    if "result" in record:
        return {"done": True, "seconds": record["seconds"]}
    if "skipped" in record:
        return {"done": False, "skipped": record["skipped"], "install": record["install"]}
    return {"done": False, "skipped": "it was not asked for", "install": ""}

"""Progress of long work on standard error: bar, rate, time left."""
import os
import sys
import time


class Progress:
    """A bar for `total` units of work; `advance(n, note)` redraws it at most ten times a second.

    On a terminal the line is redrawn in place; elsewhere (a log file) a line is printed every `log_seconds`. In a notebook the
    bar is tqdm's, if tqdm is installed.
    """

    def __init__(self, total, label, unit="images", *, quiet=False, stream=None, log_seconds=30.0):
        self.bar = None if quiet or stream is not None else notebook_bar(total, label, unit)
        self.total, self.label, self.unit, self.quiet = total, label, unit, quiet
        self.stream = sys.stderr if stream is None else stream
        self.redraws = self.stream.isatty()
        self.clear, self.width = "\x1b[K" if knows_escapes(self.stream) else "", 0
        self.interval = 0.1 if self.redraws else log_seconds
        self.done, self.started = 0, time.monotonic()
        self.drawn = self.started if not self.redraws else 0.0

    def begin(self, note):
        """Draw the bar at once, on a terminal or in a notebook, before the first unit is done."""
        if self.bar is not None:
            self.bar.set_postfix_str(note)
        elif not self.quiet and self.redraws:
            self._draw(time.monotonic(), note)

    def advance(self, n=1, note=""):
        """Count `n` units as done."""
        self.done += n
        if self.bar is not None:
            self.bar.set_description_str(self.label, refresh=False)
            self.bar.set_postfix_str(note, refresh=False)
            return self.bar.update(n)
        now = time.monotonic()
        if not self.quiet and now - self.drawn >= self.interval:
            self.drawn = now
            self._draw(now, note)

    def close(self, note=""):
        """End the line; a terminal keeps the last state."""
        if self.bar is not None:
            self.bar.set_postfix_str(note)
            self.bar.close()
        elif not self.quiet and self.redraws:
            self._draw(time.monotonic(), note)
            self.stream.write("\n")

    def say(self, text):
        """Print a separate line; on a terminal, above the bar."""
        if self.bar is not None:
            self.bar.write(text, file=self.stream)
        elif not self.quiet:
            self.stream.write(f"{self._over(text)}\n" if self.redraws else f"{text}\n")
            self.stream.flush()

    def _over(self, text):
        """Return `text` such that it replaces the present line; without escape codes, spaces cover the rest of that line."""
        covered = text if self.clear else text.ljust(self.width)
        self.width = len(text)
        return f"\r{self.clear}{covered}"

    def _draw(self, now, note):
        rate = self.done / max(now - self.started, 1e-9)
        left = (self.total - self.done) / rate if rate else 0.0
        filled = int(20 * self.done / max(self.total, 1))
        line = (f"{self.label} [{'#' * filled}{'.' * (20 - filled)}] {self.done}/{self.total} "
                f"{rate:.3g} {self.unit}/s, {_duration(left)} left {note}")
        self.stream.write(self._over(line) if self.redraws else f"{line.rstrip()}\n")
        self.stream.flush()


def notebook_bar(total, label, unit):
    """Return tqdm's bar if this runs in a notebook and tqdm is installed, else None."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if type(shell).__name__ != "ZMQInteractiveShell":
        return None
    try:
        from tqdm.auto import tqdm
    except ImportError:
        return None
    return tqdm(total=total, desc=label, unit=f" {unit}")


def knows_escapes(stream):
    """Whether `stream` is a terminal that understands escape codes: not one called "dumb"; on Windows, only if it says so."""
    if not stream.isatty():
        return False
    if os.name == "nt":
        return bool({"WT_SESSION", "ANSICON", "TERM", "ConEmuANSI"} & set(os.environ))
    return os.environ.get("TERM", "") not in ("", "dumb")


def _duration(seconds):
    seconds = int(seconds)
    return f"{seconds // 60}:{seconds % 60:02d}" if seconds < 3600 else f"{seconds // 3600}h{seconds % 3600 // 60:02d}"

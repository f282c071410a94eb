"""The student project's protocol, host side: docs/protocol-student.md.

The host repeats 0xAB until it reads 0xCD (and the 0x00 after it); then each image goes as 12,288 bytes of float32 (little endian,
rows, columns, RGB) and comes back as ten bytes floor(255 p). There is no checksum: what the line does to bytes is not seen.
"""
from tinyvgg.errors import LinkError, LinkTimeout

SYNC, ACKNOWLEDGE = b"\xab", b"\xcd"
CLASSES = 10
PATIENCE = 15.0                  # seconds: the student project's board needed 6 for an image


class StudentSession:
    """One conversation by the student project's protocol over a link; image_bytes: of one image on the wire."""

    def __init__(self, link, *, baud=115200, image_bytes=12288):
        self.link, self.baud, self.image_bytes = link, baud, image_bytes
        self.repeats = 0
        self.noise = b""

    def synchronise(self, attempts=6, patience=0.25):
        """Repeat 0xAB until 0xCD 0x00 is read; return whether it was, and nothing more came."""
        for _ in range(attempts):
            self.link.write(SYNC)
            answer = self._read(2, patience)
            if answer == ACKNOWLEDGE + b"\0":
                extra = self.link.read(0.1)
                self.noise += extra
                return not extra
            self.noise += answer
        return False

    def infer(self, image):
        """Send an image's bytes and return the ten bytes of its scores; an image that gets no answer is sent once more."""
        for attempt in range(2):
            self.repeats += attempt
            self.link.write(image)
            answer = self._read(CLASSES, PATIENCE + 10.0 * len(image) / self.baud)
            if len(answer) == CLASSES:
                return answer
            self._realign()
        raise LinkTimeout(f"{self.link.url} did not answer an image in {PATIENCE:.0f} s", "press the board's reset button")

    def _read(self, count, patience):
        data, end = b"", self.link.now() + patience
        while len(data) < count and self.link.now() < end:
            data += self.link.read(end - self.link.now())
        return data

    def _realign(self):
        """Bytes were lost, so the board waits for the rest of an image: start anew, or fill the image up and drop its answer."""
        if self.synchronise(attempts=4, patience=0.4):
            return
        for _ in range(0, self.image_bytes, 256):
            self.link.write(bytes(256))
            if self._read(CLASSES, 0.01 + 2560 / self.baud):
                break
        else:
            if not self._read(CLASSES, PATIENCE):
                raise LinkError(f"{self.link.url} has stopped answering", "press the board's reset button")
        self._read(CLASSES, 0.2)
        if not self.synchronise(attempts=2):     # the student's firmware is in its loop for ever and does not answer this
            self.link.write(bytes(self.image_bytes - 2))
            self._read(CLASSES, PATIENCE + 10.0 * self.image_bytes / self.baud)

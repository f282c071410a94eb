"""The student project's protocol, host side: docs/protocol-student.md.

The host repeats 0xAB until it reads 0xCD (and the 0x00 after it); then each image is sent as 12,288 bytes of float32 (little
endian, rows, columns, RGB), and the answer is ten bytes floor(255 p). There is no checksum: changed bytes are not noticed.
"""
from tinyvgg.errors import LinkTimeout

SYNC, ACKNOWLEDGE = b"\xab", b"\xcd"
CLASSES = 10
PATIENCE = 15.0                  # seconds for the first image: the student project's board needed 6
MOST_LOST = 8                    # bytes of an image that are made up for one by one


class StudentSession:
    """One conversation by the student project's protocol over a link; image_bytes: size of one image on the wire."""

    def __init__(self, link, *, baud=115200, image_bytes=12288):
        self.link, self.baud, self.image_bytes = link, baud, image_bytes
        self.repeats, self._longest = 0, 0.0
        self.noise = b""

    def synchronise(self, attempts=6, patience=0.25):
        """Repeat 0xAB until 0xCD 0x00 is read; return whether it was read and nothing else came."""
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
            start = self.link.now()
            self.link.write(image)
            answer = self._read(CLASSES, self._patience() + 10.0 * len(image) / self.baud)
            if len(answer) == CLASSES:
                self._longest = max(self._longest, self.link.now() - start)
                return answer
            self._realign()
        raise LinkTimeout(f"{self.link.url} did not answer an image in {self._patience():.0f} s",
                          "press the board's reset button")

    def _patience(self):
        return 1.0 + 1.5 * self._longest if self._longest else PATIENCE

    def _read(self, count, patience):
        data, end = b"", self.link.now() + patience
        while len(data) < count and self.link.now() < end:
            data += self.link.read(end - self.link.now())
        return data

    def _realign(self):
        """Bytes were lost, so the board waits for the rest of an image: give it 0xAB, one at a time, with time to answer each.

        Ours has left the image after half a second of silence and answers the second one with 0xCD 0x00. The course's firmware,
        in its loop for ever, takes them for the image's last bytes and answers ten bytes when it has all; then nothing more is
        under way.
        """
        for _ in range(MOST_LOST):
            self.link.write(SYNC)
            answer = self._read(2, self._patience())
            if answer == ACKNOWLEDGE + b"\0" and not (answer := self._read(CLASSES - 2, 0.3)):
                return
            if answer:
                self._read(CLASSES, 0.3)
                return
        raise LinkTimeout(f"{self.link.url} has stopped answering, or more than {MOST_LOST} bytes of an image were lost",
                          "press the board's reset button")

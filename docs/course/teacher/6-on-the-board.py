# %% wire_seconds
def wire_seconds(count, baud):
    return 10 * count / baud


# %% cobs
def cobs(data):
    return b"".join(bytes([len(part) + 1]) + part for part in data.split(b"\0"))


# %% checksum
def checksum(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xEDB88320 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


# %% arena_bytes
def arena_bytes(sizes):
    return max(a + b for a, b in zip(sizes, sizes[1:], strict=False)) if len(sizes) > 1 else sizes[0]


# %% milliseconds
def milliseconds(cycles, clock_hz):
    return 1000 * cycles / clock_hz

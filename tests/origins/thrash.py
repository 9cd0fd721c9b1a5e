"""Reads one byte after the other from anywhere in a file, for so many seconds: where the file is larger than the memory
it may have, the machine waits for memory."""

import mmap
import random
import sys
import time

path, seconds = sys.argv[1], float(sys.argv[2])
until = time.monotonic() + seconds
with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as pages:
    while time.monotonic() < until:
        for _ in range(1000):
            pages[random.randrange(len(pages))]

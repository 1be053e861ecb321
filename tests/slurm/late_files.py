"""A shared file system as clusters have them: every call is slow, and a file that one node makes, others see late.

    python late_files.py FOLDER MOUNTPOINT SECONDS

shows FOLDER at MOUNTPOINT. A process belongs to the node of its Slurm job, or to the login node; a file that another
node has made less than so many seconds ago is not there for it. It runs until it is unmounted.
"""

import contextlib
import errno
import os
import sys
import time
from pathlib import Path

import mfusepy as fuse

SLOW = 0.002  # seconds a call


class LateFiles(fuse.Operations):
    """A folder, seen through such a file system."""

    use_ns = True

    def __init__(self, folder: str, seconds: float):
        self.folder, self.seconds = folder, seconds
        self.made: dict[str, tuple[float, str]] = {}  # path -> when, and on which node
        self.late = 0  # how often something was not there yet

    def _real(self, path: str) -> str:
        return self.folder + path

    @staticmethod
    def _node() -> str:
        pid = fuse.fuse_get_context()[2]
        with contextlib.suppress(OSError):
            for entry in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0"):
                if entry.startswith(b"SLURM_JOB_ID="):
                    return entry.decode()
        return "login"

    def _make(self, path: str) -> None:
        self.made[path] = (time.monotonic(), self._node())

    def _hidden(self, path: str) -> bool:
        when, node = self.made.get(path, (0.0, ""))
        return time.monotonic() - when < self.seconds and node != self._node()

    def _look(self, path: str) -> str:
        """Return where a file really is, if it is to be seen."""
        time.sleep(SLOW)
        if self._hidden(path):
            self.late += 1
            raise fuse.FuseOSError(errno.ENOENT)
        return self._real(path)

    def getattr(self, path, fh=None):
        found = os.lstat(self._look(path))
        names = ("st_atime_ns", "st_ctime_ns", "st_gid", "st_mode", "st_mtime_ns", "st_nlink", "st_size", "st_uid")
        return {name.removesuffix("_ns"): getattr(found, name) for name in names}

    def readdir(self, path, fh):
        names = os.listdir(self._look(path))
        return [".", "..", *(name for name in names if not self._hidden(os.path.join(path, name)))]

    def access(self, path, amode):
        if not os.access(self._look(path), amode):
            raise fuse.FuseOSError(errno.EACCES)
        return 0

    def open(self, path, flags):
        return os.open(self._look(path), flags)

    def create(self, path, mode, fi=None):
        handle = os.open(self._real(path), os.O_RDWR | os.O_CREAT | os.O_TRUNC, mode)
        self._make(path)
        return handle

    def read(self, path, size, offset, fh):
        return os.pread(fh, size, offset)

    def write(self, path, data, offset, fh):
        return os.pwrite(fh, data, offset)

    def truncate(self, path, length, fh=None):
        os.truncate(self._look(path), length)
        return 0

    def rename(self, old, new):
        os.replace(self._look(old), self._real(new))
        self._make(new)
        return 0

    def unlink(self, path):
        os.unlink(self._look(path))
        return 0

    def mkdir(self, path, mode):
        os.mkdir(self._real(path), mode)
        return 0

    def rmdir(self, path):
        os.rmdir(self._real(path))
        return 0

    def symlink(self, target, source):
        os.symlink(source, self._real(target))
        return 0

    def readlink(self, path):
        return os.readlink(self._look(path))

    def chmod(self, path, mode):
        os.chmod(self._look(path), mode)
        return 0

    def chown(self, path, uid, gid):
        os.chown(self._look(path), uid, gid)
        return 0

    def utimens(self, path, times=None):
        os.utime(self._look(path), ns=times)
        return 0

    def flush(self, path, fh):
        return 0

    def fsync(self, path, datasync, fh):
        os.fsync(fh)
        return 0

    def release(self, path, fh):
        os.close(fh)
        return 0

    def destroy(self, path):
        print(f"{self.late} times something was not there yet", flush=True)


if __name__ == "__main__":
    _, folder, mountpoint, seconds = sys.argv
    nothing_kept = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0}
    fuse.FUSE(LateFiles(folder, float(seconds)), mountpoint, foreground=True, allow_other=True, **nothing_kept)

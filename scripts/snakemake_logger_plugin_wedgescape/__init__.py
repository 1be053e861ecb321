"""What a run of this workflow says: `PYTHONPATH=scripts snakemake --logger wedgescape`, as `make` calls it.

Snakemake finds a logger by the name of its package, so it needs no installation.
"""

import sys

from snakemake_interface_logger_plugins.base import LogHandlerBase

from wedgescape.cluster.telling import Bars, Lines


class LogHandler(LogHandlerBase):
    """Bars where people look on, and a line for each finished job elsewhere."""

    def __post_init__(self) -> None:
        """Choose how to tell, by where it goes."""
        stream = sys.stdout if self.common_settings.stdout else sys.stderr
        self.teller = Bars(self.common_settings) if stream.isatty() else Lines(stream)

    def emit(self, record) -> None:
        """Tell of what happened."""
        try:
            self.teller.tell(record)
        except Exception:  # a fault in telling must not stop a run
            self.handleError(record)

    def close(self) -> None:
        """Take the bars away."""
        self.teller.close()
        super().close()

    @property
    def writes_to_stream(self) -> bool:
        """Yes, so that Snakemake itself does not."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """No: Snakemake keeps its own log, with all reasons, in .snakemake/log."""
        return False

    @property
    def has_filter(self) -> bool:
        """Yes: it sees every record."""
        return True

    @property
    def has_formatter(self) -> bool:
        """Yes: it writes its own words."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """No."""
        return False

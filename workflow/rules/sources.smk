# Where the workflow's own files are: in this clone, or in Snakemake's cache of a hosted repository. It comes first, since
# nothing of the library can be imported before.

import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError
from snakemake.sourcecache import HostingProviderFile, LocalSourceFile

HERE = workflow.current_basedir


def on_disk(path):
    """Where a file of this repository is, by its path in there. Snakemake's cache fetches a hosted one when asked."""
    file = HERE.join(f"../../{path}")
    return Path(
        file.path if HERE.is_local else workflow.sourcecache.get_path(file)
    ).resolve()


COMMIT = None  # of a hosted repository; of a clone, git is asked
if isinstance(HERE, HostingProviderFile):
    commit = HERE.hosted_repo.repo.commit(HERE.ref)
    COMMIT = commit.hexsha
    for folder in ("scripts/wedgescape", "workflow/report"):
        for item in commit.tree[folder].traverse():
            if item.type == "blob":
                on_disk(item.path)
elif not isinstance(HERE, LocalSourceFile):
    raise WorkflowError(
        f"Wedgescape cannot be read from {HERE}. Import it from a clone or a git submodule, by the path of its "
        'workflow/Snakefile, or from where it is hosted: github("owner/name", path="workflow/Snakefile", tag="…")'
    )
sys.path.insert(0, str(on_disk("scripts/wedgescape/__init__.py").parents[1]))

"""Of several processes that failed, the one that is told is that which the others failed for."""

import json
from pathlib import Path

import pytest
from torch.distributed.elastic.multiprocessing.errors import ProcessFailure

from confidnet_core.system.processes import first_failure

GO_ON = "run the same command again, it goes on"
MEMORY = f"was killed by SIGKILL, perhaps for want of memory; {GO_ON}"
LOST = {"message": "predict: another of its 4 processes has ended", "is_lost_connection": True}
OWN = {"message": "predict: the file is cut", "is_lost_connection": False}


def failure(folder: Path, rank: int, exit_code: int, error: dict | None = None) -> ProcessFailure:
    """As the launcher sees a process; error: what it has written, see `report_failure`."""
    file = folder / f"{rank}.json"
    if error is not None:
        file.write_text(json.dumps({**error, "timestamp": 1, "is_named": True}))
    return ProcessFailure(local_rank=rank, pid=100 + rank, exitcode=exit_code, error_file=str(file))


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ({2: (-9, None)}, (1, f"predict: process 3 of 4 (pid 102) {MEMORY}")),
        (
            {0: (1, LOST), 1: (-15, None), 3: (-9, None)},
            (1, f"predict: process 4 of 4 (pid 103) {MEMORY}"),
        ),
        ({1: (-11, None), 2: (1, LOST)}, (1, f"predict: process 2 of 4 (pid 101) was killed by SIGSEGV; {GO_ON}")),
        ({0: (1, LOST), 3: (1, OWN)}, (1, OWN["message"])),
        ({0: (1, OWN), 1: (1, OWN)}, (1, OWN["message"])),
        ({1: (1, LOST), 2: (-15, None)}, (1, LOST["message"])),
        ({0: (-15, None), 2: (3, None)}, (3, "")),  # a traceback, which stands on the screen
        ({0: (-15, None)}, (1, "")),
    ],
)
def test_a_killed_process_comes_before_a_named_error_and_this_before_a_lost_connection(
    tmp_path: Path, ended: dict[int, tuple[int, dict | None]], expected: tuple[int, str]
):
    failures = {rank: failure(tmp_path, rank, *how) for rank, how in ended.items()}
    assert first_failure(failures, 4, "predict") == expected

"""What this controller's environment wants of a changed mapper, read once at its start."""

from services.controller.settings import ControllerSettings
from trimtab.contracts.errors import InvalidCommand
from trimtab.control.gates import Limit
from trimtab.control.quality import QUALITY_FILE, parse_thresholds


def read_quality(settings: ControllerSettings) -> tuple[Limit, ...]:
    """Return what this environment wants of a mapper's quality.

    Without the file among the policies nothing beyond a report that passed where it was measured.

    Raises:
        InvalidCommand: the file cannot be read or is no such file; names file and key.
    """
    file = settings.quality or settings.policies / QUALITY_FILE
    if settings.quality is None and not file.exists():
        return ()
    try:
        document = file.read_bytes()
    except OSError as error:
        problem = f"{file.name} cannot be read ({type(error).__name__})"
        raise InvalidCommand(f"{problem}; set CONTROLLER_QUALITY to the file") from None
    rows = parse_thresholds(document, file.name)
    return rows[settings.environment].limits(settings.profile)

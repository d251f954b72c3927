"""The picture that a mail about an incident has."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from homeostat.adapters.notifiers.mail import Drawn
from homeostat.domain.clock import Clock
from homeostat.domain.effect import Notify, NotifyAction
from homeostat.domain.model import ModelSpec
from homeostat.engine.mishaps import located
from homeostat.engine.ports import Records
from homeostat.entrypoints.story import Stories
from homeostat.reports.raster import caption, picture

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pictures:
    """Draws the scores of the worst column of an incident, or says that there are none.

    Parameters
    ----------
    records : Records
    specs : mapping of model name to ModelSpec
    clock : Clock
    """

    records: Records
    specs: Mapping[str, ModelSpec]
    clock: Clock

    def of(self, notice: Notify) -> Drawn | None:
        """Return the picture; None if there is none: nothing of it keeps a mail back."""
        if notice.action is NotifyAction.ACKNOWLEDGE:
            return None
        try:
            return self._drawn(notice)
        except Exception as error:  # noqa: BLE001 - whatever the figures are, the mail has to go
            logger.warning(
                "the mail about %s goes without its chart: %s", notice.incident, located(error)
            )
            return None

    def _drawn(self, notice: Notify) -> Drawn | None:
        story = Stories(self.records, self.specs, self.clock).of(notice.incident)
        if not story.curves:
            return None
        curve = story.curves[0]
        return Drawn(picture(curve, story.span, story.frame), caption(curve, story.frame))

"""All kinds of conditions."""

from __future__ import annotations

from homeostat.alerting.conditions.band import Band
from homeostat.alerting.conditions.burn import Burn
from homeostat.alerting.conditions.missing import Missing
from homeostat.alerting.conditions.relative import Relative
from homeostat.alerting.conditions.static import Static
from homeostat.alerting.conditions.verdicts import Verdicts

OnSeries = Static | Relative | Burn | Band | Missing
Condition = Verdicts | OnSeries

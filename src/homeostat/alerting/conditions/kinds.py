"""All kinds of conditions, and of states that are kept of them."""

from __future__ import annotations

from homeostat.alerting.conditions.burn import Burn, BurnState
from homeostat.alerting.conditions.missing import Missing, MissingState
from homeostat.alerting.conditions.relative import Relative, RelativeState
from homeostat.alerting.conditions.static import Static, StaticState
from homeostat.alerting.conditions.verdicts import Verdicts

OnSeries = Static | Relative | Burn | Missing
Condition = Verdicts | OnSeries
State = StaticState | RelativeState | BurnState | MissingState

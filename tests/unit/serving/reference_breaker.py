"""The breaker told a second time, from its description: lists of everything that ever happened."""

from __future__ import annotations

from dataclasses import dataclass, field

from homeostat.serving.breaker import BreakerConfig


@dataclass(frozen=True)
class Ended:
    """A call that told something."""

    at: float
    fault: bool
    slow: bool


@dataclass
class Era:
    """The time from one change of mode to the next; its identity takes the generation's place."""

    mode: str
    since: float
    why: str = ""
    ended: list[Ended] = field(default_factory=list)
    row: list[float] = field(default_factory=list)
    under_way: dict[int, float] = field(default_factory=dict)
    overdue: set[int] = field(default_factory=set)
    good: int = 0


@dataclass(frozen=True)
class Ticket:
    era: int
    number: int


@dataclass
class Reference:
    config: BreakerConfig
    eras: list[Era] = field(default_factory=lambda: [Era("closed", 0.0)])
    tickets: int = 0
    last_probe: float | None = None

    @property
    def era(self) -> Era:
        return self.eras[-1]

    @property
    def mode(self) -> str:
        return self.era.mode

    def turn(self, mode: str, now: float, why: str = "") -> None:
        self.eras.append(Era(mode, now, why))

    def pass_time(self, now: float) -> None:
        era = self.era
        if era.mode == "half_open":
            late = [began + self.config.lease for began in era.under_way.values()]
            late = sorted(end for end in late if end <= now)
            if late:
                self.turn("open", late[0], "hung")
        elif era.mode == "closed":
            news = {
                ticket
                for ticket, began in era.under_way.items()
                if now - began > self.config.slow and ticket not in era.overdue
            }
            era.overdue |= news
            if news and self.too_slow(now):
                self.turn("open", now, "slow")

    def ask(self, now: float) -> Ticket | None:
        self.pass_time(now)
        if self.mode == "open" and now >= self.era.since + self.config.cooldown:
            self.turn("half_open", now)
        if self.mode in {"open", "forced_open"}:
            return None
        if self.mode == "half_open":
            under_way = len(self.era.under_way)
            early = self.last_probe is not None and now < self.last_probe + self.config.interval
            if (
                early
                or under_way >= self.config.probes
                or under_way + self.era.good >= self.config.successes
            ):
                return None
            self.last_probe = now
        self.tickets += 1
        if self.mode != "disabled":
            self.era.under_way[self.tickets] = now
        return Ticket(len(self.eras), self.tickets)

    def tell(self, ticket: Ticket, outcome: str, now: float) -> None:
        self.pass_time(now)
        era = self.era
        if ticket.era != len(self.eras) or ticket.number not in era.under_way:
            return
        took = now - era.under_way.pop(ticket.number)
        era.overdue.discard(ticket.number)
        slow = took > self.config.slow and outcome != "client_error"
        fault = outcome == "fault"
        if era.mode == "half_open":
            self.hear_probe(outcome, now, failed=fault or slow)
        else:
            self.hear(outcome, now, fault=fault, slow=slow)

    def hear_probe(self, outcome: str, now: float, *, failed: bool) -> None:
        if failed:
            self.turn("open", now, "probe")
        elif outcome == "success":
            self.era.good += 1
            if self.era.good >= self.config.successes:
                self.turn("closed", now)

    def hear(self, outcome: str, now: float, *, fault: bool, slow: bool) -> None:
        era = self.era
        if outcome == "success":
            era.row = []
        if fault:
            era.row.append(now)
        if fault or slow or outcome == "success":
            era.ended.append(Ended(now, fault, slow))
        if fault and self.too_faulty(now):
            self.turn("open", now, "faults")
        elif fault and self.row_too_long(now):
            self.turn("open", now, "run")
        elif slow and self.too_slow(now):
            self.turn("open", now, "slow")

    def remembered(self, now: float) -> list[Ended]:
        if self.config.last:
            return self.era.ended[-self.config.last :]
        step = self.config.window / 20
        return [call for call in self.era.ended if now // step - call.at // step < 20]

    def enough(self, bad: int, calls: int, share: float) -> bool:
        reached = bad >= self.config.faults and calls >= self.config.minimum
        return reached and bad / max(calls, 1) >= share

    def too_faulty(self, now: float) -> bool:
        calls = self.remembered(now)
        return self.enough(sum(call.fault for call in calls), len(calls), self.config.share)

    def row_too_long(self, now: float) -> bool:
        length = self.config.run
        return (
            length > 0
            and len(self.era.row) >= length
            and now - self.era.row[-length] < self.config.window
        )

    def too_slow(self, now: float) -> bool:
        calls, hanging = self.remembered(now), len(self.era.overdue)
        slow = sum(call.slow for call in calls) + hanging
        return self.enough(slow, len(calls) + hanging, self.config.slow_share)

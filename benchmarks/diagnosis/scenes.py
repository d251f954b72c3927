"""Three models with their worlds: what rows look like, what comes true, what the model says.

Columns are NumPy arrays by name; texts are object arrays with None for missing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from lightgbm import LGBMClassifier, LGBMRegressor
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from homeostat.domain.predictions import PredictionSpec

Array = NDArray[np.generic]
Columns = dict[str, Array]
Rng = np.random.Generator


def choice(rng: Rng, n: int, shares: Mapping[str, float]) -> Array:
    weights = np.array(list(shares.values()))
    return rng.choice(np.array(list(shares), dtype=object), n, p=weights / weights.sum())


@dataclass
class World:
    """Rows, the chance of each outcome by concept, and a model fitted to the usual concept."""

    name: str
    spec: PredictionSpec
    draw: Callable[[int, Rng], Columns]
    truth: Callable[[Columns, float], NDArray[np.float64]]
    tilt: Callable[[Columns], NDArray[np.float64]]
    learner: str = "boosted"
    model: object = None
    codes: dict[str, dict[str, int]] = field(default_factory=dict)

    def label(self, rows: Columns, rng: Rng, concept: float = 0.0) -> Array:
        truth = self.truth(rows, concept)
        if self.spec.task == "regression":
            return truth + rng.normal(0.0, 1.0, truth.shape[0]) * self.noise(rows)
        chances = np.column_stack((1.0 - truth, truth)) if truth.ndim == 1 else truth
        drawn = (chances.cumsum(axis=1) < rng.random((len(chances), 1))).sum(axis=1)
        return np.minimum(drawn, chances.shape[1] - 1).astype(np.float64)

    @staticmethod
    def noise(rows: Columns) -> NDArray[np.float64]:
        return 20.0 + 0.2 * np.abs(rows["area"].astype(float))

    def matrix(self, rows: Columns) -> NDArray[np.float64]:
        parts = []
        for name, values in rows.items():
            if values.dtype == object:
                known = self.codes.setdefault(name, {})
                codes = [
                    np.nan if v is None else known.setdefault(str(v), len(known)) for v in values
                ]
                parts.append(np.array(codes, dtype=float))
            else:
                parts.append(values.astype(float))
        return np.column_stack(parts)

    def fit(self, rng: Rng, n: int = 15_000) -> World:
        rows = self.draw(n, rng)
        x, y = self.matrix(rows), self.label(rows, rng)
        if self.learner == "linear":
            x = np.nan_to_num(x)
            self.model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=500)).fit(x, y)
        elif self.spec.task == "regression":
            self.model = LGBMRegressor(
                n_estimators=150, num_leaves=15, verbose=-1, n_jobs=1, learning_rate=0.08
            ).fit(x, y)
        else:
            self.model = LGBMClassifier(
                n_estimators=80, num_leaves=8, verbose=-1, n_jobs=1, learning_rate=0.08
            ).fit(x, y)
        self.codes = {k: dict(v) for k, v in self.codes.items()}
        return self

    def score(self, rows: Columns) -> Columns:
        saved = {k: dict(v) for k, v in self.codes.items()}
        x = self.matrix(rows)
        for name, known in saved.items():  # what was never seen is missing to the model
            place = list(rows).index(name)
            x[:, place] = np.where(x[:, place] < len(known), x[:, place], np.nan)
        self.codes = saved
        if self.learner == "linear":
            x = np.nan_to_num(x)
        if self.spec.task == "regression":
            return {"score": self.model.predict(x)}
        chances = self.model.predict_proba(x)
        if self.spec.task == "binary":
            return {"score": chances[:, 1]}
        return {f"p{k}": chances[:, k] for k in range(chances.shape[1])}

    def table(self, rows: Columns, labels: Array) -> Columns:
        """Score rows as they arrive, broken or not, and add labels."""
        return {**rows, **self.score(rows), "label": labels}


def expit(x: NDArray[np.float64]) -> NDArray[np.float64]:
    return 1.0 / (1.0 + np.exp(-x))


def cards() -> World:
    def draw(n: int, rng: Rng) -> Columns:
        amount = rng.lognormal(3.5, 1.1, n)
        hour = rng.choice(
            24, n, p=(w := 1.2 + np.sin((np.arange(24) - 8) / 24 * 2 * np.pi)) / w.sum()
        )
        age = np.clip(rng.normal(42, 14, n), 18, 95).round()
        count = rng.poisson(rng.gamma(2.0, 1.5, n)).astype(float)
        country = choice(rng, n, {"DE": 45, "FR": 25, "PL": 14, "US": 10, "NG": 6})
        device = choice(rng, n, {"web": 50, "app": 40, "pos": 10})
        score = np.where(rng.random(n) < 0.04, np.nan, rng.beta(5, 2, n) * 850)
        noise = {f"v{k}": rng.normal(0, 1 + k, n) for k in range(3)}
        return dict(
            amount=amount,
            hour=hour,
            age=age,
            velocity=count,
            country=country,
            device=device,
            credit=score,
            merchant=choice(rng, n, {f"m{k:02d}": 1 / (k + 1) for k in range(15)}),
            **noise,
        )

    def truth(rows: Columns, concept: float) -> NDArray[np.float64]:
        amount = np.log(np.maximum(rows["amount"].astype(float), 1e-3)) - 3.5
        odds = -4.1 + 0.7 * amount + 0.28 * rows["velocity"].astype(float)
        odds += np.select([rows["country"] == "NG", rows["country"] == "US"], [1.6, 0.5], 0.0)
        odds += 0.8 * (rows["device"] == "web") + 0.9 * (rows["hour"].astype(float) < 6)
        odds -= np.nan_to_num(rows["credit"].astype(float) - 600) / 250
        # A new scam: small amounts by app; the old pattern fades.
        odds += concept * (2.0 * (rows["device"] == "app") - 0.7 * amount)
        return expit(odds)

    def tilt(rows: Columns) -> NDArray[np.float64]:
        return 0.8 * (np.log(rows["amount"]) - 3.5) / 1.1 + 1.0 * (rows["country"] == "NG")

    return World("cards", PredictionSpec("binary", classes=("0", "1")), draw, truth, tilt)


def homes() -> World:
    def draw(n: int, rng: Rng) -> Columns:
        area = rng.gamma(6.0, 18.0, n) + 20
        rooms = np.clip((area / 28 + rng.normal(0, 0.7, n)).round(), 1, 12)
        year = rng.choice(np.arange(1900, 2021), n).astype(float)
        distance = rng.exponential(8.0, n)
        quality = rng.integers(1, 6, n).astype(float)
        city = choice(rng, n, {"Aalen": 40, "Bern": 30, "Celle": 20, "Delft": 10})
        heating = choice(rng, n, {"gas": 5, "oil": 3, "heat pump": 2})
        garden = np.where(rng.random(n) < 0.3, np.nan, rng.lognormal(5.0, 0.7, n))
        return dict(  # noqa: C408 - names read better than strings
            area=area,
            rooms=rooms,
            year=year,
            distance=distance,
            quality=quality,
            city=city,
            heating=heating,
            garden=garden,
            floor=rng.poisson(2.0, n).astype(float),
        )

    def truth(rows: Columns, concept: float) -> NDArray[np.float64]:
        area, distance = rows["area"].astype(float), rows["distance"].astype(float)
        base = 20 + 1.5 * area * (1 + 0.5 * (rows["city"] == "Aalen")) - 1.5 * distance
        base += 8 * rows["quality"].astype(float) + 0.2 * (rows["year"].astype(float) - 1960)
        base += 0.02 * np.nan_to_num(rows["garden"].astype(float))
        # Far homes lose value; heat pumps gain it.
        base += concept * (-2.0 * (distance - 8.0) + 25.0 * (rows["heating"] == "heat pump"))
        return base

    def tilt(rows: Columns) -> NDArray[np.float64]:
        return (rows["area"] - 128) / 44 + 0.5 * (rows["city"] == "Aalen")

    return World("homes", PredictionSpec("regression"), draw, truth, tilt)


def tickets() -> World:
    def draw(n: int, rng: Rng) -> Columns:
        z = rng.normal(0, 1, (n, 4))
        length = np.exp(4.5 + 0.8 * z[:, 0]).round() + 5
        wait = np.abs(20 + 12 * z[:, 1] + 4 * z[:, 0])
        mood = np.clip(0.5 * z[:, 2] - 0.3 * z[:, 1], -3, 3)
        channel = choice(rng, n, {"mail": 50, "phone": 30, "chat": 20})
        plan = choice(rng, n, {"free": 60, "pro": 30, "business": 10})
        return dict(  # noqa: C408 - names read better than strings
            length=length,
            wait=wait,
            mood=mood,
            channel=channel,
            plan=plan,
            age_days=rng.exponential(300, n).round(),
            orders=rng.poisson(3, n).astype(float),
            language=choice(rng, n, {"en": 70, "de": 20, "es": 10}),
            skill=z[:, 3] * 10 + 50,
        )

    def truth(rows: Columns, concept: float) -> NDArray[np.float64]:
        length = np.log(np.maximum(rows["length"].astype(float), 1.0)) - 4.5
        wait, mood = rows["wait"].astype(float) / 12 - 1.7, rows["mood"].astype(float)
        odds = np.column_stack(
            (
                np.zeros(length.size) + 1.0,
                0.9 * wait + 0.7 * (rows["channel"] == "phone") + concept * 1.2 * mood,
                1.2 * length - 0.5 * mood + 0.8 * (rows["plan"] == "business") - 0.3,
                -1.1 * mood
                + 0.6 * wait * (rows["plan"] != "free")
                - 0.7
                + concept * 1.3 * (rows["channel"] == "mail"),
            )
        )
        odds = np.exp(1.3 * (odds - odds.max(axis=1, keepdims=True)))
        return odds / odds.sum(axis=1, keepdims=True)

    def tilt(rows: Columns) -> NDArray[np.float64]:
        return (rows["wait"] - 20) / 12 + 0.7 * (rows["channel"] == "chat")

    spec = PredictionSpec(
        "multiclass", score={str(k): f"p{k}" for k in range(4)}, classes=("0", "1", "2", "3")
    )
    return World("tickets", spec, draw, truth, tilt)


WORLDS = {"cards": cards, "homes": homes, "tickets": tickets}

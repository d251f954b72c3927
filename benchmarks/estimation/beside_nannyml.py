"""Estimates beside NannyML's CBPE and DLE on the data sets of its package that have targets.

Run once in each environment, then compare (FOLDER takes a few files)::

    .venv-peers/bin/python benchmarks/estimation/beside_nannyml.py peer FOLDER
    .venv/bin/python benchmarks/estimation/beside_nannyml.py ours FOLDER

The first (see ``make peers``) stores its data, chunks, realized metrics and estimates; the second
estimates on the same chunks without labels and prints the table.
"""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

CLASSES = ("prepaid_card", "highstreet_card", "upmarket_card")
SCORES = {name: f"y_pred_proba_{name}" for name in CLASSES}
OFFICE = "distance_from_office salary_range gas_price_per_litre public_transportation_cost"
LOAN = "car_value salary_range debt_to_income_ratio loan_length repaid_loan_on_prev_car"
CARDS = "acq_channel app_behavioral_score requested_credit_limit app_channel"
SETS: dict[str, tuple[str, str, str, str | dict[str, str], str, str]] = {
    "binary": (
        "load_synthetic_binary_classification_dataset",
        "binary",
        "work_home_actual",
        "y_pred_proba",
        "y_pred",
        f"{OFFICE} wfh_prev_workday workday tenure",
    ),
    "car_loan": (
        "load_synthetic_car_loan_dataset",
        "binary",
        "repaid",
        "y_pred_proba",
        "y_pred",
        f"{LOAN} size_of_downpayment driver_tenure",
    ),
    "car_loan_dq": (
        "load_synthetic_car_loan_data_quality_dataset",
        "binary",
        "repaid",
        "y_pred_proba",
        "y_pred",
        f"{LOAN} size_of_downpayment driver_tenure",
    ),
    "census": (
        "load_us_census_ma_employment_data",
        "binary",
        "employed",
        "predicted_probability",
        "prediction",
        "AGEP SCHL MAR RELP DIS ESP CIT MIG MIL ANC NATIVITY DEAR DEYE DREM SEX RAC1P",
    ),
    "california": (
        "load_modified_california_housing_dataset",
        "binary",
        "clf_target",
        "y_pred_proba",
        "y_pred",
        "MedInc HouseAge AveRooms AveBedrms Population AveOccup Latitude Longitude",
    ),
    "multiclass": (
        "load_synthetic_multiclass_classification_dataset",
        "multiclass",
        "y_true",
        SCORES,
        "y_pred",
        f"{CARDS} credit_bureau_score stated_income is_customer",
    ),
    "car_price": (
        "load_synthetic_car_price_dataset",
        "regression",
        "y_true",
        "y_pred",
        "y_pred",
        "car_age km_driven price_new accident_count door_count fuel transmission",
    ),
}
CHUNKS: dict[str, dict[str, int]] = {"default": {}, "1000": {"chunk_size": 1000}}
OF_CLASSES = [
    "roc_auc",
    "average_precision",
    "f1",
    "precision",
    "recall",
    "specificity",
    "accuracy",
]
OF_NUMBERS = ["mae", "mape", "mse", "rmse"]


def peer(folder: Path) -> None:
    """Store what NannyML estimates and what was realized."""
    os.environ |= {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}  # read on import
    import nannyml  # noqa: PLC0415 - each environment has one of the two

    for name, (loader, task, label, score, predicted, features) in SETS.items():
        reference, analysis, targets = getattr(nannyml.datasets, loader)()
        whole = analysis.merge(targets, on="id")
        reference.to_parquet(folder / f"{name}_reference.parquet")
        whole.to_parquet(folder / f"{name}_current.parquet")
        metrics = OF_NUMBERS if task == "regression" else OF_CLASSES
        for chunks, cut in CHUNKS.items():
            common = {"y_pred": predicted, "y_true": label, "metrics": metrics, **cut}
            if task == "regression":
                kind = {"problem_type": "regression"}
                columns = features.split()
                estimator = nannyml.DLE(
                    feature_column_names=columns, tune_hyperparameters=False, **common
                )
            else:
                kind = {"problem_type": f"classification_{task}", "y_pred_proba": score}
                estimator = nannyml.CBPE(**kind, **common)
            begun = time.process_time()
            estimator.fit(reference)
            estimated = estimator.estimate(analysis)
            spent = time.process_time() - begun
            calculator = nannyml.PerformanceCalculator(**kind, **common)
            calculator.fit(reference)
            realized = calculator.calculate(whole).filter(period="analysis").to_df()
            estimates = estimated.filter(period="analysis").to_df()
            found = {
                metric: {
                    "estimated": estimates[(metric, "value")].tolist(),
                    "realized": realized[(metric, "value")].tolist(),
                }
                for metric in metrics
            }
            stored = {"cpu": spent, "metrics": found}
            (folder / f"{name}_{chunks}.json").write_text(json.dumps(stored))


def ours(folder: Path) -> None:
    """Print errors and coverage beside the peer's."""
    import pyarrow.parquet as pq  # noqa: PLC0415 - each environment has one of the two

    import homeostat as hs  # noqa: PLC0415 - each environment has one of the two

    print("set chunks metric | told of all | error: ours, peer, ratio (told) | ", end="")
    print("error: ours, peer, ratio (all, withheld too) | coverage | seconds: ours, peer, times")
    for name, (_, task, label, score, predicted, features) in SETS.items():
        shown = "" if task == "regression" else predicted
        columns = tuple(features.split())
        spec = hs.PredictionSpec(task, label, score, shown, features=columns)
        reference = pq.read_table(folder / f"{name}_reference.parquet")
        current = pq.read_table(folder / f"{name}_current.parquet")
        rows = current.drop_columns([label])
        for chunks in CHUNKS:
            stored = json.loads((folder / f"{name}_{chunks}.json").read_text())
            window = rows.num_rows // 10 if chunks == "default" else 1000
            names = [metric.removeprefix("roc_") for metric in stored["metrics"]]
            begun = time.process_time()
            found = hs.estimate(reference, rows, spec, window=window, metrics=names)
            spent = time.process_time() - begun
            speed = f"{spent:.2f} {stored['cpu']:.2f} {stored['cpu'] / spent:.1f}"
            for metric, peers in stored["metrics"].items():
                line = _line([w[metric.removeprefix("roc_")] for w in found.windows], peers)
                print(f"{name:12} {chunks:8} {metric:18} {line} | {speed}")


def _line(estimates: list, peers: dict[str, list[float]]) -> str:
    realized = np.array(peers["realized"], dtype=float)
    theirs = np.abs(np.array(peers["estimated"], dtype=float) - realized)
    value = np.array([each.value for each in estimates])
    withheld = np.array([each.cross_checks.get("withheld", each.value) for each in estimates])
    told = ~np.isnan(value - realized)
    every = ~np.isnan(withheld - realized)
    inside = [e.lower <= r <= e.upper for e, r in zip(estimates, realized, strict=True)]
    parts = [f"{told.sum():3} of {told.size:3}"]
    for mask, values in ((told, value), (every, withheld)):
        own, other = (
            float(e[mask].mean()) if mask.any() else np.nan
            for e in (np.abs(values - realized), theirs)
        )
        parts.append(f"{own:10.4f} {other:10.4f} {own / other:5.2f}")
    parts.append(f"{float(np.mean(np.array(inside)[told])):.3f}" if told.any() else "  -  ")
    return " | ".join(parts)


if __name__ == "__main__":
    {"peer": peer, "ours": ours}[sys.argv[1]](Path(sys.argv[2]))

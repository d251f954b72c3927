# False alarms in every world, then power in the i.i.d. world; one line of JSON a rule and setting.
# Usage: prove.sh PYTHON FOLDER
set -eu
run() {
	env OMP_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 PYTHONPATH=src "$python" benchmarks/false_alarms "$@"
}
python=$1 folder=$2
peers=evidently,nannyml,psi-0.2,ks-0.05,bonferroni
for rows in 200 1000 10000; do
	for world in iid weekly batch heavy rare missing; do
		run --world "$world" --n "$rows" --repetitions 200 --peer-repetitions 10 \
			--rules "homeostat,$peers" --out "$folder/false-alarms.jsonl"
	done
done
tuned=evidently-tuned,nannyml-tuned,psi-0.2-tuned,bonferroni-tuned
for shift in mean-0.25 mean-0.1 slow-0.5 share-0.06 missing-0.05 correlation-0.5; do
	run --world iid --n 1000 --shift "$shift" --repetitions 200 --peer-repetitions 20 \
		--rules "homeostat,evidently,nannyml,$tuned" --out "$folder/power.jsonl"
done

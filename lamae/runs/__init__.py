"""The folder of a run: attempts, checkpoints, checksums, logs.

board.py        event files of TensorBoard
checksums.py    the checksums of a folder's files
cores.py        name of the machine, and cores to use
run_folder.py   attempts and checkpoints of a run
shard_index.py  which file has which rows of a tensor
tracking.py     summary.json, metrics.jsonl, TensorBoard, wandb, MLflow
"""

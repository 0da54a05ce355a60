"""A callback of your own: a table of the regret while the jobs run, which is written whatever becomes of them.

Run it: python own_callback.py
"""

import csv
from pathlib import Path

import vbandits

FILE = Path("regret.csv")


class Table:
    """Appends a line to a file at every hundredth decision of each job."""

    def on_step(self, event):
        """Is told copies of what happened in a step, one number for each seed."""
        if event.step % 100 == 0:
            with FILE.open("a", newline="") as file:
                csv.writer(file).writerow([event.job.label, event.step, event.means()["cumulative_regret"]])

    def on_job_end(self, event):
        """Says what became of a job."""
        print(f"{event.job.label}: {event.marker['status']}")


if __name__ == "__main__":
    vbandits.run(
        environments=["vbandits/Wheel-v0"],
        agents=["linear-ts"],
        seeds=4,
        steps=300,
        workers=1,
        callbacks=[Table],
    )
    print(FILE.read_text())

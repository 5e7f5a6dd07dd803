"""Memory of a long command while it runs: python bench/memory.py [--every SECONDS] [--out FILE] -- COMMAND

Starts the command, reads the resident memory of it and its children every few seconds, and keeps the highest of each
minute in a JSON file that is written anew each minute. The slope is that of a straight line through the second half, MiB an
hour: in the first, libraries load, and each kind of work takes its room for the first time. Page explain/speed draws the file."""
import argparse, json, shlex, signal, subprocess, sys, time
from pathlib import Path
import numpy as np, psutil
from sadag_nb.core import versions, write_text


def resident_mib(process):
    "Of a process and its children, now"
    total = 0
    for p in [process, *process.children(recursive=True)]:
        try: total += p.memory_info().rss
        except psutil.NoSuchProcess: pass
    return total / 2**20


def summary(minutes):
    "What a list of (minute, MiB) says"
    late = np.array(minutes[len(minutes) // 2:])
    slope = np.polyfit(late[:, 0], late[:, 1], 1)[0] * 60 if len(late) > 2 else None
    return dict(minutes=len(minutes), highest_mib=max(m for _, m in minutes), mib_per_hour=slope)


def watch(command, every, out):
    "Run `command`, write what it holds; returns its exit status"
    started = subprocess.Popen(command); process = psutil.Process(started.pid)
    begin, highest = time.monotonic(), {}
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the command hears it too, and ends by itself
    while started.poll() is None:
        try: held = resident_mib(process)
        except psutil.NoSuchProcess: break
        minute = int((time.monotonic() - begin) // 60)
        new = minute not in highest
        highest[minute] = max(held, highest.get(minute, 0))
        if new: keep(out, command, highest)
        time.sleep(every)
    keep(out, command, highest)
    return started.wait()


def keep(out, command, highest):
    "Write the figures so far"
    rows = [(m, round(v, 1)) for m, v in sorted(highest.items())]
    name = shlex.join([Path(command[0]).name, *(Path(c).name if c.startswith('/') else c for c in command[1:])])
    write_text(out, json.dumps(dict(command=name, **summary(rows), highest_of_each_minute=rows, versions=versions())))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--every', type=float, default=2., help='seconds between readings')
    parser.add_argument('--out', default='bench/memory.json', help='where the figures are written')
    parser.add_argument('command', nargs='+', help='what to run, after --')
    a = parser.parse_args()
    sys.exit(watch(a.command, a.every, a.out))


if __name__ == '__main__': main()

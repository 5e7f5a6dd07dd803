"Commands: of `sadag` in a process of their own, refused, and killed on the way; benchmarks, quickly"
import json, re, signal, subprocess, sys
from pathlib import Path
from sadag_nb.app.cli import main

SADAG = [sys.executable, '-c', 'import sys; from sadag_nb.app.cli import main; sys.exit(main())']

def told(capsys, command, *words):
    "The command ends with status 2, and says nothing but one line that holds `words`; a network in own.py may be told to have no card"
    capsys.readouterr(); assert main([str(c) for c in command])==2
    out,err = capsys.readouterr(); err = ''.join(l for l in err.splitlines(True) if not re.match(r'warning: own\.py:\w+ has no card', l))
    assert out=='' and err.startswith('error: ') and err.count('\n')==1 and len(err)<400, out+err
    for w in words: assert w in err, err

KILLED = '''
import os, signal, sys
import sadag_nb.app.sweep as sweep
from sadag_nb.app.cli import main
save,left = sweep.save_quantized,iter(range(int(sys.argv.pop(1))))
def dying(*args, **kwargs):
    if next(left, None) is None: os.kill(os.getpid(), signal.SIGKILL)
    return save(*args, **kwargs)
sweep.save_quantized = dying
sys.exit(main())
'''
def killed(saved:int, command):
    "Run a sweep or a search that kills itself when, after so many models, it is about to save the next"
    res = subprocess.run([sys.executable, '-c', KILLED, str(saved), *map(str,command)], stdout=subprocess.DEVNULL)
    assert res.returncode==-signal.SIGKILL

def quick(name, folder, *options) -> dict: # what bench/NAME.py writes
    "A quick run of a benchmark in `folder`, so that the stored figures stay"
    command = [sys.executable, Path(__file__).parents[1]/f'bench/{name}.py', '--quick', *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return json.loads((folder/f'build/quick-{name}.json').read_text())

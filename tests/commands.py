"Commands: of `sadag` in a process of their own, refused, and killed on the way; benchmarks, quickly"
import json, multiprocessing, os, re, signal, subprocess, sys, tempfile
from pathlib import Path
from sadag_nb.app.cli import main

COMMAND = 'import sys; from sadag_nb.app.cli import main; sys.exit(main())'
SADAG = [sys.executable, '-c', COMMAND]

# Processes are forked from one that has imported the package: starting Python and torch takes longer than most commands here
FORKS = multiprocessing.get_context('forkserver'); FORKS.set_forkserver_preload(['sadag_nb.app.pipeline', 'sadag_nb.app.search', 'torch._dynamo'])

def _begin(code, args, cwd, outputs):
    "In the new process: run `code` as a program"
    for fd,path in zip((1,2), outputs): os.dup2(os.open(path, os.O_WRONLY|os.O_CREAT), fd)
    os.chdir(cwd); sys.argv = ['-c', *args]
    exec(compile(code, 'program', 'exec'), {'__name__':'__main__'})

def program(code:str, *args, cwd='.') -> subprocess.CompletedProcess:
    "What comes of Python code in a process of its own"
    with tempfile.TemporaryDirectory() as d:
        outputs = [Path(d)/n for n in ('out','err')]
        p = FORKS.Process(target=_begin, args=(code, [str(a) for a in args], str(Path(cwd).resolve()), outputs)); p.start(); p.join()
        return subprocess.CompletedProcess(args, p.exitcode, *(f.read_text() if f.exists() else '' for f in outputs))

def sadag(*args, cwd='.') -> subprocess.CompletedProcess:
    "What comes of a `sadag` command in a process of its own"
    return program(COMMAND, *args, cwd=cwd)

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
    assert program(KILLED, saved, *command).returncode==-signal.SIGKILL

def bench(name, *args, cwd='.') -> subprocess.CompletedProcess:
    "What comes of bench/NAME.py in a process of its own"
    folder = Path(__file__).parents[1]/'bench'
    return program(f"import runpy, sys; sys.path.insert(0, '{folder}'); runpy.run_path('{folder/name}.py', run_name='__main__')", *args, cwd=cwd)

def quick(name, folder, *options) -> dict: # what bench/NAME.py writes
    "A quick run of a benchmark in `folder`, so that the stored figures stay"
    res = bench(name, '--quick', *options, cwd=folder)
    assert res.returncode==0, res.stdout+res.stderr
    return json.loads((folder/f'build/quick-{name}.json').read_text())

"Days on which nothing goes well: killed at any moment, a full disk, two at once, an altered file; what was finished stays, the rest is told"
import errno, hashlib, json, os, shutil
from pathlib import Path
import pytest, torch
from safetensors import safe_open
from commands import COMMAND, program, sadag, told
from sadag_nb.app.cli import main

MODEL = '--model resnet20-digits --device cpu --threads 1'.split()
MAKE = ['synthesize', *MODEL, '--n', '8', '--batch', '2', '--steps', '2']
QUANTIZE = ['quantize', *MODEL, '--n', '6', '--batch', '2', '--steps', '2', '--unit-steps', '1', '--unit-batch', '4']
SWEEP = ['sweep', 'figure1', *MODEL, '--data', 'digits', '--n', '4', '--steps', '2', '--unit-steps', '1', '--cases', 'sadag', '--seeds', '0', '1']

# Kills happen in processes forked from one that has imported everything: importing torch takes longer than the work
FORKING = '''
import json, os, random, signal, sys, time
import torch; torch.set_num_threads(1)
import sadag_nb.app.pipeline, sadag_nb.app.sweep
from sadag_nb.app.cli import main

def start(command, out, at=None):
    "The command in a process of its own, which kills itself before (or after) its `at`-th renaming, if told so"
    if pid := os.fork(): return pid
    log = os.open(out+'.log', os.O_WRONLY|os.O_CREAT|os.O_TRUNC); os.dup2(log, 1); os.dup2(log, 2)
    signal.signal(signal.SIGINT, signal.default_int_handler); rename,count = os.replace,[0]
    def counted(*args):
        count[0] += 1
        if count[0]==at and before: os.kill(os.getpid(), signal.SIGKILL)
        rename(*args)
        if count[0]==at: os.kill(os.getpid(), signal.SIGKILL)
    before = random.random()<.5
    if at: os.replace = counted
    os._exit(main([*command, '--out', out]))

def outcome(pid): return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

def killed(pid, seconds):
    "Whether the process was still running after so many seconds, and then was killed"
    end = time.monotonic()+seconds
    while time.monotonic()<end:
        done,status = os.waitpid(pid, os.WNOHANG)
        if done:
            assert os.waitstatus_to_exitcode(status) in (0,-9), status
            return os.waitstatus_to_exitcode(status)==-9
        time.sleep(.01)
    os.kill(pid, signal.SIGKILL); outcome(pid)
    return True
'''
KILLS = FORKING + '''
command,kills,top = json.loads(sys.argv[1]),int(sys.argv[2]),sys.argv[3]
begin = time.monotonic(); assert outcome(start(command, top+'/whole'))==0; whole = time.monotonic()-begin
random.seed(0); done,runs,out = 0,0,top+'/0'
while done<kills:
    by_clock = done%2==0
    pid = start(command+['--resume']*(done%3==0), out, None if by_clock else random.randint(1,8))
    if killed(pid, random.uniform(0, .8*whole) if by_clock else 60): done += 1
    else: runs += 1; out = f'{top}/{runs}'
assert outcome(start(command, out))==0
print(runs+1)
'''

def digests(folder:Path) -> dict: # relative path -> SHA-256 of the tensors
    "What a run's or a sweep's files hold, without the seconds that it took"
    def digest(path):
        h = hashlib.sha256()
        with safe_open(path, 'pt') as f:
            for k in sorted(f.keys()): t = f.get_tensor(k); h.update(f'{k}{t.dtype}{t.shape}'.encode()+t.numpy().tobytes())
        return h.hexdigest()
    return {p.relative_to(folder).as_posix():digest(p) for p in sorted(folder.rglob('*.safetensors'))}

def survives(command, kills, top):
    "Killed so often, then left alone, the command ends with the tensors of an undisturbed run, and leaves no litter"
    res = program(KILLS, json.dumps(command), kills, top)
    assert res.returncode==0, res.stdout+res.stderr+''.join(p.read_text() for p in top.glob('*.log'))
    expected = digests(top/'whole'); assert expected
    for i in range(int(res.stdout)): assert digests(top/str(i))==expected
    assert not [p for p in top.rglob('.*') if p.is_file()]
    for p in top.rglob('*.json'): json.loads(p.read_text())

@pytest.mark.parametrize('command,kills', [(MAKE,6), (QUANTIZE,8), (SWEEP,6)], ids=['synthesize','quantize','sweep'])
def test_killed_at_random_moments(command, kills, tmp_path): survives(command, kills, tmp_path)

def test_killed_while_finetuning(finished, tmp_path):
    "The state on disk holds the optimizer's too, and batches depend on the number of the step alone"
    survives(['finetune', str(finished), '--device', 'cpu', '--threads', '1', '--steps', '120', '--batch', '4', '--saq', '3'], 6, tmp_path)

STOPPED = FORKING + '''
command,top = json.loads(sys.argv[1]),sys.argv[2]
from pathlib import Path
pid = start(command, top+'/r'); end = time.monotonic()+60
while not list(Path(top,'r/units').glob('*.safetensors')) and time.monotonic()<end: time.sleep(.005)
os.kill(pid, signal.SIGINT); print(outcome(pid), len(list(Path(top,'r/units').glob('*.safetensors'))))
print(outcome(start(command, top+'/r')), outcome(start(command, top+'/whole')))
'''

def test_stopped_from_the_keyboard_while_reconstructing(tmp_path):
    command = [*QUANTIZE, '--unit-steps', '4']
    res = program(STOPPED, json.dumps(command), tmp_path)
    first,second = (list(map(int, l.split())) for l in res.stdout.splitlines()); assert first[0]==130 and first[1]>=1 and second==[0,0], res.stderr
    assert digests(tmp_path/'r')==digests(tmp_path/'whole')

def test_stopped_says_how_to_go_on(tmp_path, monkeypatch, capsys):
    import sadag_nb.app.pipeline as pipeline
    def stop(*args, **kwargs): raise KeyboardInterrupt
    monkeypatch.setattr(pipeline, 'quantize', stop)
    assert main([*QUANTIZE, '--out', str(tmp_path/'r')])==130
    err = capsys.readouterr().err; assert 'same command' in err and err.count('\n')==1
    assert (tmp_path/'r/images.safetensors').is_file() and not (tmp_path/'r/.lock').exists()

@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    "A run of quantize that is done"
    out = tmp_path_factory.mktemp('finished')/'r'; assert main([*QUANTIZE, '--out', str(out)])==0
    return out

def test_same_bytes_in_two_processes(finished, tmp_path):
    "One seed, one machine, one number of threads: the files are the same to the byte"
    res = sadag(*QUANTIZE, '--out', tmp_path/'r'); assert res.returncode==0, res.stderr
    for name in ('images.safetensors','model.safetensors'): assert (tmp_path/'r'/name).read_bytes()==(finished/name).read_bytes()

@pytest.fixture
def run(finished, tmp_path):
    "A copy of it"
    return Path(shutil.copytree(finished, tmp_path/'r'))

def flip(path:Path): raw = bytearray(path.read_bytes()); raw[-1] ^= 1; path.write_bytes(raw)
def cut(path:Path): path.write_bytes(path.read_bytes()[:-9])

@pytest.mark.parametrize('harm,word', [(flip,'altered'),(cut,'whole')])
@pytest.mark.parametrize('name', ['images','model'])
def test_finished_file_altered_or_cut(run, capsys, harm, word, name):
    "Said, and mended as it says: delete the file, and the same command makes it again, the same"
    file = run/f'{name}.safetensors'; before = file.read_bytes(); harm(file)
    told(capsys, [*QUANTIZE, '--out', run], file.name, word, 'delete it')
    if name=='model': told(capsys, ['export', run, '--out', run/'q.onnx'], file.name, word)
    file.unlink(); (run/'model.safetensors').unlink(missing_ok=True)
    assert main([*QUANTIZE, '--out', str(run)])==0 and file.read_bytes()==before

def test_two_at_once(run, capsys):
    "The second is told at once; when the first ends, it may"
    from sadag_nb.core import locked
    before = digests(run)
    with locked(run):
        for command in ([*QUANTIZE,'--out',run], ['evaluate',run,'--data','digits']): told(capsys, command, 'another process', str(run))
    assert digests(run)==before and main([*QUANTIZE, '--out', str(run)])==0

def test_images_of_another_size(run, capsys):
    "A run goes on with images of the size that it began with; nothing of it changes before that is said"
    before = {p:p.read_bytes() for p in run.rglob('*') if p.is_file()}
    told(capsys, [*QUANTIZE, '--input', '1x24x24', '--out', run], 'shape = [1, 16, 16], not [1, 24, 24]')
    assert before=={p:p.read_bytes() for p in run.rglob('*') if p.is_file()}
    config = json.loads((run/'config.json').read_text()); del config['shape']; (run/'config.json').write_text(json.dumps(config)) # begun before it was noted
    told(capsys, [*QUANTIZE, '--input', '1x24x24', '--out', run], 'shape = [1, 16, 16]')
    assert main([*QUANTIZE, '--input', '1x16x16', '--out', str(run)])==0

@pytest.mark.parametrize('name', ['config.json','result.json'])
@pytest.mark.parametrize('text', ['{"command":', '[1,2]', '\x00', '['*10**5, ''], ids=['cut','list','zero','deep','empty'])
def test_broken_json(run, capsys, name, text):
    "Said by every command, and what was complete stays"
    before = digests(run); (run/name).write_text(text)
    told(capsys, [*QUANTIZE,'--out',run], name, 'cannot be read'); told(capsys, ['report',run], name)
    assert digests(run)==before

def test_config_of_another_version(run, capsys):
    "Settings that are missing are named; other versions are told, and noted where the run goes on"
    config = json.loads((run/'config.json').read_text())
    (run/'config.json').write_text(json.dumps({k:v for k,v in config.items() if k not in ('weights','model')}))
    told(capsys, ['evaluate',run,'--data','digits'], 'lacks model, weights')
    (run/'config.json').write_text(json.dumps({**config, 'versions':{**config['versions'],'torch':'0.1'}}))
    assert main([*QUANTIZE,'--out',str(run)])==0 and f'torch {torch.__version__} (begun with 0.1)' in capsys.readouterr().err
    assert any(json.loads(l)['stage']=='versions' for l in (run/'metrics.jsonl').read_text().splitlines())

@pytest.mark.parametrize('change,word', [(dict(weights_sha256='0'*16),'are not those that'), (dict(model=3),'names no network')])
def test_altered_config(run, capsys, change, word):
    config = json.loads((run/'config.json').read_text()); (run/'config.json').write_text(json.dumps(dict(config, **change)))
    told(capsys, ['evaluate',run,'--data','digits'], word)

def test_model_that_is_not_there(run, capsys):
    (run/'model.safetensors').unlink(); told(capsys, ['evaluate',run,'--data','digits'], 'holds no quantized model yet')

def test_half_a_line_of_metrics(run):
    lines = (run/'metrics.jsonl').read_text()
    (run/'metrics.jsonl').write_text(lines+'{"stage": "unit", "er'); assert main(['report',str(run)])==0
    assert main([*QUANTIZE,'--out',str(run)])==0
    rows = [json.loads(l) for l in (run/'metrics.jsonl').read_text().splitlines()]; assert rows[:lines.count('\n')]==[json.loads(l) for l in lines.splitlines()]

@pytest.mark.parametrize('beside', [False,True], ids=['within','beside'])
def test_code_that_a_run_folder_names_is_not_run(run, beside, capsys):
    file = (run.parent if beside else run)/'net.py'; file.write_text(f"from pathlib import Path; Path({str(run/'was_run')!r}).touch()\ndef net(): pass")
    config = json.loads((run/'config.json').read_text()); (run/'config.json').write_text(json.dumps(dict(config, model=f'{file}:net')))
    told(capsys, ['evaluate',run,'--data','digits'], 'only if you say so', f'--model {file}:net'); assert not (run/'was_run').exists()

def test_read_only_folder(tmp_path, capsys, monkeypatch):
    "As the system tells it, whoever runs the test"
    import tempfile
    def refuse(*args, **kwargs): raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    monkeypatch.setattr(tempfile, 'mkstemp', refuse)
    told(capsys, [*MAKE,'--out',tmp_path/'a/r'], 'Permission denied', '--out'); assert not list(tmp_path.iterdir())

def test_full_disk(tmp_path, capsys, monkeypatch):
    "Told with the file; what was finished stays, and the same command goes on from there"
    import sadag_nb.core as core
    save,made = core.save_file,[]
    def full(tensors, path, meta):
        if len(made)==2: raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        save(tensors, path, meta); made.append(path)
    with monkeypatch.context() as m: m.setattr(core, 'save_file', full); told(capsys, [*MAKE,'--out',tmp_path/'r'], 'No space left', 'make room')
    assert sorted(p.name for p in (tmp_path/'r/images').iterdir())==['00000.safetensors','00001.safetensors']
    assert main([*MAKE,'--out',str(tmp_path/'r')])==0 and main([*MAKE,'--out',str(tmp_path/'whole')])==0
    assert digests(tmp_path/'r')==digests(tmp_path/'whole')

def test_file_that_may_not_grow(tmp_path):
    "The system's own limit: nothing half-written is left"
    code = f"import resource; resource.setrlimit(resource.RLIMIT_FSIZE, ({2**12},{2**12}))\n" + COMMAND
    res = program(code, *MAKE, '--n', '64', '--batch', '64', '--recipe', 'noise', '--out', 'r', cwd=tmp_path)
    assert res.returncode==2 and res.stderr.startswith('error: cannot write') and res.stderr.count('\n')==1, res.stderr
    assert not list(tmp_path.rglob('*.safetensors')) and not list(tmp_path.rglob('.*'))

def test_out_of_memory_names_the_stage(tmp_path, capsys, monkeypatch):
    import sadag_nb.app.pipeline as pipeline
    def full(*args): raise torch.OutOfMemoryError('CUDA out of memory. Tried to allocate 3.00 GiB.')
    monkeypatch.setattr(pipeline, 'top1s', full)
    told(capsys, [*QUANTIZE,'--data','digits','--out',tmp_path/'r'], 'measuring accuracy', '3.00 GiB', '--batch 128')

def test_version(capsys):
    import sadag_nb
    with pytest.raises(SystemExit) as e: main(['--version'])
    assert e.value.code==0 and capsys.readouterr().out==f'sadag_nb {sadag_nb.__version__}\n'
    assert main(['version'])==0; out = capsys.readouterr().out; assert all(w in out for w in ('scipy','onnxruntime','pillow'))

def test_sweep_row_says_its_memory(tmp_path, capsys):
    assert main([*SWEEP, '--seeds', '0', '--out', str(tmp_path)])==0
    row = json.loads((tmp_path/'figure1.json').read_text())['rows'][0]; assert 50<row['memory_mib']<10**5
    file = next((tmp_path/'rows').iterdir()); file.write_text('broken'); assert main([*SWEEP, '--seeds', '0', '--out', str(tmp_path)])==0
    assert json.loads(file.read_text())['top1']==row['top1']

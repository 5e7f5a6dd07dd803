"The command line as a user types it: each verb in a process of its own, on the embedded network, with tiny budgets"
import inspect, json, os, re, signal, subprocess, sys, time
from importlib import import_module
import pytest, torch
import commands
from commands import SADAG, told
from sadag_nb.app.cli import BUDGETS, main, parser, set_threads, spent

VERBS = 'demo synthesize quantize layers finetune evaluate export report sweep sweeps search recipes version'.split()
TINY = '--n 8 --steps 4'.split()
MODEL = '--model resnet20-digits'.split()

def sadag(*args, cwd, status=0):
    "Run a command; its standard output"
    res = commands.sadag(*args, cwd=cwd)
    assert res.returncode==status, f'{args}: {res.returncode}\n{res.stdout}\n{res.stderr}'
    return res.stdout

def read(path): return json.loads(path.read_text())
def files(path): return {p.name for p in path.iterdir()}

@pytest.fixture(scope='module')
def there(tmp_path_factory):
    "A folder with a synthesize run in runs/a, and a quantize run on its images in runs/b"
    d = tmp_path_factory.mktemp('cli')
    sadag('synthesize', *MODEL, '--recipe', 'sadag', *TINY, '--batch', 5, '--seed', 3, '--out', 'runs/a', cwd=d)
    sadag('quantize', *MODEL, '--images', 'runs/a', '--bits', 'w2a2', '--symmetric', '--unit-steps', 3, '--unit-batch', 5,
          '--views', 2, '--data', 'digits', '--seed', 4, '--out', 'runs/b', cwd=d)
    return d

@pytest.mark.parametrize('verb', VERBS)
def test_help_of_each_verb(verb, capsys):
    with pytest.raises(SystemExit) as e: main([verb,'--help'])
    assert e.value.code==0 and f'usage: sadag {verb}' in capsys.readouterr().out

@pytest.mark.parametrize('verb', VERBS)
def test_every_option_tells_what_it_does_and_what_without_it(verb):
    for a in parser()._subparsers._group_actions[0].choices[verb]._actions:
        told = a.required or a.nargs==0 or not a.option_strings or re.search(r'default|with --|without', a.help); assert a.help and told, a.dest

def test_library_defaults_are_the_standard_budget():
    from sadag_nb.all import quantize, reconstruct, synthesize
    default = lambda f,name: inspect.signature(f).parameters[name].default
    standard = BUDGETS['standard']; assert default(synthesize,'steps')==standard['steps']
    assert default(quantize,'steps')==default(reconstruct,'steps')==standard['unit_steps']

HELP = '''
import sys
from sadag_nb.app.cli import main
try: main(['--help'])
finally: print('imported:', *{'torch','matplotlib','onnx'} & {m.split('.')[0] for m in sys.modules})
'''

def test_help_lists_the_verbs_and_imports_nothing_slow():
    text = subprocess.run([sys.executable, '-c', HELP], capture_output=True, text=True, check=True).stdout
    for verb in VERBS: assert re.search(rf'^ +{verb}\s+\w', text, re.M)
    assert text.endswith('\nimported:\n')

@pytest.mark.parametrize('command,module,name', [
    ('synthesize --model m --out o', 'pipeline', 'run_synthesize'), ('quantize --model m --out o', 'pipeline', 'run_quantize'),
    ('finetune r --out o', 'pipeline', 'run_finetune'), ('sweep table1 --data d', 'sweep', 'run_sweep'),
    ('search --model m --train t --out o', 'search', 'run_search'), ('demo', 'pipeline', 'demo')])
def test_defaults_are_the_library_s(command, module, name):
    "Where an option is not given, the function gets what it would take by itself"
    of = inspect.signature(getattr(import_module(f'sadag_nb.app.{module}'), name)).parameters
    options = spent(vars(parser().parse_args(command.split())))
    assert of.keys()-{'widths'} == options.keys()-{'function','shared','error','resume','threads','examine'}
    left = [k for k in options if k in of and of[k].default is not inspect.Parameter.empty]
    assert {k:options[k] for k in left}=={k:of[k].default for k in left}

def test_budget_fills_what_is_not_given():
    options = spent(vars(parser().parse_args('quantize --model m --out o --budget fast --n 7'.split())))
    assert {k:options[k] for k in BUDGETS['fast']}==BUDGETS['fast']|dict(n=7) and 'budget' not in options

def test_layers(tmp_path):
    "Names, and the bits that a policy gives; a wrong name is told"
    lines = [l.split() for l in sadag('layers', *MODEL, '--bits', 'w2a4', '--layer', 'layer2.*=w3a5', cwd=tmp_path).splitlines()]
    bits = {l[0]:tuple(l[-2:]) for l in lines[2:-1]}
    assert lines[-1][:3]==['all','20',f'{144+6*2304+4608+5*9216+18432+5*36864+640:,}'] and lines[-1][-1]=='kB'
    assert len(bits)==20 and (bits['conv1'],bits['layer1.0.conv2'],bits['layer2.1.conv1'],bits['linear'])==(('8','–'),('2','4'),('3','5'),('8','8'))
    assert sadag('layers', *MODEL, '--layer', 'layer9=w3a5', cwd=tmp_path, status=2)==''

def test_recipes_sweeps_and_version(tmp_path):
    text = sadag('recipes', cwd=tmp_path)
    for name in ('sadag','genie','noise'): assert re.search(rf'^{name}: ', text, re.M)
    assert re.search('^table1: .*5 seeds', sadag('sweeps', cwd=tmp_path), re.M)
    assert f'torch        {torch.__version__}' in sadag('version', cwd=tmp_path)

@pytest.mark.parametrize('allowed,asked,given', [(1,None,[1]), (99,None,[]), (1,2,[2])])
def test_threads(allowed, asked, given, monkeypatch):
    "No more than the cores that the process may use, unless more are asked for; what torch takes by itself is not raised"
    import joblib
    seen = []; monkeypatch.setattr(joblib, 'cpu_count', lambda: allowed)
    monkeypatch.setattr(torch, 'get_num_threads', lambda: 2); monkeypatch.setattr(torch, 'set_num_threads', seen.append)
    set_threads(asked); assert seen==given

def test_a_command_keeps_to_the_cores_that_it_may_use():
    env = dict(os.environ, OMP_NUM_THREADS='2', MKL_NUM_THREADS='2', LOKY_MAX_CPU_COUNT='1') # joblib heeds this as it does a container's limit
    assert re.search(r'^threads +1$', subprocess.run([*SADAG, 'version'], capture_output=True, text=True, check=True, env=env).stdout, re.M)

def test_synthesize_writes_a_run(there):
    run = there/'runs/a'
    assert files(run) == {'config.json','images.safetensors','metrics.jsonl','result.json','figures','report.html'}
    config = read(run/'config.json')
    assert [config[k] for k in ('recipe','n','steps','batch','seed')]==['sadag',8,4,5,3] and config['versions']['torch']==torch.__version__
    assert {'synthesis_seconds','peak_mib'} == read(run/'result.json').keys()
    assert all(json.loads(l)['stage']=='synthesize' for l in (run/'metrics.jsonl').read_text().splitlines())

def test_quantize_writes_a_run(there):
    run = there/'runs/b'
    assert files(run) == {'config.json','images.safetensors','model.safetensors','metrics.jsonl','result.json','figures',
                          'report.html'}
    result = read(run/'result.json')
    assert {'fp_top1','top1','reconstruction_seconds','peak_mib'} <= result.keys() and 'synthesis_seconds' not in result
    assert result['fp_top1']>=98 and 0<=result['top1']<=100
    html = (run/'report.html').read_text()
    assert f"{result['top1']:.2f} %" in html and 'data:image/png;base64,' in html
    assert not re.search(r'(src|href)="?(http|figures)', html)     # self-contained

def test_options_reach_the_library(there):
    "The runs' images, and the logits of their model loaded again, are bit for bit those of the same settings here"
    from sadag_nb.app.pipeline import open_calibration, open_run
    from sadag_nb.quant.policy import Policy
    from sadag_nb.quant.reconstruct import quantize
    from sadag_nb.synth.synthesize import synthesize
    _,net,loaded = open_run(there/'runs/b'); x = open_calibration(there/'runs/a', net.card, 8, 0)
    assert torch.equal(synthesize(net, 'sadag', n=8, steps=4, batch=5, seed=3), x)
    again = quantize(net, x, Policy('w2a2', symmetric=True), steps=3, batch=5, seed=4, views=2)
    with torch.no_grad(): assert torch.equal(again(x), loaded(x))

def test_one_command_without_data(there):
    out = sadag('quantize', *MODEL, '--recipe', 'genie', *TINY, '--bits', 'w4a4', '--layer', 'linear=w8a8', '--layer', 'layer3.*=fp',
                '--unit-steps', 3, '--out', 'runs/c', cwd=there)
    run = there/'runs/c'; result = read(run/'result.json')
    sizes = {'file_kilobytes','fp_kilobytes'}                                               # what was not measured is absent
    assert {'synthesis_seconds','reconstruction_seconds','peak_mib','agreement'}|sizes == result.keys()
    assert read(run/'config.json')['layers']=={'linear':'w8a8','layer3.*':'fp'}
    assert 'sadag evaluate' in out and str(run.relative_to(there)/'report.html') in out
    sadag('evaluate', 'runs/c', '--data', 'digits', cwd=there)
    assert {'fp_top1','top1'} <= read(run/'result.json').keys()

def test_evaluate_and_report_again(there):
    run = there/'runs/b'; before = read(run/'result.json'); (run/'report.html').unlink()
    sadag('report', 'runs/b', cwd=there); assert (run/'report.html').is_file()
    sadag('evaluate', 'runs/b', '--data', 'digits', cwd=there)
    assert read(run/'result.json')['top1']==before['top1']     # the loaded model is the measured one

def test_finetune_writes_a_run(there, capsys, monkeypatch):
    "A run that evaluate, export and report take, from one that stays as it was; the same command again changes nothing"
    before = {p:p.stat().st_mtime_ns for p in (there/'runs/b').rglob('*')}
    how = '--steps 4 --batch 4 --lr .005 --rho .2 --saq 3 --every 2 --views 2'.split()
    command = ['finetune', 'runs/b', *how, '--data', 'digits', '--out', 'runs/t']
    out = sadag(*command, cwd=there); run = there/'runs/t'; result = read(run/'result.json')
    assert before=={p:p.stat().st_mtime_ns for p in (there/'runs/b').rglob('*')}
    assert files(run)==files(there/'runs/b') and f"{result['top1']:.2f} %" in out
    assert result['start_top1']==read(there/'runs/b/result.json')['top1'] and 'finetune_seconds' in result
    expected = dict(command='finetune', bits='w2a2', run='runs/b', steps=4, batch=4, lr=.005, rho=.2, saq=3, every=2, views=2)
    assert expected.items() <= read(run/'config.json').items()
    made = (run/'model.safetensors').read_bytes(); sadag(*command, cwd=there)
    assert (run/'model.safetensors').read_bytes()==made!=(there/'runs/b/model.safetensors').read_bytes()
    sadag('export', 'runs/t', '--out', 't.safetensors', cwd=there); sadag('report', 'runs/t', cwd=there)
    monkeypatch.chdir(there); told(capsys, ['finetune','runs/a','--out','runs/n'], 'a run of synthesize')
    assert not (there/'runs/n').exists()

def test_stored_images_compare_both_networks(there, tmp_path):
    "A run's images have no labels, whatever pictures its report has: how often the answers are alike is measured on them"
    import shutil
    shutil.copytree(there/'runs/b', tmp_path/'b'); before = read(tmp_path/'b/result.json')
    for data in ('runs/a','runs/a/images.safetensors'):
        out = sadag('evaluate', tmp_path/'b', '--data', data, cwd=there); found = read(tmp_path/'b/result.json')
        assert found['agreement_data']==data and found['agreement'] in [100*k/8 for k in range(9)] and found['top1']==before['top1'] and f'of {data}.' in out
    assert 'has no labels' in commands.sadag('quantize', *MODEL, '--data', 'runs/a', '--out', 'runs/n', cwd=there).stderr

def test_weights_that_were_moved(tmp_path, monkeypatch, capsys):
    "A run whose weights lie elsewhere by now says so, and takes them from there; others are refused"
    from safetensors.torch import save_file
    from sadag_nb.models.zoo import pretrained
    monkeypatch.chdir(tmp_path); tensors = {k:v.contiguous() for k,v in pretrained('resnet20-digits').state_dict().items()}; save_file(tensors, 'w.safetensors')
    assert main(['quantize', *MODEL, '--weights', 'w.safetensors', *'--images digits-train --n 8 --unit-steps 1 --device cpu --out run'.split()])==0
    (tmp_path/'w.safetensors').rename('moved.safetensors'); tensors['linear.bias'] += 1; save_file(tensors, 'other.safetensors')
    for verb in ('evaluate run --data digits', 'export run --out run.onnx', 'finetune run --steps 1 --out tuned', 'report run --sharpness --n 4'):
        told(capsys, verb.split(), 'no such weights file: w.safetensors'); told(capsys, [*verb.split(), '--weights', 'other.safetensors'], 'are not those that run was made from')
    assert main('finetune run --steps 1 --batch 4 --out tuned --weights moved.safetensors'.split())==main('evaluate tuned --data digits'.split())==0

def test_few_real_images(there):
    sadag('quantize', *MODEL, '--images', 'digits-train', '--n', 8, '--unit-steps', 3, '--out', 'runs/real', cwd=there)
    from sadag_nb.core import load_tensors
    from sadag_nb.models.datasets import calibration
    from sadag_nb.models.zoo import pretrained
    drawn = calibration('digits-train', pretrained('resnet20-digits').card, 8, 0)
    assert torch.equal(load_tensors(there/'runs/real/images.safetensors')[0]['images'], drawn) and (there/'runs/real/model.safetensors').is_file()

def test_same_seed_same_images(there):
    sadag('synthesize', *MODEL, *TINY, '--batch', 5, '--seed', 3, '--out', 'runs/again', cwd=there)
    assert (there/'runs/again/images.safetensors').read_bytes()==(there/'runs/a/images.safetensors').read_bytes()

def test_stopped_run_goes_on(there):
    "Control-C: status 130, finished batches stay, and the same command again makes the images of an undisturbed run"
    command = ['synthesize', *MODEL, '--n', '40', '--batch', '8', '--steps', '30', '--out']
    hears = 'import signal; signal.signal(signal.SIGINT, signal.default_int_handler); ' # where tests run in the background, they are deaf to it
    p = subprocess.Popen([*SADAG[:-1], hears+SADAG[-1], *command, 'runs/stopped'], cwd=there, stderr=subprocess.PIPE, text=True)
    first = there/'runs/stopped/images/00000.safetensors'; end = time.monotonic()+60
    while not first.is_file() and p.poll() is None and time.monotonic()<end: time.sleep(.02)
    p.send_signal(signal.SIGINT); err = p.communicate(timeout=30)[1]
    assert p.returncode==130 and 'same command' in err and 'Traceback' not in err, err
    kept = {f.name:f.stat().st_mtime_ns for f in first.parent.iterdir()}
    assert first.name in kept and len(kept)<5 and not (there/'runs/stopped/images.safetensors').exists()
    sadag(*command, 'runs/stopped', cwd=there); sadag(*command, 'runs/whole', cwd=there)
    a,b = ((there/'runs'/r/'images.safetensors').read_bytes() for r in ('stopped','whole'))
    assert a==b and not first.parent.exists()

def test_other_settings_need_another_folder(there, capsys, monkeypatch):
    before = {p:p.stat().st_mtime_ns for p in (there/'runs/a').rglob('*')}
    monkeypatch.chdir(there); told(capsys, ['synthesize', *MODEL, '--n', '9', '--steps', '4', '--out', 'runs/a'], 'n = 8, not 9', '--out')
    assert before=={p:p.stat().st_mtime_ns for p in (there/'runs/a').rglob('*')}

def test_report_of_a_stopped_run(there, tmp_path):
    "It says so in the terminal and on its page, and not what it would say of a finished one"
    import shutil
    shutil.copytree(there/'runs/a', tmp_path/'a'); (tmp_path/'a/images.safetensors').unlink()
    (tmp_path/'demo').mkdir(); config = dict(read(there/'runs/a/config.json'), command='demo'); (tmp_path/'demo/config.json').write_text(json.dumps(config))
    for run in ('a','demo'):
        out = sadag('report', run, cwd=tmp_path)
        assert out.startswith('Not finished yet') and 'synthesized from' not in out and 'Not finished yet' in (tmp_path/run/'report.html').read_text()

def test_demo(there):
    out = sadag('demo', '--n', 8, '--steps', 3, '--unit-steps', 2, '--out', 'runs/demo', cwd=there)
    rows = read(there/'runs/demo/result.json')['rows']
    methods = [(b,m) for b in ('w4a4','w2a2') for m in ('to nearest','noise','genie','sadag')]
    assert [(r['bits'],r['method']) for r in rows] == [(None,'full precision'),*methods]
    assert all(0<=r['top1']<=100 for r in rows) and rows[0]['top1']>=98
    html = (there/'runs/demo/report.html').read_text()
    for r in rows: assert f"{r['top1']:.2f}" in html and f"{r['top1']:.2f}" in out
    assert 'runs/demo/report.html' in out

BESIDE = """from __future__ import annotations
from dataclasses import dataclass
from beside import width
from sadag_nb.all import pretrained
@dataclass
class Size: width: int = width
def net(): assert Size().width==16; m = pretrained('resnet20-digits'); del m.card; return m
"""

def test_network_in_a_file(tmp_path, monkeypatch, capsys):
    "Its file imports what lies beside it; its run is opened if the user says so again, and not because the folder does"
    monkeypatch.chdir(tmp_path); (tmp_path/'mine.py').write_text(BESIDE); (tmp_path/'beside.py').write_text('width = 16'); before = list(sys.path)
    assert main('quantize --model mine.py:net --input 1x16x16 --n 8 --steps 2 --unit-steps 2 --device cpu --out run'.split())==0
    assert 'mine.py:net has no card' in capsys.readouterr().err and sys.path==before
    assert json.loads((tmp_path/'run/config.json').read_text())['card']['outputs']==10 # counted, where no card says it
    for verb in ('evaluate run --data digits', 'export run --out run.onnx', 'finetune run --steps 1 --out tuned', 'report run --sharpness --n 4'):
        assert main(verb.split())==2 and 'give --model mine.py:net' in capsys.readouterr().err
        assert main([*verb.split(), '--model', 'mine.py:net'])==0
    assert (tmp_path/'run.onnx').is_file() and (tmp_path/'tuned/model.safetensors').is_file()

def test_images_without_labels(there, tmp_path, capsys):
    "Both networks are compared where nobody knows the right answers"
    from PIL import Image
    import shutil
    shutil.copytree(there/'runs/b', tmp_path/'b')
    for i,x in enumerate(torch.rand(6,16,16).mul(255).byte()): Image.fromarray(x.numpy()).save(tmp_path/f'{i}.png'); (tmp_path/'flat').mkdir(exist_ok=True); (tmp_path/f'{i}.png').rename(tmp_path/f'flat/{i}.png')
    assert main(['evaluate', str(tmp_path/'b'), '--data', str(tmp_path/'flat'), '--device', 'cpu'])==0
    found = read(tmp_path/'b/result.json'); assert found['agreement_data']==str(tmp_path/'flat') and found['agreement'] in [100*k/6 for k in range(7)]

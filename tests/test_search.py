"A search in a process of its own: its table, its files, going on after a kill, and what it says to bad input"
import json
import pytest
from commands import killed, sadag, told
from sadag_nb.app.cli import main

SMALL = ['--model','resnet20-digits','--train','digits-train','--held','64','--n','6','--rungs','2/1x1','3/1x2','--device','cpu','--threads','1']
WIDE = ['--model','resnet20-digits','--data','digits','--n','6','--steps','3','--unit-steps','2','--device','cpu','--threads','1']

def result(folder): return json.loads((folder/'search.json').read_text())

def test_killed_search_goes_on(tmp_path):
    "Killed in the midst of a trial and taken up, a search has the trials of an undisturbed one, and does no finished row again"
    command = ['search',*SMALL,'--trials','7','--out']
    whole = sadag(*command, tmp_path/'whole')
    assert whole.returncode==0, whole.stderr
    killed(5, [*command,tmp_path/'killed'])
    kept = {p:p.stat().st_mtime_ns for p in (tmp_path/'killed/rows').glob('*.json')}
    assert len(kept)==5 and 0<len(result(tmp_path/'killed')['trials'])<7
    done = sadag(*command, tmp_path/'killed')
    assert done.returncode==0 and all(p.stat().st_mtime_ns==t for p,t in kept.items()), done.stderr
    a,b = (result(tmp_path/f) for f in ('whole','killed'))
    assert a['trials']==b['trials'] and len(a['trials'])==7 and {'genie','sadag'}<={t['name'] for t in a['trials']}
    assert [len(t['scores']) for t in a['trials'] if t['name'] in ('genie','sadag')]==[2,2]
    assert all(len(s['top1'])==s['seeds'] for t in a['trials'] for s in t['scores'])
    assert 'sadag' in whole.stdout and '3/1 steps, 2 seeds' in whole.stdout and f"{a['fp_top1']:.2f}" in whole.stdout

def test_winner_is_confirmed(tmp_path):
    "The best recipe of a search is a case of a table"
    from dataclasses import asdict
    from sadag_nb.synth.recipes import get_recipe
    (tmp_path/'search.json').write_text(json.dumps(dict(best=asdict(get_recipe('genie')))))
    args = ['sweep','confirm',*WIDE,'--search',str(tmp_path/'search.json'),'--train','digits-train','--out',str(tmp_path),'--bits','w2a2','--seeds','0']
    assert main([*args,'--cases','genie','winner'])==0
    rows = json.loads((tmp_path/'confirm.json').read_text())['rows']
    assert [r['case'] for r in rows]==['genie','winner'] and rows[0]['key']==rows[1]['key'] and rows[0]['top1']==rows[1]['top1']

@pytest.mark.parametrize('args,says', [
    (['--train','digits'], 'must not see them'), (['--trials','0'], 'trials must be at least 1'), (['--held','5000'], 'fewer than the 5000'),
    (['--bits','w9a9'], '2 to 8'), (['--rungs','3/3x2','2/3x2'], 'cheapest first'), (['--rungs','0/3x2'], 'steps must be at least 1'),
    (['--train','nowhere'], 'no such folder'), (['--model','resnet21-digits'], 'did you mean')])
def test_bad_input(tmp_path, capsys, args, says):
    told(capsys, ['search',*SMALL,'--out',tmp_path/'o',*args], says)
    assert not (tmp_path/'o').exists()

def test_bad_rung(capsys):
    with pytest.raises(SystemExit): main(['search',*SMALL,'--out','o','--rungs','3x2'])
    assert 'STEPS/UNIT_STEPSxSEEDS' in capsys.readouterr().err

def test_other_settings_need_another_folder(tmp_path, capsys):
    from sadag_nb.core import write_text
    (tmp_path/'other').mkdir(); write_text(tmp_path/'other/notes.txt', 'mine')
    told(capsys, ['search',*SMALL,'--out',tmp_path/'other'], 'holds other files')
    command = ['search',*SMALL,'--trials','1','--out',str(tmp_path/'search')]; assert main(command)==0
    before = (tmp_path/'search/search.json').read_bytes()
    told(capsys, [*command,'--seed','1'], 'seed = 0, not 1'); assert (tmp_path/'search/search.json').read_bytes()==before

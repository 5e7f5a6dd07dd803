"A sweep in a process of its own: its table, its files, going on after a kill, and what it says to bad input"
import json
import pytest
from commands import killed, sadag, told
from sadag_nb.app.cli import main

SMALL = ['--model','resnet20-digits','--data','digits','--n','6','--steps','3','--unit-steps','2','--device','cpu','--threads','1']

def test_table_and_files(tmp_path):
    done = sadag('sweep','table6',*SMALL,'--out',tmp_path,'--cases','diversity x 1','diversity x 0','--seeds','0','1')
    assert done.returncode==0, done.stderr
    found = json.loads((tmp_path/'table6.json').read_text())
    assert {(r['case'],r['seed']) for r in found['rows']}=={(c,s) for c in ('diversity x 1','diversity x 0') for s in (0,1)}
    assert [r['published'] for r in found['rows']]==[54.51,53.74]*2
    assert found['budget']==dict(n=6,steps=3,unit_steps=2) and 'minus diversity x 1' in done.stdout and '53.74' in done.stdout
    assert (tmp_path/'table6-diversity-x-0.png').read_bytes()[:4]==b'\x89PNG'

def test_killed_sweep_goes_on(tmp_path):
    command,rows = ['sweep','figure1',*SMALL,'--out',tmp_path],tmp_path/'rows'; killed(2, command)
    kept = {p:p.stat().st_mtime_ns for p in rows.glob('*.json')}; assert len(kept)==2
    assert sadag(*command).returncode==0
    assert all(p.stat().st_mtime_ns==t for p,t in kept.items()) and len(list(rows.glob('*.json')))==6

def test_examined(tmp_path):
    "Fewer real images than are asked for are all taken"
    args = ['sweep','recipes',*SMALL,'--bits','w2a2','--cases','noise','--seeds','0','--train','digits-train','--examine','--out',str(tmp_path)]
    assert main(args)==0
    row, = json.loads((tmp_path/'recipes.json').read_text())['rows']; assert {'match','gap'} <= row.keys()

@pytest.mark.parametrize('args,says', [
    (['tabel1'], "did you mean 'table1'?"), (['table1'], 'give --train'), (['table6','--cases','diversity x 3'], 'did you mean'),
    (['table6','--n','0'], 'n must be at least 1'), (['table6','--bits','w9a9'], '2 to 8'), (['table6','--data','nowhere'], 'no such folder'),
    (['recipes','--cases','noise','--examine'], '--examine compares with real images')])
def test_bad_input(tmp_path, capsys, args, says):
    told(capsys, ['sweep',args[0],*SMALL,'--out',tmp_path/'o',*args[1:]], says)
    assert not list(tmp_path.rglob('*.json'))

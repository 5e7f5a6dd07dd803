"A sweep in a process of its own: its table, its files, going on after a kill, and what it says to bad input"
import json, subprocess, sys, time
import pytest
from sadag_nb.app.cli import main

SADAG = [sys.executable,'-c','import sys; from sadag_nb.app.cli import main; sys.exit(main())']
SMALL = ['--model','resnet20-digits','--data','digits','--n','6','--steps','3','--unit-steps','2','--device','cpu','--threads','1']

def sadag(*args, **kwargs):
    "Run the command line in a process of its own"
    return subprocess.run([*SADAG,*map(str,args)], capture_output=True, text=True, **kwargs)

def test_table_and_files(tmp_path):
    done = sadag('sweep','table6',*SMALL,'--out',tmp_path,'--cases','diversity x 1','diversity x 0','--seeds','0','1')
    assert done.returncode==0, done.stderr
    found = json.loads((tmp_path/'table6.json').read_text())
    assert {(r['case'],r['seed']) for r in found['rows']}=={(c,s) for c in ('diversity x 1','diversity x 0') for s in (0,1)}
    assert [r['published'] for r in found['rows']]==[54.51,53.74]*2
    assert found['budget']==dict(n=6,steps=3,unit_steps=2) and 'minus diversity x 1' in done.stdout and '53.74' in done.stdout
    assert (tmp_path/'table6-diversity-x-0.png').read_bytes()[:4]==b'\x89PNG'

def test_killed_sweep_goes_on(tmp_path):
    args = [*SADAG,'sweep','figure1',*SMALL,'--out',str(tmp_path)]
    running,rows = subprocess.Popen(args, stdout=subprocess.DEVNULL),tmp_path/'rows'
    for _ in range(600):
        if rows.is_dir() and len(list(rows.glob('*.json')))>1: break
        time.sleep(.1)
    running.kill(); running.wait()
    kept = {p:p.stat().st_mtime_ns for p in rows.glob('*.json')}
    assert 1<len(kept)
    assert subprocess.run(args, stdout=subprocess.DEVNULL).returncode==0
    assert all(p.stat().st_mtime_ns==t for p,t in kept.items()) and len(list(rows.glob('*.json')))==6

@pytest.mark.parametrize('args,says', [
    (['tabel1'], "did you mean 'table1'?"), (['table1'], 'give --train'), (['table6','--cases','diversity x 3'], 'did you mean'),
    (['table6','--n','0'], 'n must be at least 1'), (['table6','--bits','w9a9'], '2 to 8'), (['table6','--data','nowhere'], 'no such folder')])
def test_bad_input(tmp_path, capsys, args, says):
    status = main(['sweep',args[0],*SMALL,'--out',str(tmp_path/'o'),*args[1:]]); err = capsys.readouterr().err
    assert status==2 and says in err and err.count('\n')==1
    assert not list(tmp_path.rglob('*.json'))

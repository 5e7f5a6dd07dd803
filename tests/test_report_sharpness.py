"sadag report --sharpness: what it measures, writes and refuses"
import json, math, re
import pytest
from commands import told
from sadag_nb.app.cli import main

def sadag(*args, cwd):
    "Run a command in this process, with paths below `cwd`"
    with pytest.MonkeyPatch.context() as m: m.chdir(cwd); assert main([str(a) for a in args])==0

@pytest.fixture(scope='module')
def there(tmp_path_factory):
    "A folder with a small quantize run"
    d = tmp_path_factory.mktemp('sharpness')
    sadag('quantize', '--model', 'resnet20-digits', '--images', 'digits-train', '--n', 6, '--bits', 'w2a2',
          '--unit-steps', 2, '--out', 'runs/a', cwd=d)
    return d

def test_measures_and_reports(there, capsys):
    run = there/'runs/a'; sadag('report', 'runs/a', '--sharpness', '--n', 4, cwd=there)
    out = capsys.readouterr().out; assert 'report: runs/a/report.html' in out
    found = json.loads((run/'sharpness.json').read_text(), parse_constant=lambda c: pytest.fail(f'{c} is not JSON'))
    assert list(found)==['full precision','quantized']
    for s in found.values():
        gaps = [r['gap'] for r in s['gaps']]
        assert [r['share'] for r in s['gaps']]==pytest.approx([.003,.01,.03,.1])
        assert s['images']==4 and gaps==sorted(gaps) and all(g>=max(0,r['closed']) for g,r in zip(gaps,s['gaps']))
        assert s['eigenvalue']>0 and math.isclose(s['gaps'][0]['rho'], s['gaps'][0]['share']*s['norm'])
        assert len(s['line'])==len(s['at'])==len(s['plane'])
    assert re.search(rf"^loss +\S+ +{re.escape(format(found['quantized']['loss'],'.3g'))}$", out, re.M) and re.search('^top eigenvalue ', out, re.M)
    assert found['full precision']['loss']<1e-6<found['quantized']['loss']
    html = (run/'report.html').read_text()
    assert 'Sharpness in numbers' in html and 'SAM gap' in html and not re.search(r'(src|href)="?(http|figures)', html)
    assert f"{found['quantized']['loss']:.3g}" in html and (run/'figures/sharpness.svg').is_file()

def test_other_images(there):
    "Held-out digits give another loss than the run's own images; a report written again keeps the section"
    run = there/'runs/a'
    sadag('report', 'runs/a', '--sharpness', '--data', 'digits', '--n', 2, cwd=there)
    found = json.loads((run/'sharpness.json').read_text()); assert found['quantized']['images']==2
    sadag('report', 'runs/a', cwd=there); assert 'Sharpness in numbers' in (run/'report.html').read_text()

@pytest.mark.parametrize('args,says', [
    (('runs/a','--data','digits'), '--data is read for the sharpness alone: give --sharpness too'), (('runs/a','--n','5'), '--n is read'),
    (('runs/a','--sharpness','--n','0'), 'n must be at least 1'),
    (('runs/none','--sharpness'), 'not a run folder'), (('runs/a','--sharpness','--data','none'), 'no such folder or archive: none')])
def test_mistakes_are_one_sentence(there, args, says, capsys, monkeypatch):
    monkeypatch.chdir(there); told(capsys, ['report', *args], says)

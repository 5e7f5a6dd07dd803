"`make check` notices each way in which notebooks, modules and README fall out of step"
import os, shutil, subprocess, sys
import pytest

def copy_of_notebooks(root, folder):
    "The files that tools/check.py reads, in `folder`"
    skip = shutil.ignore_patterns('__pycache__', '.ipynb_checkpoints')
    for d in ('nbs','sadag_nb','tools','bench','tests'): shutil.copytree(root/d, folder/d, ignore=skip)
    for f in ('settings.ini','README.md','LICENSE'): shutil.copy(root/f, folder/f)
    return folder

def check(folder): return subprocess.run([sys.executable, 'tools/check.py'], cwd=folder, capture_output=True, text=True)

def edited(path, old, new):
    text = path.read_text(); assert old in text
    path.write_text(text.replace(old, new, 1))

@pytest.mark.parametrize('harm,complaint', [
    (lambda d: edited(d/'sadag_nb/core.py', 'class SadagError', 'class  SadagError'), 'core.py is not what its notebook exports'),
    (lambda d: (d/'nbs/00_core.ipynb').unlink(), 'core.py comes from no notebook'),
    (lambda d: (d/'sadag_nb/core.py').unlink(), 'core.py has not been exported'),
    (lambda d: edited(d/'nbs/00_core.ipynb', '"execution_count": null', '"execution_count": 3'), '00_core.ipynb is not clean'),
    (lambda d: (d/'nbs/01_more.ipynb').write_bytes((d/'nbs/00_core.ipynb').read_bytes()), 'module core belongs to'),
    (lambda d: edited(d/'README.md', '# sadag_nb', '# something'), 'README.md is not what'),
    (lambda d: edited(d/'nbs/index.ipynb', 'images/result.png', 'images/gone.png'), 'no such file'),
], ids='edited gone missing unclean twice readme link'.split())
def test_check_tells_what_is_out_of_step(root, tmp_path, harm, complaint):
    folder = copy_of_notebooks(root, tmp_path); harm(folder)
    res = check(folder)
    assert res.returncode!=0 and complaint in res.stdout, res.stdout+res.stderr

def test_check_tells_what_is_unexplained_or_unused(root, tmp_path):
    core = copy_of_notebooks(root, tmp_path)/'sadag_nb/core.py'
    edited(core, '    "Versions of everything that decides a result"\n', ''); edited(core, '# name=value pairs', '')
    edited(core, 'def peak_mib(', 'def peak_mib_of_all(')
    said = subprocess.run([sys.executable, '-c', 'import check; print(*check.documented(), *check.used(), sep="\\n")'], cwd=tmp_path,
                          env=dict(os.environ, PYTHONPATH='tools'), capture_output=True, text=True).stdout
    for complaint in ('versions has no docstring', 'at_least: say in a comment what settings is', 'peak_mib_of_all is used nowhere'):
        assert complaint in said, said

def test_notebooks_judge_the_package(root, tmp_path):
    "Their assertions see a change of the module, not what their own cells define"
    folder = copy_of_notebooks(root, tmp_path)
    def judged(): return subprocess.run([sys.executable, 'tools/against_package.py', 'nbs/quant/20_uniform.ipynb'], cwd=folder,
                                        env=dict(os.environ, PYTHONPATH=str(folder)), capture_output=True, text=True)
    assert judged().returncode==0
    edited(folder/'sadag_nb/quant/uniform.py', 'torch.round(w/self.scale)', 'torch.floor(w/self.scale)')
    res = judged(); assert res.returncode!=0 and 'AssertionError' in res.stdout+res.stderr

"What the README tells a reader to type works"
import re, shlex
import pytest
from sadag_nb.app.cli import parser

def test_python_lines(root, tmp_path, monkeypatch):
    code = re.search(r'```python\n(.*?)```', (root/'README.md').read_text(), re.S)[1]
    small = re.sub(r'\b(n|steps)=\d+', lambda m: f'{m[1]}=4', code)
    assert small!=code
    monkeypatch.chdir(tmp_path); exec(small, {})
    assert (tmp_path/'model.safetensors').is_file()

def test_command_lines(root):
    lines = re.findall(r'^sadag (.+)$', (root/'README.md').read_text(), re.M)
    assert lines
    for line in lines: parser().parse_args(shlex.split(line))
    with pytest.raises(SystemExit): parser().parse_args([*shlex.split(lines[0]), '--no-such-option'])

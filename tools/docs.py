"Build the documentation site: python tools/docs.py [folder]"
import json, re, shutil, subprocess, sys
from html import unescape
from pathlib import Path
import yaml
from filelock import FileLock
from nbdev.config import get_config
from demo_page import write_demo
from page import Page, terminal
from site_faults import faults

cfg = get_config(); root = cfg.config_path
kept,work = root/'tools/docs',root/'build/docs' # what is ours, what is made
MATH = re.compile(r'<(span|div) class="arithmatex">(.*?)</\1>', re.S)

def call(*args, **kwargs) -> str: # standard output
    res = subprocess.run(list(map(str, args)), capture_output=True, text=True, **kwargs)
    if res.returncode: raise SystemExit(terminal(f"docs: {' '.join(map(str, args))} failed\n{res.stdout}{res.stderr}"))
    return res.stdout

def order(notebook:Path) -> tuple: # index, then by number
    return notebook.name!=cfg.readme_nb, notebook.stem, notebook

def packages() -> Path: # what npm installed
    "Those of package-lock.json, exactly; installed once"
    place = root/'build/npm'; place.mkdir(parents=True, exist_ok=True)
    wanted = (kept/'package-lock.json').read_text(); done = place/'installed'
    if done.is_file() and done.read_text()==wanted: return place/'node_modules'
    npm = shutil.which('npm')
    if not npm: raise SystemExit('docs: npm is missing, which brings KaTeX: install Node.js 18 or newer with npm')
    for f in ('package.json','package-lock.json'): shutil.copy(kept/f, place)
    call(npm, 'ci', '--ignore-scripts', '--no-audit', '--no-fund', cwd=place); done.write_text(wanted)
    return place/'node_modules'

def navigation(pages:list, names:dict) -> list:
    "Pages in reading order, those of a folder under its name"
    nav = {}
    for p in pages:
        folder,_,_ = p.address.rpartition('/')
        nav.setdefault(names.get(folder, folder.capitalize()), []).append({p.title: f'{p.address}.md'})
    return nav.pop('') + [{k:v} for k,v in nav.items()]

def write(pages:list, katex:Path):
    "Everything that the generator reads, in `work`"
    shutil.rmtree(work, ignore_errors=True); docs = work/'docs'
    shutil.copytree(katex/'dist/fonts', docs/'katex/fonts', ignore=shutil.ignore_patterns('*.ttf','*.woff'))
    css = (katex/'dist/katex.min.css').read_text()
    (docs/'katex/katex.min.css').write_text(re.sub(r',url\([^)]*\.(woff|ttf)\) format\("\w+"\)', '', css))
    shutil.copy(kept/'site.css', docs)
    for p in pages:
        page = docs/f'{p.address}.md'; page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(p.markdown(pages), encoding='utf-8')
        for to,data in p.pictures.items():
            (page.parent/to).parent.mkdir(parents=True, exist_ok=True); (page.parent/to).write_bytes(data)
    config = yaml.safe_load((kept/'mkdocs.yml').read_text()); names = config['extra'].pop('sections')
    config |= dict(site_name=cfg.title, site_url=f'{cfg.doc_host}{cfg.doc_baseurl}/', site_description=cfg.description,
                   nav=[*navigation(pages, names), {'Demo': 'demo.md'}], site_dir='site')
    (work/'mkdocs.yml').write_text(yaml.safe_dump(config, sort_keys=False, allow_unicode=True))

def typeset(site:Path, node_modules:Path):
    "Put KaTeX's rendering in the place of each equation; one that it cannot read ends the build"
    texts = {p:p.read_text(encoding='utf-8') for p in site.rglob('*.html')}
    sources = {(m[2].strip()[2:-2],m[1]=='div'):p for p,t in texts.items() for m in MATH.finditer(t)}
    equations = [dict(tex=unescape(tex), display=block) for tex,block in sources]
    env = dict(NODE_PATH=str(node_modules), PATH=str(Path(shutil.which('node')).parent))
    made = dict(zip(sources, json.loads(call('node', kept/'katex.js', input=json.dumps(equations), env=env))))
    bad = [f"{sources[k].relative_to(site)}: {v['error']}" for k,v in made.items() if 'error' in v]
    if bad: raise SystemExit('\n'.join(['docs: equations that KaTeX cannot read', *bad]))
    path = site/'search.json'; index = json.loads(path.read_text(encoding='utf-8'))
    for item in index['items']: item['text'] = re.sub(r'\\[()\[\]]', '', item['text']) # results quote equations as text
    path.write_text(json.dumps(index, ensure_ascii=False), encoding='utf-8')
    for p,t in texts.items():
        put = lambda m: f"<{m[1]} class=\"equation\">{made[m[2].strip()[2:-2],m[1]=='div']['html']}</{m[1]}>"
        p.write_text(MATH.sub(put, t), encoding='utf-8')

def ours(folder:Path) -> bool:
    "Whether nothing else than a site that was built here is lost with `folder`"
    if not folder.is_dir(): return not folder.exists()
    return not any(folder.iterdir()) or all((folder/f).is_file() for f in ('search.json','demo/demo.json'))

def build(out:Path):
    notebooks = (p for p in cfg.nbs_path.rglob('*.ipynb') if '.ipynb_checkpoints' not in p.parts)
    node_modules = packages(); pages = [Page(p) for p in sorted(notebooks, key=order)]
    write(pages, node_modules/'katex'); write_demo(kept/'demo', node_modules/'onnxruntime-web/dist', work/'docs')
    call(sys.executable, '-m', 'zensical', 'build', '--strict', '--clean', '-f', work/'mkdocs.yml', cwd=work)
    typeset(work/'site', node_modules)
    if found := list(faults(work/'site')): raise SystemExit('\n'.join(found))
    shutil.rmtree(out, ignore_errors=True); shutil.move(work/'site', out)
    print(f'docs: {len(pages)} pages in {out}; to read them: python3 -m http.server --bind 127.0.0.1 --directory {out}')

def main(out:Path):
    "Build the site into `out`; another build at the same time waits for its turn"
    if not ours(out): raise SystemExit(f'docs: {out} holds something else than a site built here, which would be deleted: give another folder')
    work.parent.mkdir(exist_ok=True)
    with FileLock(work.with_suffix('.lock')): build(out)

if __name__=='__main__': main(Path(sys.argv[1]) if sys.argv[1:] else cfg.doc_path)

"What is wrong with a built site: links and figures that lead nowhere, equations left as text, other hosts"
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit
from nbdev.config import get_config

cfg = get_config(); root = cfg.config_path
UNTYPESET = re.compile(r'\\[a-zA-Z]{2,}|\\[(\[]|\$\$')

class Seen(HTMLParser):
    "Identifiers, links, what the browser loads by itself, and the prose outside code"
    def __init__(self, text):
        super().__init__(); self.ids,self.links,self.loads,self.prose,self.quiet = [],[],[],[],[]
        self.feed(text)
    def handle_starttag(self, tag, attrs):
        a = dict(attrs)
        if a.get('id'): self.ids.append(a['id'])
        loads = tag!='a' and (a.get('href') if a.get('rel') in ('stylesheet','icon','preload') else a.get('src'))
        if loads: self.loads.append(loads)
        elif tag=='a' and a.get('href'): self.links.append(a['href'])
        if tag in ('pre','code','annotation','script','style'): self.quiet.append(tag)
    def handle_endtag(self, tag):
        if self.quiet and tag==self.quiet[-1]: self.quiet.pop()
    def handle_data(self, data):
        if not self.quiet: self.prose.append(data)

def faults(site:Path):
    "One sentence each"
    pages = {p.resolve():Seen(p.read_text(encoding='utf-8')) for p in site.rglob('*.html')}
    base = urlsplit(f'{cfg.doc_host}{cfg.doc_baseurl}/').path; source = f'{cfg.git_url}/(?:blob|tree)/{cfg.branch}/'
    for path,page in pages.items():
        name = path.relative_to(site.resolve())
        for i in sorted({i for i in page.ids if page.ids.count(i)>1}): yield f'{name}: two places are called #{i}'
        if t := UNTYPESET.search(' '.join(page.prose)): yield f'{name}: {t[0]} was left as text: an equation?'
        for to in page.links + page.loads:
            if m := re.match(source + '([^#]*)', to):
                if not (root/unquote(m[1])).exists(): yield f'{name} links to {to}: not in the repository'
            elif re.match(r'(\w+:)?//', to):
                if to in page.loads: yield f'{name} loads {to}: pages must not ask another host'
            elif not re.match(r'(data|mailto):', to): yield from local(site, path, pages, to, base)
    for css in site.rglob('*.css'):
        for to in re.findall(r'url\(["\']?([^)"\']+)', css.read_text(encoding='utf-8')):
            if not to.startswith(('data:','#')) and not (css.parent/to.split('?')[0].split('#')[0]).is_file():
                yield f'{css.relative_to(site)} loads {to}: no such file'

def local(site:Path, path:Path, pages:dict, to:str, base:str):
    "A link within the site leads to a file, and to a place in it"
    link = urlsplit(to); file = unquote(link.path)
    if file.startswith(base): place = site/file.removeprefix(base)
    else: place = path.parent/file if file else path
    place = (place/'index.html' if place.is_dir() else place).resolve(); name = path.relative_to(site.resolve())
    if not place.is_file(): yield f'{name} links to {to}: no such file'
    elif link.fragment and place in pages and unquote(link.fragment) not in pages[place].ids:
        yield f'{name} links to {to}: no such place in that page'

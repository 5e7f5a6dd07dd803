"The site, built once, and a real browser that can reach nothing but this machine"
import json, os, shutil, subprocess, sys, threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
import pytest
from filelock import FileLock
from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

ROOT = Path(__file__).resolve().parent.parent
CHROMIUM,DRIVER = (shutil.which(n) for n in ('chromium','chromedriver'))

def needs(*programs): # a mark
    "Skip where a program is missing, unless ALL_TESTS is set, as .ci/run does"
    missing = [p for p in programs if not shutil.which(p)]
    return pytest.mark.skipif(bool(missing) and not os.environ.get('ALL_TESTS'), reason=f"needs {', '.join(missing)}")

needs_npm,needs_browser = needs('npm'),needs('npm','chromium','chromedriver')

@pytest.fixture(scope='session')
def site(tmp_path_factory) -> Path:
    "That of `make docs`, where nothing has changed since; else built by the first of xdist's workers to ask for it"
    made = ROOT/'_docs/index.html'
    sources = [p for folder in ('nbs','tools','sadag_nb') for p in (ROOT/folder).rglob('*') if p.suffix in ('.ipynb','.py','.json','.css','.js','.yml','.md','.html','.svg')]
    if made.is_file() and made.stat().st_mtime>max(p.stat().st_mtime for p in sources): return made.parent
    base = tmp_path_factory.getbasetemp(); base = base.parent if 'PYTEST_XDIST_WORKER' in os.environ else base
    out = base/'site'
    with FileLock(base/'site.lock'):
        if out.is_dir(): return out
        res = subprocess.run([sys.executable, 'tools/docs.py', out], cwd=ROOT, capture_output=True, text=True)
        assert res.returncode==0, res.stdout+res.stderr
    return out

class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *args): pass

@pytest.fixture(scope='session')
def address(site):
    server = ThreadingHTTPServer(('127.0.0.1',0), partial(Quiet, directory=site))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f'http://127.0.0.1:{server.server_port}/'
    server.shutdown()

class Browser(Chrome):
    "Headless Chromium for which only this machine has an address; it remembers what it was asked to load"
    def __init__(self):
        options = ChromeOptions(); options.binary_location = CHROMIUM
        options.set_capability('goog:loggingPrefs', {'performance':'ALL', 'browser':'ALL'})
        options.add_experimental_option('perfLoggingPrefs', {'enablePage':False}) # requests alone
        for a in ('headless=new', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage', 'disable-background-networking',
                  'host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1'): options.add_argument('--'+a)
        super().__init__(options=options, service=Service(DRIVER))
    def requested(self) -> list: # addresses asked for since the last call
        events = (json.loads(e['message'])['message'] for e in self.get_log('performance'))
        return [e['params']['request']['url'] for e in events if e['method']=='Network.requestWillBeSent']
    def complaints(self) -> list: # warnings and errors on the console since the last call
        return [e['message'] for e in self.get_log('browser') if e['level'] in ('WARNING','SEVERE')]
    def screen(self, width:int, height:int=900):
        shape = dict(width=width, height=height, deviceScaleFactor=1, mobile=width<500)
        self.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', shape)
    def theme(self, name:str): # 'light' or 'dark', as the system asks for it
        asked = [dict(name='prefers-color-scheme', value=name)]
        self.execute_cdp_cmd('Emulation.setEmulatedMedia', dict(features=asked))
    def js(self, expression:str): return self.execute_script('return '+expression)
    def wait(self, found): return WebDriverWait(self, 20).until(lambda _: found())

@pytest.fixture(scope='session')
def chromium():
    browser = Browser()
    yield browser
    browser.quit()

@pytest.fixture
def browser(chromium, address):
    "Wide, light, at the first page, with nothing in its logs"
    chromium.screen(1400); chromium.theme('light'); chromium.get(address + 'index.html')
    chromium.requested(); chromium.complaints()
    return chromium

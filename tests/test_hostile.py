"Files that mean harm or are garbage: one sentence at most, nothing written, no code run, memory bounded; tools/fuzz.py goes on for longer"
import io, json, os, pickle, struct, tarfile, tempfile, zipfile, zlib
from functools import cache
from pathlib import Path
import pytest, torch
from hypothesis import HealthCheck, given, settings, strategies as st
from PIL import Image
from safetensors.torch import save as safe_bytes
from sadag_nb.app.pipeline import open_calibration, open_network, open_run, run_report
from sadag_nb.core import Run, SadagError, load_tensors, peak_mib
from sadag_nb.deploy.onnx import OnnxNetwork, export_onnx
from sadag_nb.models.datasets import LARGEST, PIXELS, list_files, open_images
from sadag_nb.models.zoo import pretrained, read_weights
from sadag_nb.quant.prepare import load_quantized, prepare, save_quantized

ROOM = 1024 # MiB that the memory may grow by, whatever is read

class Code:
    "What pickle would run if it were let"
    def __reduce__(self): return Path.touch, (Path('was_run'),)

def snapshot(top:Path) -> dict: # path -> size
    return {p:p.stat().st_size for p in top.rglob('*') if p.is_file()}

def peak_begins_anew():
    "From here on `peak_mib` tells of what follows, where the system lets it"
    try: Path('/proc/self/clear_refs').write_text('5')
    except OSError: pass

def harmless(name:str, content, load, room:int=ROOM): # file or folder name; bytes, or {name: bytes} for a folder
    "`load` of the file returns or raises `SadagError`; nothing is written or run, little memory is taken"
    with tempfile.TemporaryDirectory() as top:
        path = Path(top)/'deep'/'in'/name; path.parent.mkdir(parents=True)
        if isinstance(content, dict):
            path.mkdir()
            for k,v in content.items(): (path/k).write_bytes(v)
        else: path.write_bytes(content)
        before,here = snapshot(Path(top)),os.getcwd(); peak_begins_anew(); memory = peak_mib(); os.chdir(path.parent)
        try: load(path)
        except SadagError as e: assert len(str(e))<1000
        finally: os.chdir(here)
        after = {p:s for p,s in snapshot(Path(top)).items() if p.parts[-2:-1]!=('figures',) and p.name not in ('figures','report.html')}
        assert after==before and peak_mib()-memory<room

# Sound files, to be altered

@cache
def sound() -> dict: # kind -> bytes
    "One small sound file of each kind"
    net,graph = open_network('resnet20-digits'); files = {}
    with tempfile.TemporaryDirectory() as d:
        save_quantized(q:=prepare(graph,'w4a4'), f'{d}/q.safetensors'); export_onnx(q, f'{d}/q.onnx')
        files['quantized'] = safe_bytes(*load_tensors(f'{d}/q.safetensors')) # without the sum that would tell
        torch.save(net.linear.state_dict(), f'{d}/w.pt'); torch.save({'w':Code()}, f'{d}/c.pt')
        for k,f in (('onnx','q.onnx'),('torch','w.pt'),('code','c.pt')): files[k] = Path(d,f).read_bytes()
    files['pickle'] = pickle.dumps(Code()); files['tensors'] = safe_bytes({'images':torch.randn(2,1,16,16)}, {'note':'x'})
    for kind in ('png','jpeg','gif','bmp','tiff','webp','ppm'):
        b = io.BytesIO(); Image.new('L', (16,16), 9).save(b, kind); files[kind] = b.getvalue()
    return files

@cache
def network(): return pretrained('resnet20-digits')

@st.composite
def altered(draw, *kinds):
    "A sound file of one of the kinds, with bytes changed, cut out, put in or cut off"
    raw = bytearray(sound()[draw(st.sampled_from(kinds))])
    for _ in range(draw(st.integers(0,6))):
        i = draw(st.integers(0, min(len(raw),2**12)) | st.integers(0, len(raw))); how = draw(st.sampled_from('change insert remove cut'.split()))
        some = draw(st.binary(min_size=1, max_size=9) | st.sampled_from([b'\xff'*8, b'\0'*8, b'\x7f\xff\xff\xff', b'"shape":[999999999999]']))
        if how=='change': raw[i:i+len(some)] = some
        elif how=='insert': raw[i:i] = some
        elif how=='remove': del raw[i:i+len(some)]
        else: del raw[i:]
    return bytes(raw)

NUMBERS = st.integers(-3,2**63) | st.floats() | st.booleans() | st.none()
JSON = st.recursive(NUMBERS | st.text(max_size=9), lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner, max_size=4), max_leaves=9)

@st.composite
def headers(draw):
    "A safetensors file with a header of any kind"
    entry = st.fixed_dictionaries({'dtype':st.sampled_from(['F32','I8','U8','BF16','F8_E4M3','F4','BOOL','I64','C64','X']) | JSON,
        'shape':st.lists(st.integers(0,9)|st.sampled_from([-1,2**31,2**62]), max_size=4), 'data_offsets':st.lists(st.sampled_from([0,4,16,64,2**40,-1]), max_size=3)})
    head = draw(st.dictionaries(st.sampled_from(['images','a','']), entry, max_size=3))
    text = json.dumps({**head, **draw(st.just({}) | st.dictionaries(st.just('__metadata__'), JSON))}).encode()
    return draw(st.sampled_from([struct.pack('<Q',len(text)), b'\xff'*8, b'\0'*8]))+text+bytes(draw(st.sampled_from([0,4,16,64])))

NAMES = st.sampled_from(['a/1.png','b/2.png','../../up.png','/tmp/abs.png','a/../../../up.png','c.txt','a','link.png','\udce4.png','a/'+'x'*300+'.png']) | st.text(max_size=9).map(lambda t: t+'.png')

@st.composite
def archives(draw):
    "A tar or zip archive with members of any name and kind"
    b = io.BytesIO(); members = draw(st.lists(st.tuples(NAMES, altered('png','jpeg','gif','tiff'), st.sampled_from('0123456LKxg')), min_size=1, max_size=4))
    if draw(st.booleans()):
        with tarfile.open(fileobj=b, mode=draw(st.sampled_from(['w','w:gz','w:xz']))) as t:
            for name,raw,kind in members:
                m = tarfile.TarInfo(name.replace('\0','')); m.type,m.size,m.linkname = kind.encode(),len(raw),'../../../../etc/passwd'
                try: t.addfile(m, io.BytesIO(raw))
                except (ValueError, UnicodeError): pass
    else:
        with zipfile.ZipFile(b, 'w', draw(st.sampled_from([zipfile.ZIP_STORED,zipfile.ZIP_DEFLATED]))) as z:
            for name,raw,kind in members:
                m = zipfile.ZipInfo(name or 'x'); m.external_attr = (0o120777 if kind=='2' else 0o100644)<<16
                try: z.writestr(m, raw)
                except (ValueError, UnicodeError): pass
    raw = bytearray(b.getvalue())
    for i in draw(st.lists(st.integers(0, len(raw)-1), max_size=3)): raw[i] ^= draw(st.integers(1,255))
    return bytes(raw)

KEYS = 'command model bits recipe n card versions rows top1 fp_top1 images layers weights input weights_sha256 stage unit step error penalty batch loss phase'.split()
CARD = dict(name='x', shape=[1,16,16], mean=[.3], std=[.4])
VALUE = JSON | st.just(CARD) | st.sampled_from(['synthesize','quantize','demo','resnet20-digits','<script>','net.py:f','\ud800'])
OBJECT = st.dictionaries(st.sampled_from(KEYS), VALUE, max_size=9)

@st.composite
def folders(draw):
    "A run folder with settings, results and metrics of any kind"
    base = dict(command=draw(st.sampled_from(['synthesize','quantize','demo'])), model='resnet20-digits', bits='w4a4', recipe='sadag', n=2, card=CARD)
    config = {**draw(st.just(base) | st.just({})), **draw(OBJECT)}
    rows = draw(st.lists(OBJECT.map(lambda o: {'stage':'unit', **o}) | JSON, max_size=3))
    files = {'config.json':json.dumps(config), 'result.json':json.dumps(draw(OBJECT | JSON)), 'metrics.jsonl':'\n'.join(map(json.dumps, rows))}
    return {**{k:v.encode() for k,v in files.items()}, 'images.safetensors':draw(altered('tensors')), 'net.py':b"open('was_run','w')"}

def read_folder(path):
    run = Run.open(path); _ = run.config,run.metrics
    try: run_report(run)
    finally: open_run(path)

def infer(path): OnnxNetwork(path, 1)(torch.zeros(1,1,16,16))

PROPERTIES = { # what is read: strategy, reader
    'weights.safetensors': (altered('tensors','quantized') | headers() | st.binary(max_size=99), lambda p: pretrained('resnet20-digits', p)),
    'images.safetensors':  (altered('tensors') | headers(), lambda p: open_calibration(p, network().card, 1, 0)),
    'model.safetensors':   (altered('quantized') | headers(), lambda p: load_quantized(p, network())),
    'weights.pt':          (altered('torch','code','pickle') | st.binary(max_size=99), lambda p: pretrained('resnet20-digits', p)),
    'picture':             (altered('png','jpeg','gif','bmp','tiff','webp','ppm').map(lambda b: {'a.png':b}), lambda p: open_images(p, network().card, labelled=False)),
    'archive':             (archives() | st.binary(max_size=99), lambda p: open_images(p, network().card, labelled=False)),
    'network.onnx':        (altered('onnx') | st.binary(max_size=99), infer),
    'run':                 (folders(), read_folder)}

def check(name:str, **how):
    "Try the property that belongs to `name`, on as many examples as `how` says"
    strategy,load = PROPERTIES[name]
    @settings(deadline=None, suppress_health_check=list(HealthCheck), **how)
    @given(strategy)
    def tried(content): harmless(name, content, load)
    tried()

@pytest.mark.filterwarnings('ignore:Duplicate name')
@pytest.mark.parametrize('name', PROPERTIES)
def test_no_harm(name):
    sound(); check(name, max_examples=25 if name in ('run','network.onnx','model.safetensors') else 60, derandomize=True, database=None)

# Harm of known kinds

def refused(name, content, load, *words, room=ROOM):
    said = []
    def told(path):
        try: load(path)
        except SadagError as e: said.append(str(e)); raise
    harmless(name, content, told, room); assert said and all(w in said[0] for w in words), said

def pictures(path): open_images(path, network().card, labelled=False)

def test_pickled_code_is_not_run():
    for kind in ('pickle','code'): refused('w.pt', sound()[kind], read_weights, 'w.pt')

def test_paths_that_climb_and_links():
    "They are passed over; what is sound beside them is read"
    b = io.BytesIO()
    with tarfile.open(fileobj=b, mode='w:gz') as t:
        for name,kind in (('../../up.png',b'0'),('/tmp/abs.png',b'0'),('link.png',b'2'),('hard.png',b'1'),('good.png',b'0')):
            m = tarfile.TarInfo(name); m.type,m.linkname,m.size = kind,'/etc/passwd',len(sound()['png']) if kind==b'0' else 0; t.addfile(m, io.BytesIO(sound()['png']))
    seen = []; harmless('a.tar.gz', b.getvalue(), lambda p: seen.append(len(list_files(p, network().card, labelled=False))))
    assert seen==[1]

def zipped(size, name='a.png'):
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w', zipfile.ZIP_DEFLATED, compresslevel=1) as z, z.open(name, 'w', force_zip64=True) as f:
        for _ in range(-(-size//2**24)): f.write(bytes(2**24))
    return b.getvalue()

def test_archives_that_unpack_to_gigabytes():
    refused('a.zip', zipped(LARGEST+1), pictures, 'a.png', 'unpacks to')
    m = tarfile.TarInfo('a.png'); m.size = 2**40; refused('a.tar', m.tobuf()+bytes(2**14), pictures, 'unpacks to')
    m = tarfile.TarInfo('x'); m.type,m.size = b'L',2**32; refused('a.tar', m.tobuf()+bytes(2**14), pictures, 'header larger')

@pytest.mark.parametrize('method', [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_that_lies_about_its_size(method):
    "Said to be 100 bytes long, and 256 MiB"
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w', method) as z, z.open('a.png', 'w') as f:
        for _ in range(2**8): f.write(bytes(2**20))
    raw = b.getvalue(); assert raw.count(struct.pack('<L', 2**28))>=1
    refused('a.zip', raw.replace(struct.pack('<L', 2**28), struct.pack('<L', 100)), pictures, 'a.png', room=64)

def test_tar_of_many_headers_for_all_files():
    def header(i): m = tarfile.TarInfo('g'); m.type,m.size = b'g',4096; return m.tobuf()+b''.join(b'31 %08d=%s\n' % (100*i+k, b'x'*18) for k in range(132)).ljust(4096, b'\0')
    raw = b''.join(header(i) for i in range(200))+bytes(2**10); refused('a.tar', raw, pictures, room=64)
    m = tarfile.TarInfo('g'); m.type,m.size = b'g',2**13; refused('a.tar', m.tobuf()+bytes(2**14), pictures, 'header larger')

def test_compressed_weights():
    refused('w.pt', zipped(2**24, 'w/data.pkl'), read_weights, 'compressed')

def test_archive_of_several_disks():
    "Python's own look at it raises"
    b = io.BytesIO()
    with zipfile.ZipFile(b, 'w') as z: z.writestr('a.png', sound()['png'])
    whole = b.getvalue(); end = whole.rindex(b'PK\x05\x06'); several = whole[:end]+struct.pack('<4sLQL', b'PK\x06\x07', 1, 0, 2)+whole[end:]
    refused('w.pt', several, read_weights, 'w.pt', 'disks'); refused('a.zip', several, pictures, 'a.zip', 'disks')

def chunk(kind, data): return struct.pack('>I',len(data))+kind+data+struct.pack('>I',zlib.crc32(kind+data))

def test_picture_of_a_billion_pixels():
    side = 2**16; raw = b'\x89PNG\r\n\x1a\n'+chunk(b'IHDR', struct.pack('>IIBBBBB',side,side,8,0,0,0,0))+chunk(b'IDAT', zlib.compress(bytes(99)))+chunk(b'IEND', b'')
    assert side*side>PIXELS; refused('p', {'a.png':raw}, pictures, 'a.png', 'pixels')

def test_page_description_is_no_picture():
    "Pillow would hand it to another program"
    refused('p', {'a.png':b'%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(was_run) (w) file\n'}, pictures, 'a.png')

def test_network_that_slices_nothing():
    "A kernel wider than its image leaves a width below 0; what onnx makes of a slice of that ends the process"
    import onnx
    net = onnx.load_from_string(sound()['onnx']); conv = next(n for n in net.graph.node if n.op_type=='Conv')
    next(a for a in conv.attribute if a.name=='dilations').ints[1] = 59
    assert any(n.op_type=='Slice' for n in net.graph.node); refused('n.onnx', net.SerializeToString(), infer, 'n.onnx', 'numbers')

def test_network_that_asks_for_a_terabyte():
    from onnx import TensorProto as P, helper as h
    def network(*nodes, weights=()):
        ends = [h.make_tensor_value_info(k, P.FLOAT, None) for k in 'xy']
        return h.make_model(h.make_graph(nodes, 'g', ends[:1], ends[1:], weights)).SerializeToString()
    size = h.make_tensor('s', P.INT64, [2], [2**20,2**20])
    refused('n.onnx', network(h.make_node('ConstantOfShape',['s'],['c']), h.make_node('Add',['x','c'],['y']), weights=[size]), infer, 'n.onnx', '1.1e+12')
    w = h.make_tensor('w', P.FLOAT, [1], [1.]); w.ClearField('float_data'); w.data_location = P.EXTERNAL
    w.external_data.add(key='location', value='../../secret')
    refused('n.onnx', network(h.make_node('Add',['x','w'],['y']), weights=[w]), infer, 'other files')

def test_report_escapes_names(tmp_path):
    evil = '<script>alert(1)</script>'
    run = Run.create(tmp_path/'r', command='quantize', model=evil, bits=evil, recipe=evil, n=1, images=evil, layers={evil:'w8a8'}, card=CARD)
    for i in range(2): run.log(stage='unit', unit=f'{evil}-->{i}', nearest=1., error=.5, seconds=1.)
    run.record(data=evil, top1=1., fp_top1=2.)
    html = run_report(run).file('report.html').read_text(); assert '<script' not in html.lower() and '&lt;script&gt;' in html

def test_site_escapes_outputs(root, monkeypatch):
    "An output is a fenced block, whatever it holds"
    monkeypatch.syspath_prepend(str(root/'tools')); from page import fence
    text = '````\n<script>'; lines = fence(text, 'text').splitlines()
    assert lines[0].startswith('`````') and lines[-1]=='`'*5 and '\n'.join(lines[1:-1])==text

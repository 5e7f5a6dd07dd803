"The page of the site on which a browser runs the digits network in full precision and in 4 bits"
import json, shutil
from dataclasses import asdict
from pathlib import Path
from sadag_nb.core import write_text
from sadag_nb.deploy.onnx import OnnxNetwork, export_onnx
from sadag_nb.graph.trace import trace
from sadag_nb.models.datasets import digits, loader, top1
from sadag_nb.models.zoo import pretrained
from sadag_nb.quant.reconstruct import quantize
from sadag_nb.synth.synthesize import synthesize

RUNTIME = 'ort.wasm.min.mjs','ort-wasm-simd-threaded.mjs','ort-wasm-simd-threaded.wasm' # of onnxruntime-web
N,STEPS = 32,40 # images; steps to make them, and of a unit

def networks(net) -> dict: # by name and file
    "The network as it is, and quantized on images made from it"
    images = synthesize(net, 'sadag', n=N, steps=STEPS, device='cpu')
    small = quantize(net, images, 'w4a4', steps=STEPS, device='cpu')
    return {('Full precision','fp32.onnx'): trace(net), ('4 bits','w4a4.onnx'): small}

def example(images, label:int) -> dict:
    "The first of a class, as the 8×8 pixels of 17 shades that it was made from"
    x = images.data[images.labels==label][0,0,::2,::2]
    return dict(label=label, levels=(x.float()*16/255).round().int().flatten().tolist())

def write_demo(sources:Path, runtime:Path, # tools/docs/demo, onnxruntime-web's dist
               docs:Path): # what the generator reads
    "The page, its script, the runtime, the networks and what is to be said of them"
    folder = docs/'demo'; folder.mkdir(); shutil.copy(sources/'demo.md', docs)
    for f in (*(sources/n for n in ('demo.js','demo.css')), *(runtime/n for n in RUNTIME)): shutil.copy(f, folder)
    net = pretrained('resnet20-digits'); test = digits(); rows = []
    for (name,file),model in networks(net).items():
        path = export_onnx(model, folder/file); right = top1(OnnxNetwork(path), loader(test, net.card), 'cpu')
        rows.append(dict(name=name, file=file, bytes=path.stat().st_size, top1=right))
    examples = [example(test, c) for c in range(net.card.outputs)]
    write_text(folder/'demo.json', json.dumps(dict(card=asdict(net.card), networks=rows, examples=examples)))

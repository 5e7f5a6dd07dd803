"Read altered and invented files of every kind for a while: python tools/fuzz.py [seconds for each] [what …]"
import sys, time
from pathlib import Path
sys.path.insert(0, str(Path(__file__).resolve().parent.parent/'tests'))
from test_hostile import PROPERTIES, check, sound

def main(seconds:float=600, *names:str):
    sound()
    for name in names or PROPERTIES:
        end,rounds = time.monotonic()+seconds,0
        while time.monotonic()<end: check(name, max_examples=100); rounds += 1
        print(f'{name}: {100*rounds} files, no harm', flush=True)

if __name__ == '__main__': main(*map(float, sys.argv[1:2]), *sys.argv[2:])

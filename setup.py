"The package's build script: everything it needs stands in settings.ini"
from configparser import ConfigParser
from pathlib import Path
from setuptools import find_packages, setup

ini = ConfigParser(delimiters=['=']); ini.read('settings.ini', encoding='utf-8')
cfg = ini['DEFAULT']; lib = Path(cfg['lib_name'])
data = [str(p.relative_to(lib)) for p in lib.rglob('*') if p.is_file() and p.suffix not in ('.py','.pyc')]
setup(name=cfg['lib_name'], version=cfg['version'], description=cfg['description'], license='Apache-2.0',
      author=cfg['author'], author_email=cfg['author_email'], url=cfg['git_url'], keywords=cfg['keywords'],
      long_description=Path('README.md').read_text(encoding='utf-8'), long_description_content_type='text/markdown',
      packages=find_packages(include=[cfg['lib_name'], cfg['lib_name']+'.*']),
      package_data={cfg['lib_name']: data}, zip_safe=False,
      python_requires=f">={cfg['min_python']},<3.14", install_requires=cfg['requirements'].split(),
      extras_require={'dev': cfg['dev_requirements'].split()},
      entry_points={'console_scripts': [cfg['console_scripts']], 'nbdev': [f"{cfg['lib_name']}={cfg['lib_name']}._modidx:d"]})

"A mypy plugin for what torch and fastcore do at run time; `mypy.ini` says what is checked"
from mypy.nodes import Decorator, FuncDef, OverloadedFuncDef
from mypy.plugin import Plugin
from mypy.plugins.common import add_attribute_to_class
from mypy.types import AnyType, CallableType, TypeOfAny, UnboundType

ANYTHING = AnyType(TypeOfAny.special_form)
MODULE = 'torch.nn.modules.module.Module'
OF_NODE = {f'torch.fx.node.Node.{a}' for a in ('args','kwargs','target')} # unions of all that a node could ever hold

def module(ctx):
    "torch says that what is noted on a module is `Tensor | Module`, and its `to` knows no memory format"
    body = ctx.cls.defs.body
    for node in body:
        if not (isinstance(node, FuncDef) and isinstance(node.type, CallableType)): continue
        if node.name=='__setattr__': node.type.arg_types[-1] = ANYTHING
        if node.name=='__getattr__': node.type.ret_type = ANYTHING
    body[:] = [n for n in body if not (isinstance(n, OverloadedFuncDef) and n.items[0].name=='to')]

def patches(node) -> bool:
    "Whether a statement adds a method to a class by fastcore's `patch`"
    return isinstance(node, Decorator) and any('NameExpr(patch' in str(d) for d in node.original_decorators)

def patched(ctx):
    "Methods that are added to a class later in its module"
    for node in filter(patches, ctx.api.cur_mod_node.defs):
        to = node.func.arguments[0].type_annotation
        if not (isinstance(to, UnboundType) and to.name==ctx.cls.name): continue
        add_attribute_to_class(ctx.api, ctx.cls, node.name, ANYTHING)
        if node.func.arguments[0].variable.name=='cls': node.func.type.arg_types[0] = UnboundType('type', [to])

class AtRunTime(Plugin):
    def get_attribute_hook(self, fullname):
        return (lambda ctx: ANYTHING) if fullname in OF_NODE else None
    def get_customize_class_mro_hook(self, fullname):
        return module if fullname==MODULE else patched if fullname.startswith('sadag_nb.') else None

def plugin(version:str): return AtRunTime

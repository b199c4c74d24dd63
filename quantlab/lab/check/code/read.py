"""Follows code without running it: which calls it makes, and with what, as far as that is plain.

Names, imports, simple variables, dictionaries of keywords and constant texts are followed; where
branches disagree, and of parameters, loops and everything computed, nothing is claimed to be known.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from quantlab.lab.check.code.expressions import Expressions
from quantlab.lab.check.code.values import UNKNOWN, Call, Items, Made, Part, Ref, Value

Function = ast.FunctionDef | ast.AsyncFunctionDef

__all__ = ["Import", "Program", "Set", "read"]


@dataclass(frozen=True)
class Import:
    """A name that is imported."""

    path: str
    node: ast.ImportFrom | ast.Import
    alias: ast.alias


@dataclass(frozen=True, eq=False)
class Set:
    """An attribute of something made that is assigned to: ``pipe.transformer = ...``."""

    on: Value
    name: str
    value: Value
    node: ast.stmt


@dataclass
class Program:
    """What a piece of code does, in its order."""

    tree: ast.Module
    calls: list[Call] = field(default_factory=list)
    imports: list[Import] = field(default_factory=list)
    sets: list[Set] = field(default_factory=list)


def read(tree: ast.Module) -> Program:
    """Everything that ``tree`` calls, imports and sets."""
    program = Program(tree)
    reader = _Reader(program)
    reader.block(tree.body)
    reader.functions()
    return program


class _Reader(Expressions):
    """Statements; what they are made of is in expressions.py."""

    def __init__(self, program: Program) -> None:
        super().__init__(program.calls)
        self.program = program
        self.later: list[tuple[Function, dict[str, Value] | None]] = []

    def block(self, body: Iterable[ast.stmt]) -> bool:
        """Whether it goes on behind the block: nothing returns or raises in it."""
        for node in body:
            match node:
                case ast.Import() | ast.ImportFrom():
                    self._import(node)
                case ast.Assign():
                    self._assign(node)
                case ast.AnnAssign() if node.value is not None:
                    self._bind(node.target, self.value(node.value), node)
                case ast.AugAssign():
                    self.value(node.value)
                    self._bind(node.target, UNKNOWN, node)
                case ast.FunctionDef() | ast.AsyncFunctionDef():
                    self.names[node.name] = UNKNOWN
                    self.later.append((node, self._closure()))
                case ast.ClassDef():
                    outer = dict(self.names)
                    self.block(node.body)
                    self.names = outer | {node.name: UNKNOWN}
                case ast.If():
                    self._branches(node, node.test, [node.body, node.orelse])
                case ast.Try():
                    handlers = [handler.body for handler in node.handlers]
                    self._branches(node, None, [[*node.body, *node.orelse], *handlers])
                    self.block(node.finalbody)
                case ast.Match():
                    self._branches(node, node.subject, [case.body for case in node.cases] + [[]])
                case ast.For() | ast.AsyncFor() | ast.While():
                    self._loop(node)
                case ast.With() | ast.AsyncWith():
                    for item in node.items:
                        found = self.value(item.context_expr)
                        if item.optional_vars is not None:
                            self._bind(item.optional_vars, found, node)
                    if not self.block(node.body):
                        return False
                case ast.Return() | ast.Raise() | ast.Break() | ast.Continue():
                    self._expressions(node)
                    return False
                case _:
                    self._expressions(node)
        return True

    def functions(self) -> None:
        """Bodies of functions, with what the module binds at its end and unknown parameters."""
        while self.later:
            node, inner = self.later.pop(0)
            outer, known = self.names, self.names if inner is None else inner
            args = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            every = [*args, *filter(None, (node.args.vararg, node.args.kwarg))]
            self.names = {**known, **{arg.arg: UNKNOWN for arg in every}}
            scope, self.scope = self.scope, ((id(node), -1),)
            self.block(node.body)
            self.names, self.scope = outer, scope

    def _closure(self) -> dict[str, Value] | None:
        """What a function defined here sees: None for what the module binds at its end."""
        inside = any(branch < 0 for _, branch in self.scope)
        return dict(self.names) if inside else None

    def _expressions(self, node: ast.stmt) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)

    def _import(self, node: ast.Import | ast.ImportFrom) -> None:
        for alias in node.names:
            if isinstance(node, ast.Import):
                path = alias.name if alias.asname else alias.name.split(".")[0]
                self.names[alias.asname or path] = Ref(path)
                path = alias.name
            else:
                path = f"{'.' * node.level}{node.module or ''}.{alias.name}"
                self.names[alias.asname or alias.name] = Ref(path)
            self.program.imports.append(Import(path, node, alias))

    def _assign(self, node: ast.Assign) -> None:
        value = self.value(node.value)
        for target in node.targets:
            self._bind(target, value, node)

    def _bind(self, target: ast.expr, value: Value, node: ast.stmt) -> None:
        match target:
            case ast.Name():
                self.names[target.id] = value
            case ast.Tuple() | ast.List():
                known = value.values if isinstance(value, Items) else ()
                fits = len(known) == len(target.elts)
                for index, inner in enumerate(target.elts):
                    self._bind(inner, known[index] if fits else UNKNOWN, node)
            case ast.Starred():
                self._bind(target.value, UNKNOWN, node)
            case ast.Attribute():
                on = self.value(target.value)
                if isinstance(on, Made | Part):
                    self.program.sets.append(Set(on, target.attr, value, node))
                    self.attributes[on, target.attr] = value
            case ast.Subscript():
                self.put(target, value)

    def _branches(
        self, node: ast.stmt, test: ast.expr | None, bodies: Sequence[Sequence[ast.stmt]]
    ) -> None:
        if test is not None:
            self.value(test)
        before, ends = self.names, []
        for index, body in enumerate(bodies):
            self.names = dict(before)
            scope, self.scope = self.scope, (*self.scope, (id(node), index))
            goes_on = self.block(body)
            self.scope = scope
            if goes_on:
                ends.append(self.names)
        self.names = _agreed(ends) if ends else before

    def _loop(self, node: ast.For | ast.AsyncFor | ast.While) -> None:
        self.value(node.test if isinstance(node, ast.While) else node.iter)
        stored = {
            inner.id
            for part in (node.body, node.orelse)
            for each in part
            for inner in ast.walk(each)
            if isinstance(inner, ast.Name) and isinstance(inner.ctx, ast.Store)
        }
        before = {name: value for name, value in self.names.items() if name in stored}
        self.names.update(dict.fromkeys(stored & self.names.keys(), UNKNOWN))
        if not isinstance(node, ast.While):
            self._bind(node.target, UNKNOWN, node)
        self.block(node.body)
        self.names.update(dict.fromkeys(before, UNKNOWN))
        self.block(node.orelse)


def _agreed(ends: Sequence[dict[str, Value]]) -> dict[str, Value]:
    """Names by what all branches say of them; those that only some bind keep what these say."""
    merged: dict[str, Value] = {}
    for names in ends:
        for name, value in names.items():
            merged[name] = value if merged.get(name, value) == value else UNKNOWN
    return merged

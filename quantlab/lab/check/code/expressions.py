"""What an expression stands for; the calls in it are noted as they would happen."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from quantlab.lab.check.code.values import (
    UNKNOWN,
    Argument,
    Call,
    Const,
    Items,
    Made,
    Part,
    Ref,
    Table,
    Value,
    const,
)

__all__ = ["Expressions"]

LONGEST = 2000
"""Characters of a text that is put together."""
SAME = frozenset({
    "to", "cuda", "cpu", "half", "float", "bfloat16", "eval", "train", "requires_grad_", "type",
    "set_progress_bar_config",
})  # fmt: skip
"""Methods that return the object itself."""
CHANGED = frozenset(
    {"update", "pop", "clear", "setdefault", "append", "extend", "insert", "remove"}
)
"""Methods of plain containers after which nothing is known of them."""


class Expressions:
    """Evaluates expressions over the names that are bound so far."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.names: dict[str, Value] = {}
        self.attributes: dict[tuple[Value, str], Value] = {}
        self.scope: tuple[tuple[int, int], ...] = ()

    def value(self, node: ast.expr) -> Value:
        """What ``node`` stands for."""
        match node:
            case ast.Constant():
                plain = isinstance(node.value, str | int | float | bool) or node.value is None
                return Const(node.value) if plain else UNKNOWN  # type: ignore[arg-type]
            case ast.Name():
                return self.names.get(node.id, Ref(f"?.{node.id}"))
            case ast.Attribute():
                return self._attribute(self.value(node.value), node.attr)
            case ast.Call():
                return self._call(node)
            case ast.List() | ast.Tuple() | ast.Set():
                return Items(tuple(self.value(item) for item in node.elts))
            case ast.Dict():
                return self._table(node)
            case ast.JoinedStr():
                return self._text(node)
            case ast.Subscript():
                return self._item(node)
            case ast.NamedExpr():
                value = self.value(node.value)
                self.names[node.target.id] = value
                return value
            case ast.Await() | ast.Starred():
                return self.value(node.value)
            case ast.UnaryOp() | ast.BinOp():
                return self._arithmetic(node)
            case ast.IfExp():
                self.value(node.test)
                first, second = self.value(node.body), self.value(node.orelse)
                return first if first == second else UNKNOWN
            case ast.Lambda():
                return UNKNOWN
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node)
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.expr):
                self.value(child)
        return UNKNOWN

    def put(self, target: ast.Subscript, value: Value) -> None:
        """``table[key] = value``, where the table is a variable."""
        key = const(self.value(target.slice))
        if not isinstance(target.value, ast.Name):
            return
        held = self.names.get(target.value.id)
        if isinstance(held, Table) and isinstance(key, str):
            entries = {**held.entries, key: Argument(value, target.slice, target.slice)}
            self.names[target.value.id] = Table(entries, held.whole)
        elif isinstance(held, Table | Items):
            self.names[target.value.id] = UNKNOWN

    def _attribute(self, on: Value, name: str) -> Value:
        if isinstance(on, Ref):
            return Ref(f"{on.path}.{name}")
        if isinstance(on, Made | Part):
            return self.attributes.get((on, name), Part(on, name))
        return Part(on, name) if isinstance(on, Table | Items | Const) else UNKNOWN

    def _call(self, node: ast.Call) -> Value:
        function = self.value(node.func)
        args: list[Argument] = []
        more = False
        for arg in node.args:
            value = self.value(arg)
            if isinstance(arg, ast.Starred):
                more = True
            elif not more:
                args.append(Argument(value, arg))
        kwargs: dict[str, Argument] = {}
        for keyword in node.keywords:
            value = self.value(keyword.value)
            if keyword.arg is not None:
                kwargs[keyword.arg] = Argument(value, keyword.value, keyword)
            elif isinstance(value, Table):
                kwargs.update(value.entries)
                more = more or not value.whole
            else:
                more = True
        call = Call(node, function, tuple(args), kwargs, more, self.scope)
        self.calls.append(call)
        return self._returned(call)

    def _returned(self, call: Call) -> Value:
        if call.path in ("?.dict", "builtins.dict") and not call.args:
            return Table(call.kwargs, not call.more)
        if call.path == "?.getattr" and len(call.args) == 2:
            name = const(call.args[1].value)
            return self._attribute(call.args[0].value, name) if isinstance(name, str) else UNKNOWN
        on = call.on
        if isinstance(on, Table | Items) and call.method in CHANGED:
            self.names.update({n: UNKNOWN for n, held in self.names.items() if held is on})
            return UNKNOWN
        if isinstance(on, Made | Part) and call.method in SAME:
            return on
        return Made(call)

    def _table(self, node: ast.Dict) -> Value:
        entries: dict[str, Argument] = {}
        whole = True
        for key, inner in zip(node.keys, node.values, strict=True):
            value = self.value(inner)
            if key is None:
                if isinstance(value, Table):
                    entries.update(value.entries)
                whole = whole and isinstance(value, Table) and value.whole
                continue
            name = const(self.value(key))
            if isinstance(name, str):
                entries[name] = Argument(value, inner, key)
            else:
                whole = False
        return Table(entries, whole)

    def _text(self, node: ast.JoinedStr) -> Value:
        pieces = list(self._pieces(node))
        return UNKNOWN if None in pieces else _short("".join(p for p in pieces if p is not None))

    def _pieces(self, node: ast.JoinedStr) -> Iterator[str | None]:
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = const(self.value(part.value))
                plain = part.format_spec is None and isinstance(value, str | int)
                yield str(value) if plain else None
            else:
                text = const(self.value(part))
                yield text if isinstance(text, str) else None

    def _item(self, node: ast.Subscript) -> Value:
        held, key = self.value(node.value), const(self.value(node.slice))
        if isinstance(held, Table) and isinstance(key, str) and key in held.entries:
            return held.entries[key].value
        if (
            isinstance(held, Items)
            and isinstance(key, int)
            and -len(held.values) <= key < len(held.values)
        ):
            return held.values[key]
        return UNKNOWN

    def _arithmetic(self, node: ast.UnaryOp | ast.BinOp) -> Value:
        if isinstance(node, ast.UnaryOp):
            value = const(self.value(node.operand))
            if isinstance(node.op, ast.USub) and isinstance(value, int | float):
                return Const(-value)
            return UNKNOWN
        left, right = const(self.value(node.left)), const(self.value(node.right))
        if isinstance(node.op, ast.Add) and isinstance(left, str) and isinstance(right, str):
            return _short(left + right)
        if isinstance(left, int) and isinstance(right, int):
            if isinstance(node.op, ast.Add):
                return Const(left + right)
            if isinstance(node.op, ast.Mult) and max(abs(left), abs(right)) < 2**31:
                return Const(left * right)
        return UNKNOWN

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp
    ) -> Value:
        outer = dict(self.names)
        for each in node.generators:
            self.value(each.iter)
            stored = (n for n in ast.walk(each.target) if isinstance(n, ast.Name))
            self.names.update({name.id: UNKNOWN for name in stored})
            for test in each.ifs:
                self.value(test)
        for inner in (node.key, node.value) if isinstance(node, ast.DictComp) else (node.elt,):
            self.value(inner)
        self.names = outer
        return UNKNOWN


def _short(text: str) -> Value:
    """A text that was put together; a very long one is nothing that a rule asks for."""
    return Const(text) if len(text) <= LONGEST else UNKNOWN
